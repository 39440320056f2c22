"""Plots of angles: for clips over time, one line per track; for pictures side by side, one point per person."""

from __future__ import annotations

import io
import os
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import nan
from typing import Any, NamedTuple

from posecli.extras import import_extra
from posecli.files.atomic import atomic_file
from posecli.files.terminal import printable
from posecli.poses.angles import ANGLES, SPANS, Measurement
from posecli.poses.curves import Curve, FrameTimes, stretches_of

_COLUMNS = 3
#: Most lines in one panel that can be told apart.
_MOST_SERIES = 8
#: Most names of pictures that fit below a panel.
_MOST_NAMES = 24
_LONGEST_NAME = 24


class Series(NamedTuple):
    """Data that is drawn in one colour. rows: None cuts the line; is_line: rows are joined by a line."""

    label: str
    x: list[float]
    rows: list[Measurement | None]
    is_line: bool

    def points(self, name: str) -> tuple[list[float], list[float]]:
        """x and degrees of one angle: NaN if it is missing, and between values on both sides of its range's edge."""
        period = SPANS[name].period if name in SPANS else None
        x, y = list[float](), list[float]()
        for place, row in zip(self.x, self.rows, strict=True):
            angle = None if row is None else row.angles[name]
            if angle is not None and period is not None and y and abs(angle - y[-1]) > period / 2:
                x.append(nan)
                y.append(nan)
            x.append(place)
            y.append(nan if angle is None else angle)
        return x, y


def plot_angles(rows: Sequence[Measurement], curves: Collection[Curve], times: FrameTimes, path: str) -> None:
    """Write `figure_of` to a PNG file, complete or not at all. Raises OutputError, MissingExtra."""
    figure, data = figure_of(rows, curves, times), io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the font may lack characters of names
        figure.savefig(data, format="png", dpi=110)
    with atomic_file(path) as file:
        file.write(data.getvalue())


def figure_of(rows: Sequence[Measurement], curves: Collection[Curve], times: FrameTimes) -> Any:
    """A matplotlib figure with a panel for each angle.

    curves: the (image, track) pairs whose rows are one person over time. If there are clips and pictures, only clips
    are drawn, because they do not share an axis. A title above the panels lists omitted data. Needs the extra
    `measure`.
    """
    clips = [row for row in rows if row.time is not None]
    series = [*_lines(clips, curves, times), *_crowds(clips, curves)] if clips else list(_by_person(rows))
    drawn = sorted(series, key=lambda item: -len(item.rows))[:_MOST_SERIES]
    figure, panels, spare = _figure(rows[0].angles if rows else ANGLES)
    for name, panel in panels.items():
        for item in drawn:
            style = {"marker": ".", "markersize": 2, "linewidth": 1.2} if item.is_line else {"marker": "o", "ls": ""}
            panel.plot(*item.points(name), label=item.label, **style)
    for panel in (*list(panels.values())[1 - _COLUMNS :], spare):
        panel.set_xlabel("seconds" if clips else "picture", fontsize=8)
        panel.tick_params(labelsize=7)
        if not clips:
            _name_pictures(panel, list(dict.fromkeys(row.image for row in rows)))
    handles = next(iter(panels.values())).get_lines()
    spare.legend(handles, [item.label for item in drawn], loc="center", fontsize=8)
    figure.suptitle(_omissions(len(series) - len(drawn), len(rows) - len(clips) if clips else 0), fontsize=9)
    return figure


def _lines(clips: Sequence[Measurement], curves: Collection[Curve], times: FrameTimes) -> Iterator[Series]:
    """Yield each curve as a line, cut where frames are missing."""
    places: dict[Curve, list[int]] = defaultdict(list)
    for place, row in enumerate(clips):
        if (row.image, row.track) in curves:
            places[row.image, row.track].append(place)
    several = len({image for image, _ in places}) > 1
    for (image, track), curve in places.items():
        curve.sort(key=lambda place: clips[place].time or 0.0)
        x: list[float] = []
        rows: list[Measurement | None] = []
        for stretch in stretches_of(clips, curve, times.step(image)):
            rows += [*(clips[place] for place in stretch), None]
            x += [*(clips[place].time or 0.0 for place in stretch), nan]
        label = "the only person" if track is None else f"track {track}"
        yield Series(label + (f" of {_short(image)}" if several or track is None else ""), x, rows, True)


def _crowds(clips: Sequence[Measurement], curves: Collection[Curve]) -> Iterator[Series]:
    """Yield one series per clip for people without tracks, who cannot be told apart."""
    crowds: dict[str, list[Measurement]] = defaultdict(list)
    for row in clips:
        if (row.image, row.track) not in curves:
            crowds[row.image].append(row)
    for image, rows in crowds.items():
        yield Series(f"people without tracks of {_short(image)}", [row.time or 0.0 for row in rows], [*rows], False)


def _by_person(rows: Sequence[Measurement]) -> Iterator[Series]:
    """Yield one series for the first person of each picture, one for the second, and so on."""
    numbers = {image: number for number, image in enumerate(dict.fromkeys(row.image for row in rows))}
    people: dict[int, list[Measurement]] = defaultdict(list)
    for row in rows:
        people[row.person].append(row)
    for person, of_person in sorted(people.items()):
        yield Series(f"person {person}", [float(numbers[row.image]) for row in of_person], [*of_person], False)


def _omissions(series: int, pictures: int) -> str:
    """The title: what is not drawn, and options that change it."""
    lines = []
    if series:
        lines.append(f"{series} people with fewer rows are not drawn. Choose people with --track and --person.")
    if pictures:
        lines.append(f"{pictures} rows of pictures are not drawn: only clips are.")
    return "\n".join(lines)


def _figure(names: Iterable[str]) -> tuple[Any, dict[str, Any], Any]:
    """Create a figure, its panels by angle name, and a last panel without a frame for the legend."""
    titles = list(names)
    rows = len(titles) // _COLUMNS + 1
    figure = import_extra("matplotlib.figure", extra="measure").Figure(
        figsize=(4.2 * _COLUMNS, 2.4 * rows + 1), layout="constrained"
    )
    axes = list(figure.subplots(rows, _COLUMNS, sharex=True).flat)
    spare = axes[len(titles)]
    spare.spines[:].set_visible(False)
    spare.yaxis.set_visible(False)
    panels = dict(zip(titles, axes, strict=False))
    for name, panel in panels.items():
        panel.set_title(name, fontsize=10)
        panel.set_ylabel("degrees", fontsize=8)
        panel.grid(alpha=0.3)
        panel.tick_params(labelsize=7)
    return figure, panels, spare


def _name_pictures(panel: Any, images: Sequence[str]) -> None:
    """Label the axis with the names of pictures if they fit. Otherwise it keeps their numbers."""
    if len(images) <= _MOST_NAMES:
        labels = [_short(image) for image in images]
        panel.set_xticks(range(len(images)), labels, rotation=90, fontsize=7)


def _short(image: str) -> str:
    """A name that fits. A $ is escaped, because matplotlib would read it as the beginning of a formula."""
    name = printable(os.path.basename(image) or image)
    shown = name if len(name) <= _LONGEST_NAME else "…" + name[1 - _LONGEST_NAME :]
    return shown.replace("$", r"\$")

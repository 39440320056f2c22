"""Angles over time: smoothed and plotted, a curve for each person of each clip."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from posecli.extras import need
from posecli.files.atomic import whole_file
from posecli.poses.angles import ANGLES, Measurement

#: Order of the polynomial of the Savitzky-Golay filter: keeps the height of a knee's peaks at any walking pace.
POLYNOMIAL_ORDER = 2
_COLUMNS = 3

Curve = list[Measurement]


def curves_of(measurements: Iterable[Measurement]) -> dict[tuple[str, int], Curve]:
    """The frames of each person, in order; pictures without a frame number follow one another as they come."""
    curves: dict[tuple[str, int], Curve] = defaultdict(list)
    for measurement in measurements:
        key = (measurement.image, measurement.person) if measurement.frame is not None else ("", measurement.person)
        curves[key].append(measurement)
    return dict(curves)


def smooth(measurements: Sequence[Measurement], seconds: float) -> list[Measurement]:
    """Angles after a Savitzky-Golay filter over so many seconds, where frames with a time are close enough; gaps stay.

    Needs the extra `measure`.
    """
    smoothed = {}
    for curve in curves_of(measurements).values():
        times = [one.time for one in curve]
        if len(curve) < 2 or any(time is None for time in times):
            continue
        step = float(np.median(np.diff(np.array(times, float))))
        columns = {name: _filtered([one.angles[name] for one in curve], seconds, step) for name in ANGLES}
        for place, one in enumerate(curve):
            smoothed[id(one)] = one._replace(angles={name: columns[name][place] for name in ANGLES})
    return [smoothed.get(id(one), one) for one in measurements]


def _filtered(values: Sequence[float | None], seconds: float, step: float) -> list[float | None]:
    window = max(round(seconds / step) // 2 * 2 + 1, POLYNOMIAL_ORDER + 1) if step > 0 else 1
    result = list(values)
    for start, stop in _runs(values):
        if stop - start >= window > POLYNOMIAL_ORDER:
            part: npt.NDArray[np.float64] = np.unwrap(np.array(values[start:stop], float), period=360)
            filtered = need("scipy.signal", extra="measure").savgol_filter(part, window, POLYNOMIAL_ORDER)
            result[start:stop] = filtered.tolist()
    return result


def _runs(values: Sequence[float | None]) -> Iterable[tuple[int, int]]:
    """Stretches without a gap: first, and one past the last."""
    start = None
    for place, value in enumerate([*values, None]):
        if value is not None and start is None:
            start = place
        elif value is None and start is not None:
            yield start, place
            start = None


def plot(measurements: Iterable[Measurement], path: str) -> None:
    """A PNG with a panel for each angle and a line for each person. Needs the extra `measure`."""
    figure_module = need("matplotlib.figure", extra="measure")
    curves = curves_of(measurements)
    rows = -(-len(ANGLES) // _COLUMNS)
    figure = figure_module.Figure(figsize=(4.2 * _COLUMNS, 2.4 * rows), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, sharex=True, squeeze=False).flat
    timed = any(one.time is not None for curve in curves.values() for one in curve)
    for panel, name in zip(panels, [*ANGLES, *[""] * (rows * _COLUMNS - len(ANGLES))], strict=True):
        if not name:
            panel.set_visible(False)
            continue
        for (image, person), curve in curves.items():
            x = [one.time if timed else place for place, one in enumerate(curve)]
            y = [np.nan if one.angles[name] is None else one.angles[name] for one in curve]
            panel.plot(x, y, "-" if timed else "o", label=f"{image} person {person}".strip())
        panel.set_title(name, fontsize=10)
        panel.set_ylabel("degrees", fontsize=8)
        panel.grid(alpha=0.3)
    for panel in figure.axes[len(ANGLES) - _COLUMNS : len(ANGLES)]:
        panel.set_xlabel("seconds" if timed else "picture", fontsize=8)
        panel.tick_params(labelbottom=True)
    if 1 < len(curves) <= 12:
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    with whole_file(path) as file:
        file.write(data.getvalue())

"""Angles over time: a curve for each person of each clip. Which changes are implausible; smoothing.

A curve is cut into stretches wherever the person is absent or frames are missing. Nothing is computed across a cut.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from math import ceil, log10

import numpy as np
import numpy.typing as npt

from posecli.extras import need
from posecli.poses.angles import ANGLES, SPANS, Measurement, Span
from posecli.types import Record

#: Degrees a second. Knees of sprinters reach 1000; arms that throw are faster.
FASTEST = 1000.0
#: Degrees by which an angle may change besides, however short the time, since keypoints tremble.
TREMBLE = 10.0
#: A stretch ends where the next frame comes later than this, in frames.
_LATE = 1.5
#: Order of the polynomial of the Savitzky-Golay filter: keeps the height of a knee's peaks at any walking pace.
_POLYNOMIAL_ORDER = 2
#: Frames. The filter changes nothing where its polynomial goes through all points of a window.
_LEAST_WINDOW = _POLYNOMIAL_ORDER + 3

Curve = tuple[str, int | None]
Numbers = npt.NDArray[np.float64]


class FrameTimes:
    """When the frames of each clip are, with people in them or not."""

    def __init__(self) -> None:
        self._times: dict[str, set[float]] = defaultdict(set)

    def noted(self, records: Iterable[Record]) -> Iterator[Record]:
        """The records, while their times are noted."""
        for record in records:
            if record.frame is not None and record.time is not None:
                self._times[record.image].add(record.time)
            yield record

    def step(self, image: str) -> float | None:
        """Seconds from a frame of a clip to the next, the median; None where there are no two frames with a time."""
        steps = np.diff(np.array(sorted(self._times.get(image, ())), float))
        return float(np.median(steps)) if len(steps) else None


class Unsmoothed(Enum):
    """Why the curves of an input cannot be smoothed."""

    STILL = "no clip"
    SLOW = "too few frames a second"
    UNTRACKED = "several people without tracks"


def curves_of(measurements: Sequence[Measurement]) -> dict[Curve, list[int]]:
    """The places of each curve's measurements, in order of time; a curve is a track, or the only person of a clip.

    In no curve: stills, and people without a track who share a clip.
    """
    people = Counter((one.image, one.frame) for one in measurements)
    shared = {one.image for one in measurements if one.track is not None or people[one.image, one.frame] > 1}
    curves: dict[Curve, list[int]] = defaultdict(list)
    for place, one in enumerate(measurements):
        if one.frame is not None and one.time is not None and (one.track is not None or one.image not in shared):
            curves[one.image, one.track].append(place)
    for places in curves.values():
        places.sort(key=lambda place: measurements[place].time or 0.0)
    return dict(curves)


def stretches_of(measurements: Sequence[Measurement], places: Sequence[int], step: float | None) -> list[list[int]]:
    """The places of a curve, cut where frames are missing. step: seconds from a frame of the clip to the next."""
    times = np.array([measurements[place].time for place in places], float)
    gaps = np.diff(times)
    cuts = np.flatnonzero((gaps > _LATE * (step or 0.0)) | (gaps <= 0)) + 1
    return [part.tolist() for part in np.split(np.array(places, int), cuts)]


def flag_jumps(measurements: Sequence[Measurement], times: FrameTimes) -> list[Measurement]:
    """With a quality of 0 where an angle cannot have come from the last plausible one of its stretch: it would have
    changed by more than `FASTEST` and `TREMBLE`."""
    flagged = list(measurements)
    for (image, _), places in curves_of(measurements).items():
        for stretch in stretches_of(measurements, places, times.step(image)):
            jumps = {name: _jumps([measurements[place] for place in stretch], name) for name in ANGLES}
            for number, place in enumerate(stretch):
                quality = {name: 0.0 if jumps[name][number] else measurements[place].quality[name] for name in ANGLES}
                flagged[place] = measurements[place]._replace(quality=quality)
    return flagged


def _jumps(stretch: Sequence[Measurement], name: str) -> list[bool]:
    """For each measurement whether its angle is implausible."""
    found: list[bool] = []
    plausible: tuple[float, float] | None = None
    for one in stretch:
        angle, time = one.angles[name], one.time or 0.0
        if angle is None:
            found.append(False)
            continue
        jumps = plausible is not None and _is_jump(angle, time, *plausible, span=SPANS[name])
        found.append(jumps)
        if not jumps:
            plausible = angle, time
    return found


def _is_jump(angle: float, time: float, last_angle: float, last_time: float, *, span: Span) -> bool:
    return _distance(angle, last_angle, span) > FASTEST * (time - last_time) + TREMBLE


def _distance(one: float, other: float, span: Span) -> float:
    if span.period is None:
        return abs(one - other)
    return abs((one - other + span.period / 2) % span.period - span.period / 2)


def smooth(measurements: Sequence[Measurement], seconds: float, times: FrameTimes) -> list[Measurement]:
    """Angles after a Savitzky-Golay filter over so many seconds, within each stretch that has all frames and the angle.

    Angles with a quality of 0 do not count: the filter goes on between the angles around them. What `unsmoothed` tells
    stays as it is. Needs the extra `measure`.
    """
    smoothed = list(measurements)
    for (image, _), places in curves_of(measurements).items():
        step = times.step(image)
        window = _window(seconds, step)
        for stretch in stretches_of(measurements, places, step) if window >= _LEAST_WINDOW else ():
            some = [measurements[place] for place in stretch]
            columns = {name: _smoothed(some, name, window) for name in ANGLES}
            for number, place in enumerate(stretch):
                angles = {name: columns[name][number] for name in ANGLES}
                smoothed[place] = smoothed[place]._replace(angles=angles)
    return smoothed


def unsmoothed(measurements: Sequence[Measurement], seconds: float, times: FrameTimes) -> dict[str, Unsmoothed]:
    """The inputs of which `smooth` leaves everything as it is, and why."""
    curves = {image for image, _ in curves_of(measurements)}
    found = {}
    for one in measurements:
        step = times.step(one.image)
        if one.frame is None or step is None:
            found[one.image] = Unsmoothed.STILL
        elif one.image not in curves:
            found[one.image] = Unsmoothed.UNTRACKED
        elif _window(seconds, step) < _LEAST_WINDOW:
            found[one.image] = Unsmoothed.SLOW
    return found


def least_seconds(step: float) -> float:
    """The shortest smoothing that does anything, rounded up to two digits. step: seconds from a frame to the next."""
    least = (_LEAST_WINDOW - 1) * step
    unit = 10.0 ** (ceil(log10(least)) - 2)
    return float(f"{ceil(least / unit - 1e-6) * unit:.2g}")


def _window(seconds: float, step: float | None) -> int:
    """An odd number of frames; 0 where nothing follows upon another."""
    return 0 if step is None else int(min(round(seconds / step), 1e9)) // 2 * 2 + 1


def _smoothed(stretch: Sequence[Measurement], name: str, window: int) -> list[float | None]:
    """One angle of a stretch, filtered wherever it is there in enough frames that follow one another."""
    result = [one.angles[name] for one in stretch]
    for start, stop in _runs(result):
        width = min(window, (stop - start - 1) // 2 * 2 + 1)
        trusted = np.array([one.quality[name] != 0 for one in stretch[start:stop]])
        if width >= _LEAST_WINDOW and trusted.any():
            values = np.array(result[start:stop], float)
            result[start:stop] = _filtered(values, trusted, width, SPANS[name]).tolist()
    return result


def _filtered(values: Numbers, trusted: npt.NDArray[np.bool_], width: int, span: Span) -> Numbers:
    places = np.arange(len(values))
    known = values[trusted]
    if span.period is not None:
        known = np.unwrap(known, period=span.period)
    even = np.interp(places, places[trusted], known)
    filtered: Numbers = need("scipy.signal", extra="measure").savgol_filter(even, width, _POLYNOMIAL_ORDER)
    if span.period is not None:
        return (filtered - span.low) % span.period + span.low
    return np.clip(filtered, span.low, span.high)


def _runs(values: Sequence[float | None]) -> Iterable[tuple[int, int]]:
    """Stretches without a gap: first, and one past the last."""
    start = None
    for place, value in enumerate([*values, None]):
        if value is not None and start is None:
            start = place
        elif value is None and start is not None:
            yield start, place
            start = None

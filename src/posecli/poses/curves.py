"""Angles over time: one curve for each person of each clip. Detection of implausible jumps, and smoothing.

A curve is cut into stretches where the person is absent or frames are missing. Nothing is computed across a cut.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from math import ceil, log10

import numpy as np
import numpy.typing as npt

from posecli.extras import import_extra
from posecli.poses.angles import ANGLES, SPANS, Measurement, Span
from posecli.types import Record

#: Largest plausible speed, degrees per second. The knees of sprinters reach 1000; throwing arms are faster.
MAX_SPEED = 1000.0
#: Degrees that an angle may change in addition, in any time: the noise of keypoints.
ANGLE_NOISE = 10.0
#: A stretch ends if the next frame is later than this, in median frame intervals.
_LATE = 1.5
#: Order of the Savitzky-Golay filter's polynomial: keeps the height of a knee's peaks at any walking pace.
_POLYNOMIAL_ORDER = 2
#: Frames. In a shorter window the polynomial passes through all points, and the filter changes nothing.
_LEAST_WINDOW = _POLYNOMIAL_ORDER + 3

Curve = tuple[str, int | None]
Numbers = npt.NDArray[np.float64]


class FrameTimes:
    """The times of all frames of each clip, with or without people."""

    def __init__(self) -> None:
        self._times: dict[str, set[float]] = defaultdict(set)

    def noted(self, records: Iterable[Record]) -> Iterator[Record]:
        """Pass records through and note their times."""
        for record in records:
            if record.frame is not None and record.time is not None:
                self._times[record.image].add(record.time)
            yield record

    def step(self, image: str) -> float | None:
        """The median interval between frames of a clip, seconds; None with fewer than two frames that have a time."""
        steps = np.diff(np.array(sorted(self._times.get(image, ())), float))
        return float(np.median(steps)) if len(steps) else None


class Unsmoothed(Enum):
    """Why the curves of an input cannot be smoothed."""

    STILL = "not a clip"
    SLOW = "frame rate too low"
    UNTRACKED = "several people without tracks"


def curves_of(measurements: Sequence[Measurement]) -> dict[Curve, list[int]]:
    """The indices of each curve's measurements, in order of time. A curve is a track, or the only person of a clip.

    Not in any curve: stills, and people without a track in a clip of several people.
    """
    people = Counter((one.image, one.frame) for one in measurements)
    shared = {one.image for one in measurements if one.track is not None or people[one.image, one.frame] > 1}
    curves: dict[Curve, list[int]] = defaultdict(list)
    for index, one in enumerate(measurements):
        if one.frame is not None and one.time is not None and (one.track is not None or one.image not in shared):
            curves[one.image, one.track].append(index)
    for indices in curves.values():
        indices.sort(key=lambda index: measurements[index].time or 0.0)
    return dict(curves)


def stretches_of(measurements: Sequence[Measurement], indices: Sequence[int], step: float | None) -> list[list[int]]:
    """The indices of a curve, cut where frames are missing. step: the clip's median frame interval, seconds."""
    times = np.array([measurements[index].time for index in indices], float)
    gaps = np.diff(times)
    cuts = np.flatnonzero((gaps > _LATE * (step or 0.0)) | (gaps <= 0)) + 1
    return [part.tolist() for part in np.split(np.array(indices, int), cuts)]


def flag_jumps(measurements: Sequence[Measurement], times: FrameTimes) -> list[Measurement]:
    """Set the quality of implausible angles to 0: those that differ from the last plausible angle of their stretch by
    more than `MAX_SPEED` (times the seconds between them) plus `ANGLE_NOISE`."""
    flagged = list(measurements)
    for (image, _), indices in curves_of(measurements).items():
        for stretch in stretches_of(measurements, indices, times.step(image)):
            jumps = {name: _jumps([measurements[index] for index in stretch], name) for name in ANGLES}
            for number, index in enumerate(stretch):
                quality = {name: 0.0 if jumps[name][number] else measurements[index].quality[name] for name in ANGLES}
                flagged[index] = measurements[index]._replace(quality=quality)
    return flagged


def _jumps(stretch: Sequence[Measurement], name: str) -> list[bool]:
    """For each measurement, whether its angle is implausible."""
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
    return _distance(angle, last_angle, span) > MAX_SPEED * (time - last_time) + ANGLE_NOISE


def _distance(one: float, other: float, span: Span) -> float:
    if span.period is None:
        return abs(one - other)
    return abs((one - other + span.period / 2) % span.period - span.period / 2)


def smooth(measurements: Sequence[Measurement], seconds: float, times: FrameTimes) -> list[Measurement]:
    """Smooth angles with a Savitzky-Golay filter, within stretches that have all frames and the angle.

    seconds: the length of the filter's window. Angles with a quality of 0 are replaced by interpolation before the
    filter. Inputs that `unsmoothed` returns stay unchanged. Needs the extra `measure`.
    """
    smoothed = list(measurements)
    for (image, _), indices in curves_of(measurements).items():
        step = times.step(image)
        window = _window(seconds, step)
        for stretch in stretches_of(measurements, indices, step) if window >= _LEAST_WINDOW else ():
            chosen = [measurements[index] for index in stretch]
            columns = {name: _smoothed(chosen, name, window) for name in ANGLES}
            for number, index in enumerate(stretch):
                angles = {name: columns[name][number] for name in ANGLES}
                smoothed[index] = smoothed[index]._replace(angles=angles)
    return smoothed


def unsmoothed(measurements: Sequence[Measurement], seconds: float, times: FrameTimes) -> dict[str, Unsmoothed]:
    """The inputs that `smooth` leaves unchanged, and why."""
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
    """The shortest window that has an effect, seconds, rounded up to two digits. step: frame interval, seconds."""
    least = (_LEAST_WINDOW - 1) * step
    unit = 10.0 ** (ceil(log10(least)) - 2)
    return float(f"{ceil(least / unit - 1e-6) * unit:.2g}")


def _window(seconds: float, step: float | None) -> int:
    """The filter's window: an odd number of frames; 0 without a frame interval."""
    return 0 if step is None else int(min(round(seconds / step), 1e9)) // 2 * 2 + 1


def _smoothed(stretch: Sequence[Measurement], name: str, window: int) -> list[float | None]:
    """One angle of a stretch, filtered where enough consecutive frames have it."""
    result = [one.angles[name] for one in stretch]
    for start, stop in _runs(result):
        width = min(window, (stop - start - 1) // 2 * 2 + 1)
        trusted = np.array([one.quality[name] != 0 for one in stretch[start:stop]])
        if width >= _LEAST_WINDOW and trusted.any():
            values = np.array(result[start:stop], float)
            result[start:stop] = _filtered(values, trusted, width, SPANS[name]).tolist()
    return result


def _filtered(values: Numbers, trusted: npt.NDArray[np.bool_], width: int, span: Span) -> Numbers:
    indices = np.arange(len(values))
    trusted_values = values[trusted]
    if span.period is not None:
        trusted_values = np.unwrap(trusted_values, period=span.period)
    interpolated = np.interp(indices, indices[trusted], trusted_values)
    filtered: Numbers = import_extra("scipy.signal", extra="measure").savgol_filter(
        interpolated, width, _POLYNOMIAL_ORDER
    )
    if span.period is not None:
        return (filtered - span.low) % span.period + span.low
    return np.clip(filtered, span.low, span.high)


def _runs(values: Sequence[float | None]) -> Iterable[tuple[int, int]]:
    """Runs of consecutive values: the first index, and one past the last."""
    start = None
    for index, value in enumerate([*values, None]):
        if value is not None and start is None:
            start = index
        elif value is None and start is not None:
            yield start, index
            start = None

"""Smooth the keypoints of tracked people over time, without lag and without outliers.

Outliers are found with the Hampel identifier: a keypoint that is far from the median of its neighbours in time has
jumped, for example to another limb or another person. A keypoint is replaced by the value of a parabola, fitted by
weighted least squares to the frames before and after it (local regression: Cleveland, Robust locally weighted
regression, 1979). The fit follows movement without lag; a filter of past frames alone would lag behind.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from posecli.poses.lookahead import Lookahead, time_of
from posecli.poses.similarity import VISIBLE_SCORE, Points, Values, as_decoded, extent, mean_side
from posecli.types import Pose, Record

#: Standard deviation of the Gaussian weights of the frames around one, seconds.
KERNEL_SECONDS = 0.08
#: Frames further away than this many standard deviations do not count.
KERNEL_REACH = 2.5
#: Lookahead, frames.
LEAST_AHEAD, MOST_AHEAD = 2, 6
#: Neighbours in time on each side of a frame whose median an outlier is compared with.
NEIGHBOURS = 2
#: Lowest distance of an outlier from the median: in scaled median deviations, and as a share of the person's size.
OUTLIER_DEVIATIONS, OUTLIER_DISTANCE = 3.0, 0.1
#: The standard deviation of a normal distribution is its median absolute deviation times this.
MAD_SCALE = 1.4826
#: Ridge penalty on the parabola's slope and curvature, as a share of all weights: two frames define no parabola.
RIDGE = 0.1
#: The weight of a keypoint is the square of its score, but at least this.
LEAST_WEIGHT = 1e-3


class _Sample(NamedTuple):
    """A tracked person in a frame. xy: [17, 2] keypoints, picture pixels. scores: [17]. size: mean side of the box."""

    time: float
    xy: Points
    scores: Values
    size: float


class Smoother(Lookahead):
    """Smooths the keypoints of every tracked person of a clip. Stills and people without an id pass unchanged."""

    def __init__(self) -> None:
        super().__init__(KERNEL_REACH * KERNEL_SECONDS, least=LEAST_AHEAD, most=MOST_AHEAD)
        self._reset()

    def _reset(self) -> None:
        self._samples: dict[int, deque[_Sample]] = {}

    def _add(self, record: Record, time: float) -> None:
        for pose in record.poses:
            if pose.id is not None:
                decoded = as_decoded(pose)
                size = mean_side(*extent(decoded.xy, decoded.scores, VISIBLE_SCORE))
                self._samples.setdefault(pose.id, deque()).append(_Sample(time, decoded.xy, decoded.scores, size))

    def _settle(self, record: Record) -> Record:
        time = time_of(record)
        return replace(record, poses=tuple(self._smoothed(pose, time) for pose in record.poses))

    def _smoothed(self, pose: Pose, time: float) -> Pose:
        if pose.id is None:
            return pose
        samples = self._samples[pose.id]
        while time - samples[0].time > 2 * KERNEL_REACH * KERNEL_SECONDS and _before(samples, time) > NEIGHBOURS:
            samples.popleft()
        xy = _fitted(list(samples), _before(samples, time))
        points = [point._replace(x=float(x), y=float(y)) for point, (x, y) in zip(pose.keypoints, xy, strict=True)]
        return pose._replace(box=Pose.from_keypoints(pose.score, points).box, keypoints=tuple(points)).rounded()


def _before(samples: Iterable[_Sample], time: float) -> int:
    """The number of samples of earlier frames."""
    return sum(sample.time < time for sample in samples)


def _fitted(samples: Sequence[_Sample], index: int) -> Points:
    """Fit a parabola around one sample of a person; return its keypoints [17, 2] from the fit."""
    centre = samples[index]
    near = [n for n, one in enumerate(samples) if abs(one.time - centre.time) <= KERNEL_REACH * KERNEL_SECONDS]
    near = sorted({*near, *range(max(index - 1, 0), min(index + 2, len(samples)))})
    steps = np.array([samples[n].time - centre.time for n in near]) / KERNEL_SECONDS  # [n]
    scores = np.array([samples[n].scores for n in near])  # [n, 17]
    jumped = _outliers(samples, near)
    weights = np.exp(-(steps**2) / 2)[:, None] * np.maximum(scores**2, LEAST_WEIGHT) * np.where(jumped, 1e-6, 1.0)
    design = np.stack([np.ones_like(steps), steps, steps**2], axis=1)  # [n, 3]
    left = np.einsum("nk,ni,nj->kij", weights, design, design)  # [17, 3, 3]
    left += weights.sum(axis=0)[:, None, None] * np.diag([0.0, RIDGE, RIDGE])
    right = np.einsum("nk,ni,nkc->kic", weights, design, np.array([samples[n].xy for n in near]))
    fitted: Points = np.linalg.solve(left, right)[:, 0]
    return fitted


def _outliers(samples: Sequence[_Sample], indices: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Mark the keypoints, [indices, 17], that are far from the median of the samples before and after."""
    found = np.zeros((len(indices), len(samples[0].scores)), bool)
    windows = [range(max(index - NEIGHBOURS, 0), min(index + NEIGHBOURS + 1, len(samples))) for index in indices]
    xy = np.array([one.xy for one in samples])
    for length in {len(window) for window in windows if len(window) > NEIGHBOURS}:
        rows = [row for row, window in enumerate(windows) if len(window) == length]
        around = xy[[windows[row] for row in rows]]  # [rows, length, 17, 2]
        median = np.median(around, axis=1)
        deviation = MAD_SCALE * np.median(np.linalg.norm(around - median[:, None], axis=3), axis=1)
        sizes = np.array([samples[indices[row]].size for row in rows])[:, None]
        limit = np.maximum(OUTLIER_DEVIATIONS * deviation, OUTLIER_DISTANCE * sizes)
        found[rows] = np.linalg.norm(xy[[indices[row] for row in rows]] - median, axis=2) > limit
    return found

"""Track people over the frames of a clip: every person gets a number.

Detections are assigned to tracks as in ByteTrack (Zhang et al., ECCV 2022): first strong detections to all tracks, then
weak detections to the remaining tracks. Only strong detections begin a track. The assignment maximises the total
likeness (Hungarian method). Likeness is the OKS to the position that the track's Kalman filter predicts, times the
similarity of appearance. A track without a detection is kept for a while, so that a person who was hidden keeps the
number.

A track is tentative until most of the next few frames confirm it. People of tentative tracks have no number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp, inf, log
from typing import NamedTuple

import numpy as np

from posecli.extras import import_extra
from posecli.poses.lookahead import Lookahead
from posecli.poses.similarity import (
    LEAST_KEYPOINTS,
    TRACKED_PERSON,
    VISIBLE_SCORE,
    Points,
    Values,
    as_decoded,
    extent,
    mean_side,
    oks,
)
from posecli.types import Pose, Record, Settings

#: Longest time out of sight after which a person keeps the number, seconds.
DEFAULT_GAP = Settings.track_gap
#: Lookahead for the confirmation of a track, in seconds, with its limits in frames.
CONFIRMATION_SECONDS = 0.2
LEAST_CONFIRMATION, MOST_CONFIRMATION = 2, 6
#: Lowest pose score of a strong detection.
STRONG_SCORE = 0.25
#: A detection begins no track if its OKS to a better detection is at least this.
DUPLICATE_OF_A_TRACK = 0.3
#: Factor on the sigmas of the OKS, because people move between frames.
TOLERANCE = 3.0
#: Growth of that factor per second since the last detection, as a share of it.
GROWTH = 4.0
#: Standard deviation of the likeness of colours: root mean square difference, 0..1.
COLOUR_SPREAD = 0.12
#: Standard deviation of the likeness of sizes: natural logarithm of their ratio.
SIZE_SPREAD = 0.4
#: Time constant of the moving average of a person's colours, seconds.
COLOUR_MEMORY = 1.0
#: A person's colours are not updated if another body's box covers at least this share of the person's box.
OVERLAP = 0.3
#: Seconds since the last detection after which the predicted position and the tolerance no longer change.
LONGEST_PREDICTION = 1.0
#: Standard deviations, in units of the person's size: measured position; initial speed, per second; change of speed,
#: per second and square root of a second.
POSITION_NOISE, FIRST_SPEED, SPEED_CHANGE = 0.05, 1.0, 0.7


class _Detection(NamedTuple):
    """A person found in a frame, in picture pixels. xy: [17, 2] keypoints. scores: [17]. box: corners of the body box.
    size: mean side of the box. colours: of trunk and thighs (`appearance`), empty if unknown."""

    score: float
    xy: Points
    scores: Values
    box: tuple[Points, Points]
    size: float
    colours: Values

    @classmethod
    def of(cls, pose: Pose) -> _Detection:
        decoded = as_decoded(pose)
        box = extent(decoded.xy, decoded.scores, VISIBLE_SCORE)
        return cls(pose.score, decoded.xy, decoded.scores, box, mean_side(*box), np.array(pose.appearance))

    def covered_by(self, other: _Detection) -> float:
        """The share of this person's box that the other's box covers, 0..1."""
        common = np.minimum(self.box[1], other.box[1]) - np.maximum(self.box[0], other.box[0])
        return float(np.prod(common.clip(0)) / max(np.prod(self.box[1] - self.box[0]), 1.0))


class _Motion:
    """A Kalman filter with constant speed for a person's position; x and y share one covariance.

    Lengths are in pixels; `size` is the person's. No division by the time between frames, which may be very short.
    """

    def __init__(self, size: float) -> None:
        self._residual = np.zeros(2)  # filtered position minus last measured position
        self.speed = np.zeros(2)
        self._covariance = np.diag([(POSITION_NOISE * size) ** 2, (FIRST_SPEED * size) ** 2])

    def move(self, seconds: float, moved: Points, size: float) -> None:
        """Update the filter. moved: the measured movement, x and y, pixels, in `seconds`."""
        step = np.array([[1.0, seconds], [0.0, 1.0]])
        change = (SPEED_CHANGE * size) ** 2
        noise = change * np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        covariance = step @ self._covariance @ step.T + noise
        gain = covariance[:, 0] / (covariance[0, 0] + (POSITION_NOISE * size) ** 2)
        innovation = moved - self._residual - self.speed * seconds
        self._residual = (gain[0] - 1) * innovation
        self.speed = self.speed + gain[1] * innovation
        self._covariance = covariance - np.outer(gain, covariance[0])


class _Track:
    """A person over time. number: None while the track is tentative."""

    def __init__(self, detection: _Detection, time: float) -> None:
        self.number: int | None = None
        self.last, self.time = detection, time
        self.size, self.colours = detection.size, detection.colours
        self._motion = _Motion(detection.size)

    def predicted(self, time: float) -> Points:
        """The predicted keypoints at a time, [17, 2]."""
        return self.last.xy + self._motion.speed * min(time - self.time, LONGEST_PREDICTION)

    def update(self, detection: _Detection, time: float, *, apart: bool) -> None:
        """Add a detection to the track. apart: no other person overlaps."""
        weights = np.minimum(detection.scores, self.last.scores)[:, None] ** 2 + 1e-6
        moved = ((detection.xy - self.last.xy) * weights).sum(axis=0) / weights.sum()
        step = time - self.time
        self._motion.move(step, moved, self.size)
        self.size = 0.8 * self.size + 0.2 * detection.size
        if apart and self.colours.size and detection.colours.size:
            share = 1 - exp(-step / COLOUR_MEMORY)
            self.colours = (1 - share) * self.colours + share * detection.colours
        elif not self.colours.size:
            self.colours = detection.colours
        self.last, self.time = detection, time


class Tracker(Lookahead):
    """Sets the `id` of every person in the frames of a clip to the track's number; None while the track is tentative.

    gap: longest time out of sight after which a person keeps the number, seconds. Needs SciPy (extra `video`).
    """

    def __init__(self, *, gap: float = DEFAULT_GAP) -> None:
        super().__init__(CONFIRMATION_SECONDS, least=LEAST_CONFIRMATION, most=MOST_CONFIRMATION)
        self._gap = gap
        self._assign = import_extra("scipy.optimize", extra="video").linear_sum_assignment
        self._reset()

    def _reset(self) -> None:
        self._tracks: list[_Track] = []
        self._count = 0
        #: For each frame that is not settled, the tracks of its poses, in the order of the record.
        self._unsettled: deque[list[_Track | None]] = deque()

    def _add(self, record: Record, time: float) -> None:
        self._tracks = [track for track in self._tracks if time - track.time <= self._gap + 1e-6]
        detections = [_Detection.of(pose) for pose in record.poses]
        matches = self._match(detections, time)
        for index, track in matches.items():
            one = detections[index]
            apart = all(one is other or one.covered_by(other) < OVERLAP for other in detections)
            track.update(one, time, apart=apart)
        for index, one in enumerate(detections):
            if index not in matches and one.score >= STRONG_SCORE and not _is_duplicate(one, detections):
                matches[index] = _Track(one, time)
                self._tracks.append(matches[index])
        self._unsettled.append([matches.get(index) for index in range(len(detections))])

    def _match(self, detections: Sequence[_Detection], time: float) -> dict[int, _Track]:
        """Assign detections to tracks: index of the detection → its track."""
        matches: dict[int, _Track] = {}
        for stage in _STAGES:
            indices = [
                index for index, one in enumerate(detections)
                if index not in matches and (one.score >= STRONG_SCORE) is stage.strong
            ]  # fmt: skip
            free = [track for track in self._tracks if track not in matches.values()]
            tracks = [track for track in free if time - track.time <= stage.gap]
            if not indices or not tracks:
                continue
            likeness = np.array(
                [[stage.likeness(track, detections[index], time) for track in tracks] for index in indices]
            )
            for row, column in zip(*self._assign(-likeness), strict=True):
                if likeness[row, column] >= stage.least:
                    matches[indices[row]] = tracks[column]
        return matches

    def _settle(self, record: Record) -> Record:
        tracks = self._unsettled[0]
        for track in tracks:
            if track is not None and track.number is None and self._is_confirmed(track):
                self._count += 1
                track.number = self._count
        self._unsettled.popleft()
        poses = [
            pose._replace(id=None if track is None else track.number)
            for pose, track in zip(record.poses, tracks, strict=True)
        ]
        return replace(record, poses=tuple(poses))

    def _is_confirmed(self, track: _Track) -> bool:
        """Whether most of the unsettled frames show the person."""
        return 2 * sum(track in tracks for tracks in self._unsettled) > len(self._unsettled)


def _is_duplicate(one: _Detection, detections: Sequence[_Detection]) -> bool:
    """Whether a detection with a higher score shows the same person. A duplicate begins no track."""
    return any(
        other.score > one.score
        and oks(one.xy, other.xy, area=one.size**2, counted=one.scores >= VISIBLE_SCORE) >= DUPLICATE_OF_A_TRACK
        for other in detections
    )


def _likeness(track: _Track, detection: _Detection, time: float) -> float:
    """The likeness of a detection and a track, 0..1: of position, size and colours."""
    return (
        _position_likeness(track, detection, time)
        * _size_likeness(track, detection)
        * _colour_likeness(track, detection)
    )


def _position_likeness(track: _Track, detection: _Detection, time: float) -> float:
    """The OKS of a detection to the predicted position, 0..1, over the keypoints seen in both."""
    return oks(
        track.predicted(time),
        detection.xy,
        area=track.size**2,
        counted=(detection.scores >= VISIBLE_SCORE) & (track.last.scores >= VISIBLE_SCORE),
        least_counted=LEAST_KEYPOINTS,
        tolerance=TOLERANCE * (1 + GROWTH * min(time - track.time, LONGEST_PREDICTION)),
    )


def _size_likeness(track: _Track, detection: _Detection) -> float:
    """The likeness of sizes, 0..1."""
    return exp(-(log(detection.size / track.size) ** 2) / (2 * SIZE_SPREAD**2))


def _colour_likeness(track: _Track, detection: _Detection) -> float:
    """The likeness of colours, 0..1; 1 if either is unknown."""
    if not track.colours.size or not detection.colours.size:
        return 1.0
    squared = float(((track.colours - detection.colours) ** 2).mean())
    return exp(-squared / (2 * COLOUR_SPREAD**2))


class _Stage(NamedTuple):
    """One round of assignment in a frame: strong or weak detections, to tracks whose last detection is at most `gap`
    seconds old. least: lowest likeness of a match."""

    strong: bool
    gap: float
    likeness: Callable[[_Track, _Detection, float], float]
    least: float


#: The second stage is for people whose appearance has changed, for example because a bag or another person hides it.
#: It uses the position only, and only tracks seen shortly before.
_STAGES = (
    _Stage(True, inf, _likeness, TRACKED_PERSON),
    _Stage(True, 0.2, _position_likeness, 0.4),
    _Stage(False, 0.5, _likeness, TRACKED_PERSON),
)

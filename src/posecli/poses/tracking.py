"""Who is who from frame to frame: a number for each person of a clip.

Detections are assigned to tracks as in ByteTrack (Zhang et al., ECCV 2022): first the strong ones to all tracks, then
the weak ones to tracks that are left; only strong ones begin a track. The assignment is the best one overall
(Hungarian method) by likeness: OKS to where the track's Kalman filter expects the person, times likeness of
appearance. A track that nothing is assigned to is remembered for a while, so that somebody who was hidden keeps the
number.

A track is tentative until it is confirmed by most of the next few frames. People of tentative tracks have no number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import exp, inf, log
from typing import NamedTuple

import numpy as np

from posecli.extras import need
from posecli.poses.lookahead import Lookahead
from posecli.poses.similarity import (
    LEAST_KEYPOINTS,
    SEEN_SCORE,
    TRACKED_PERSON,
    Points,
    Values,
    as_decoded,
    extent,
    mean_side,
    oks,
)
from posecli.types import Pose, Record, Settings

#: Seconds that somebody may be out of sight.
DEFAULT_GAP = Settings.track_gap
#: Seconds, and frames, in which a track is confirmed.
CONFIRMATION_SECONDS = 0.2
LEAST_CONFIRMATION, MOST_CONFIRMATION = 2, 6
#: Pose score from which on a detection begins a track.
STRONG_SCORE = 0.25
#: OKS to a better detection from which on a detection begins no track.
DUPLICATE_OF_A_TRACK = 0.3
#: People move between frames: the sigmas of the OKS are multiplied by this, ...
TOLERANCE = 3.0
#: ... and by this share of it for every second out of sight, in which anything may happen.
GROWTH = 4.0
#: Colours this far apart (root mean square, 0..1) are likely to be another's: standard deviation of the likeness.
COLOUR_SPREAD = 0.12
#: Bodies whose sizes differ by this, natural logarithm, are likely to be another's: standard deviation.
SIZE_SPREAD = 0.4
#: Seconds over which a person's colours are averaged.
COLOUR_MEMORY = 1.0
#: Share of a body's box that somebody else covers from which on its colours are not taken up.
OVERLAP = 0.3
#: Seconds after which somebody out of sight is expected to go no further, and may be no further away.
LONGEST_STRIDE = 1.0
#: Standard deviations, in the person's size: of a measured position; of a speed at first, a second; of changes of the
#: speed, a second and square root of a second.
POSITION_NOISE, FIRST_SPEED, SPEED_CHANGE = 0.05, 1.0, 0.7


class _Detection(NamedTuple):
    """A person found in a frame, in picture pixels: keypoints xy [17, 2] and scores [17], the corners of the body's
    box, its mean side, and the colours worn."""

    score: float
    xy: Points
    scores: Values
    box: tuple[Points, Points]
    size: float
    colours: Values

    @classmethod
    def of(cls, pose: Pose) -> _Detection:
        decoded = as_decoded(pose)
        box = extent(decoded.xy, decoded.scores, SEEN_SCORE)
        return cls(pose.score, decoded.xy, decoded.scores, box, mean_side(*box), np.array(pose.clothes))

    def covered_by(self, other: _Detection) -> float:
        """The share of the body's box that another body's box covers, 0..1."""
        common = np.minimum(self.box[1], other.box[1]) - np.maximum(self.box[0], other.box[0])
        return float(np.prod(common.clip(0)) / max(np.prod(self.box[1] - self.box[0]), 1.0))


class _Motion:
    """A Kalman filter of constant speed for the way that a person has gone, x and y alike.

    Lengths are in pixels, `size` is the person's. Nothing is divided by the time between frames, which may be short.
    """

    def __init__(self, size: float) -> None:
        self._rest = np.zeros(2)  # from where the person was last measured to where the filter says
        self.speed = np.zeros(2)
        self._covariance = np.diag([(POSITION_NOISE * size) ** 2, (FIRST_SPEED * size) ** 2])

    def move(self, seconds: float, moved: Points, size: float) -> None:
        """Take in that the person has moved by so many pixels, x and y, in so many seconds."""
        step = np.array([[1.0, seconds], [0.0, 1.0]])
        change = (SPEED_CHANGE * size) ** 2
        noise = change * np.array([[seconds**3 / 3, seconds**2 / 2], [seconds**2 / 2, seconds]])
        covariance = step @ self._covariance @ step.T + noise
        gain = covariance[:, 0] / (covariance[0, 0] + (POSITION_NOISE * size) ** 2)
        surprise = moved - self._rest - self.speed * seconds
        self._rest = (gain[0] - 1) * surprise
        self.speed = self.speed + gain[1] * surprise
        self._covariance = covariance - np.outer(gain, covariance[0])


class _Track:
    """A person known. number: None as long as the track is tentative."""

    def __init__(self, detection: _Detection, time: float) -> None:
        self.number: int | None = None
        self.last, self.time = detection, time
        self.size, self.colours = detection.size, detection.colours
        self._motion = _Motion(detection.size)

    def expected(self, time: float) -> Points:
        """Where the keypoints should be by now."""
        return self.last.xy + self._motion.speed * min(time - self.time, LONGEST_STRIDE)

    def see(self, detection: _Detection, time: float, *, apart: bool) -> None:
        """Take up where the person was found. apart: nobody else overlaps."""
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
    """Gives everybody in the frames of a clip the number of the track as `id`; None as long as that is tentative.

    gap: seconds that somebody may be out of sight and keep the number. Needs SciPy (extra `video`).
    """

    def __init__(self, *, gap: float = DEFAULT_GAP) -> None:
        super().__init__(CONFIRMATION_SECONDS, least=LEAST_CONFIRMATION, most=MOST_CONFIRMATION)
        self._gap = gap
        self._assign = need("scipy.optimize", extra="video").linear_sum_assignment
        self._begin()

    def _begin(self) -> None:
        self._tracks: list[_Track] = []
        self._count = 0
        #: By place in the record, the tracks of each frame that is not settled.
        self._seen: deque[list[_Track | None]] = deque()

    def _see(self, record: Record, time: float) -> None:
        self._tracks = [track for track in self._tracks if time - track.time <= self._gap + 1e-6]
        detections = [_Detection.of(pose) for pose in record.poses]
        matches = self._match(detections, time)
        for place, track in matches.items():
            one = detections[place]
            apart = all(one is other or one.covered_by(other) < OVERLAP for other in detections)
            track.see(one, time, apart=apart)
        for place, one in enumerate(detections):
            if place not in matches and one.score >= STRONG_SCORE and not _is_duplicate(one, detections):
                matches[place] = _Track(one, time)
                self._tracks.append(matches[place])
        self._seen.append([matches.get(place) for place in range(len(detections))])

    def _match(self, detections: Sequence[_Detection], time: float) -> dict[int, _Track]:
        """By place among the detections, the track of each that has one."""
        matches: dict[int, _Track] = {}
        for stage in _STAGES:
            places = [
                place for place, one in enumerate(detections)
                if place not in matches and (one.score >= STRONG_SCORE) is stage.strong
            ]  # fmt: skip
            left = [track for track in self._tracks if track not in matches.values()]
            tracks = [track for track in left if time - track.time <= stage.gap]
            if not places or not tracks:
                continue
            likeness = np.array(
                [[stage.likeness(track, detections[place], time) for track in tracks] for place in places]
            )
            for row, column in zip(*self._assign(-likeness), strict=True):
                if likeness[row, column] >= stage.least:
                    matches[places[row]] = tracks[column]
        return matches

    def _settle(self, record: Record) -> Record:
        tracks = self._seen[0]
        for track in tracks:
            if track is not None and track.number is None and self._is_confirmed(track):
                self._count += 1
                track.number = self._count
        self._seen.popleft()
        poses = [
            pose._replace(id=None if track is None else track.number)
            for pose, track in zip(record.poses, tracks, strict=True)
        ]
        return replace(record, poses=tuple(poses))

    def _is_confirmed(self, track: _Track) -> bool:
        """Whether a person is found in most of the frames from the oldest one that is not settled on."""
        return 2 * sum(track in tracks for tracks in self._seen) > len(self._seen)


def _is_duplicate(one: _Detection, detections: Sequence[_Detection]) -> bool:
    """Whether a better detection overlaps with this one: what is left over of somebody begins no track."""
    return any(
        other.score > one.score
        and oks(one.xy, other.xy, area=one.size**2, counted=one.scores >= SEEN_SCORE) >= DUPLICATE_OF_A_TRACK
        for other in detections
    )


def _likeness(track: _Track, detection: _Detection, time: float) -> float:
    """How much a detection is like a person known, 0..1."""
    return _nearness(track, detection, time) * _same_size(track, detection) * _same_colours(track, detection)


def _nearness(track: _Track, detection: _Detection, time: float) -> float:
    """OKS of a detection to where a person should be, 0..1, over the keypoints seen in both."""
    return oks(
        track.expected(time),
        detection.xy,
        area=track.size**2,
        counted=(detection.scores >= SEEN_SCORE) & (track.last.scores >= SEEN_SCORE),
        least_counted=LEAST_KEYPOINTS,
        tolerance=TOLERANCE * (1 + GROWTH * min(time - track.time, LONGEST_STRIDE)),
    )


def _same_size(track: _Track, detection: _Detection) -> float:
    """Likeness of the bodies' sizes, 0..1."""
    return exp(-(log(detection.size / track.size) ** 2) / (2 * SIZE_SPREAD**2))


def _same_colours(track: _Track, detection: _Detection) -> float:
    """Likeness of what is worn, 0..1; 1 where either is not known."""
    if not track.colours.size or not detection.colours.size:
        return 1.0
    squared = float(((track.colours - detection.colours) ** 2).mean())
    return exp(-squared / (2 * COLOUR_SPREAD**2))


class _Stage(NamedTuple):
    """One of the assignments of a frame: of strong or of weak detections, to tracks that were seen `gap` seconds ago at
    most, where the likeness is at least `least`."""

    strong: bool
    gap: float
    likeness: Callable[[_Track, _Detection, float], float]
    least: float


#: The second one is for people whose appearance has changed, since a bag or somebody in front hides it: there the place
#: alone decides, soon after they were seen.
_STAGES = (
    _Stage(True, inf, _likeness, TRACKED_PERSON),
    _Stage(True, 0.2, _nearness, 0.4),
    _Stage(False, 0.5, _likeness, TRACKED_PERSON),
)

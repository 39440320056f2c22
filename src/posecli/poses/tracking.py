"""Who is who from frame to frame, and steadier keypoints over time. Works on records of clips, in the order of frames.

Tracking: every known person is moved on at his last speed; people found are given to people known by the best
assignment (Hungarian method) of likeness: of the pose to where it should be, and of the clothes' colours. Who is not
found is remembered for a while, so that somebody who was hidden keeps his number; whoever hides him wears something
else, and is not taken for him.

Steadiness: the One Euro filter (Casiez, Roussel, Vogel: 1€ Filter, CHI 2012), a low-pass whose cut-off rises with
speed: little jitter at rest, little lag in movement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import exp, pi

import numpy as np
import numpy.typing as npt

from posecli.extras import need
from posecli.poses.similarity import LEAST_KEYPOINTS, TRACKED_PERSON, Points, as_decoded, extent, oks
from posecli.types import Pose, Record, Settings

#: Seconds that somebody may be out of sight.
DEFAULT_GAP = Settings.track_gap
#: Keypoints below it say little about where somebody is.
SEEN_SCORE = 0.2
#: People move between frames: the sigmas of the OKS are multiplied by this, ...
TOLERANCE = 3.0
#: ... and by this share of it for every second out of sight, in which anything may happen.
GROWTH = 4.0
#: Colours this far apart (root mean square, 0..1) are likely to be another's: standard deviation of the likeness.
COLOUR_SPREAD = 0.12
#: What the newest frame counts for in the colours known.
COLOUR_SHARE = 0.1
#: Seconds over which a person's speed is averaged: keypoints jitter by more in a frame than people move.
SPEED_MEMORY = 0.15
#: Nobody is expected to go on as before for longer than this, seconds.
LONGEST_STRIDE = 1.0
#: Seconds between frames without a time.
FALLBACK_STEP = 0.1
#: Seconds out of sight after which a keypoint's filter begins anew.
FILTER_GAP = 1.0
#: One Euro: cut-off at rest (Hz), its rise with speed (per person's height a second), cut-off of the speed (Hz).
MIN_CUTOFF, BETA, SPEED_CUTOFF = 1.5, 6.0, 1.0


class _Track:
    """A person known: keypoints xy [17, 2] and scores when last seen, speed in pixels a second, size in pixels."""

    def __init__(self, number: int, pose: Pose, time: float) -> None:
        self.number = number
        self.speed = np.zeros(2)
        self._steps = 0
        self.xy, self.scores = _arrays(pose)
        self.size = _size(self.xy, self.scores)
        self.clothes = np.array(pose.clothes)
        self.time = time

    def expected(self, time: float) -> Points:
        """Where the keypoints should be by now."""
        return self.xy + self.speed * min(time - self.time, LONGEST_STRIDE)

    def see(self, pose: Pose, time: float) -> None:
        """Take up where the person was found."""
        xy, scores = _arrays(pose)
        step = max(time - self.time, 1e-3)
        weights = np.minimum(scores, self.scores)[:, None] ** 2 + 1e-6
        moved = ((xy - self.xy) * weights).sum(axis=0) / weights.sum()
        self._steps += 1
        share = max(1 / (self._steps + 1), 1 - exp(-step / SPEED_MEMORY))
        self.speed = (1 - share) * self.speed + share * moved / step
        self.size = 0.8 * self.size + 0.2 * _size(xy, scores)
        self.xy, self.scores, self.time = xy, scores, time
        colours = np.array(pose.clothes)
        if self.clothes.size and colours.size:
            colours = (1 - COLOUR_SHARE) * self.clothes + COLOUR_SHARE * colours
        self.clothes = colours if colours.size else self.clothes


def steps_over_time(settings: Settings, earlier: Iterable[Record] = ()) -> list[Tracker | Smoother]:
    """What is done to the records of clips, in this order; earlier: what a run before this one has finished of them."""
    if not settings.track:
        return []
    steps: list[Tracker | Smoother] = [Tracker(gap=settings.track_gap), *([Smoother()] if settings.smooth else [])]
    for record in earlier:
        for step in steps:
            step.remember(record)
    return steps


class Tracker:
    """Gives every person of every frame a number that stays. Stills pass unchanged.

    gap: seconds that somebody may be out of sight and keep his number. Needs SciPy (extra `video`).
    """

    def __init__(self, *, gap: float = DEFAULT_GAP) -> None:
        self._gap = gap
        self._assign = need("scipy.optimize", extra="video").linear_sum_assignment
        self._clip = ""
        self._tracks: list[_Track] = []
        self._count = 0

    def __call__(self, record: Record) -> Record:
        """The record with an `id` for everybody in it."""
        if record.frame is None or not record.ok:
            return record
        time = self._enter(record)
        matches = self._match(record.poses, time)
        poses = []
        for place, pose in enumerate(record.poses):
            track = matches.get(place)
            if track is None:
                self._count += 1
                track = _Track(self._count, pose, time)
                self._tracks.append(track)
            else:
                track.see(pose, time)
            poses.append(pose._replace(id=track.number))
        return replace(record, poses=tuple(poses))

    def remember(self, record: Record) -> None:
        """Take up a frame that an earlier run has finished: its people have their numbers already."""
        if record.frame is None or not record.ok:
            return
        time = self._enter(record)
        known = {track.number: track for track in self._tracks}
        for pose in record.poses:
            if pose.id is None:
                continue
            if pose.id in known:
                known[pose.id].see(pose, time)
            else:
                self._tracks.append(_Track(pose.id, pose, time))
            self._count = max(self._count, pose.id)

    def _enter(self, record: Record) -> float:
        """The time of a frame; whoever was out of sight for too long by then is forgotten."""
        if record.image != self._clip:
            self._clip, self._tracks, self._count = record.image, [], 0
        time = _time_of(record)
        self._tracks = [track for track in self._tracks if time - track.time <= self._gap + 1e-6]
        return time

    def _match(self, poses: Sequence[Pose], time: float) -> dict[int, _Track]:
        """By place in the record, the known person."""
        if not poses or not self._tracks:
            return {}
        likeness = np.array([[_likeness(track, pose, time) for track in self._tracks] for pose in poses])
        rows, columns = self._assign(-likeness)
        return {
            int(row): self._tracks[column]
            for row, column in zip(rows, columns, strict=True)
            if likeness[row, column] >= TRACKED_PERSON
        }


def _likeness(track: _Track, pose: Pose, time: float) -> float:
    """How much a pose is like a person known, 0..1."""
    return _nearness(track, pose, time) * _same_colours(track, pose)


def _nearness(track: _Track, pose: Pose, time: float) -> float:
    """OKS of a pose to where a person should be, 0..1, over the keypoints seen in both."""
    xy, scores = _arrays(pose)
    both = (scores >= SEEN_SCORE) & (track.scores >= SEEN_SCORE)
    return oks(
        track.expected(time),
        xy,
        area=max(track.size, 1.0) ** 2,
        counted=both,
        least_counted=LEAST_KEYPOINTS,
        tolerance=TOLERANCE * (1 + GROWTH * (time - track.time)),
    )


def _same_colours(track: _Track, pose: Pose) -> float:
    """Likeness of what is worn, 0..1; 1 where either is not known."""
    if not track.clothes.size or not pose.clothes:
        return 1.0
    squared = float(((track.clothes - np.array(pose.clothes)) ** 2).mean())
    return exp(-squared / (2 * COLOUR_SPREAD**2))


def _arrays(pose: Pose) -> tuple[Points, Points]:
    decoded = as_decoded(pose)
    return decoded.xy, decoded.scores


def _time_of(record: Record) -> float:
    """Seconds from the clip's beginning."""
    assert record.frame is not None
    return record.time if record.time is not None else record.frame * FALLBACK_STEP


def _size(xy: Points, scores: Points) -> float:
    """The mean side of the box around what is seen, pixels."""
    corner, far_corner = extent(xy, scores, SEEN_SCORE)
    return float(np.sqrt(np.prod(np.maximum(far_corner - corner, 1))))


class Smoother:
    """The One Euro filter on every keypoint of every tracked person. Stills and people without an id pass unchanged."""

    def __init__(self) -> None:
        self._states: dict[int, _FilterState] = {}
        self._clip = ""

    def __call__(self, record: Record) -> Record:
        """The record with steadier keypoints."""
        if record.frame is None or not record.ok:
            return record
        if record.image != self._clip:
            self._clip, self._states = record.image, {}
        time = _time_of(record)
        return replace(record, poses=tuple(self._smoothed(pose, time) for pose in record.poses))

    def remember(self, record: Record) -> None:
        """Take up a frame that an earlier run has finished: its keypoints are the filters' own."""
        if record.frame is None or not record.ok:
            return
        if record.image != self._clip:
            self._clip, self._states = record.image, {}
        time = _time_of(record)
        for pose in record.poses:
            if pose.id in self._states:
                self._states[pose.id].take_up(_arrays(pose)[0], time)
            elif pose.id is not None:
                self._states[pose.id] = _FilterState(_arrays(pose)[0], time)

    def _smoothed(self, pose: Pose, time: float) -> Pose:
        if pose.id is None:
            return pose
        xy, scores = _arrays(pose)
        state = self._states.get(pose.id)
        if state is None or time - state.time > FILTER_GAP:
            self._states[pose.id] = _FilterState(xy, time)
            return pose
        steady = state.step(xy, time, _size(xy, scores))
        points = [point._replace(x=float(x), y=float(y)) for point, (x, y) in zip(pose.keypoints, steady, strict=True)]
        return Pose.from_keypoints(pose.score, points)._replace(id=pose.id).rounded()


class _FilterState:
    def __init__(self, xy: Points, time: float) -> None:
        self.xy, self.time = xy, time
        self._speed = np.zeros_like(xy)

    def take_up(self, xy: Points, time: float) -> None:
        """Go on from keypoints that were filtered before."""
        self._speed = (xy - self.xy) / max(time - self.time, 1e-3)
        self.xy, self.time = xy, time

    def step(self, xy: Points, time: float, size: float) -> Points:
        """Filter the keypoints of the next frame; size makes speeds those of the body, not of the picture."""
        seconds = max(time - self.time, 1e-3)
        share = _smoothing(SPEED_CUTOFF, seconds)
        self._speed = share * (xy - self.xy) / seconds + (1 - share) * self._speed
        cutoff = MIN_CUTOFF + BETA * np.linalg.norm(self._speed, axis=1, keepdims=True) / size
        weight = _smoothing(cutoff, seconds)
        self.xy, self.time = weight * xy + (1 - weight) * self.xy, time
        return self.xy


def _smoothing(cutoff: npt.NDArray[np.float64] | float, seconds: float) -> npt.NDArray[np.float64]:
    """Share of the newest value in a low-pass of this cut-off frequency, Hz."""
    rate: npt.NDArray[np.float64] = 2 * pi * np.asarray(cutoff) * seconds
    return rate / (rate + 1)

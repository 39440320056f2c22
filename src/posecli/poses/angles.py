"""Joint angles from keypoints, in degrees, in the plane of the picture.

Joints (elbow, shoulder, hip, knee): the angle between the two limbs that meet there; 180 is stretched out.
Lines (trunk lean, neck): how far they lean from upright, and from the trunk; 0 is straight, positive is clockwise as
one sees the picture. Ankle line: how far it is from level, positive where its right end in the picture is lower.
What a keypoint below the threshold would decide is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import atan2, degrees
from typing import Any, NamedTuple

from posecli.skeleton import KEYPOINT_IDS
from posecli.types import Keypoint, Pose, Record

KEYPOINT_THRESHOLD = 0.3
#: Joint → the keypoints at the ends of its limbs, with the joint between them.
_JOINTS = {
    f"{side} {joint}": tuple(KEYPOINT_IDS[f"{side}{part}"] for part in parts)
    for joint, parts in (
        ("elbow", ("Shoulder", "Elbow", "Wrist")),
        ("shoulder", ("Elbow", "Shoulder", "Hip")),
        ("hip", ("Shoulder", "Hip", "Knee")),
        ("knee", ("Hip", "Knee", "Ankle")),
    )
    for side in ("left", "right")
}
ANGLES = (*_JOINTS, "trunk lean", "neck", "ankle line")

Point = tuple[float, float]


class Measurement(NamedTuple):
    """One person in one picture or frame: degrees by the names of `ANGLES`, None where it cannot be told."""

    image: str
    frame: int | None
    time: float | None
    person: int
    score: float
    angles: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """JSON form; frame and time only of clips."""
        data = {name: value for name, value in self._asdict().items() if value is not None}
        return {**data, "angles": {name: _rounded(value) for name, value in self.angles.items()}}


def measure(records: Iterable[Record], *, threshold: float = KEYPOINT_THRESHOLD) -> Iterator[Measurement]:
    """The angles of everybody. A person is known by the id of its track, else by its place in the record, from 1."""
    for record in records:
        for place, pose in enumerate(record.poses, 1):
            person = pose.id if pose.id is not None else place
            angles = angles_of(pose, threshold=threshold)
            yield Measurement(record.image, record.frame, record.time, person, pose.score, angles)


def angles_of(pose: Pose, *, threshold: float = KEYPOINT_THRESHOLD) -> dict[str, float | None]:
    """All angles of one person."""
    points: list[Point | None] = [(p.x, p.y) if p.score >= threshold else None for p in pose.keypoints]
    found: dict[str, float | None] = {
        name: _joint(points[one], points[middle], points[other]) for name, (one, middle, other) in _JOINTS.items()
    }
    shoulders, hips = _between(points, "Shoulder"), _between(points, "Hip")
    head = _between(points, "Ear") or points[KEYPOINT_IDS["nose"]]
    trunk = lean(hips, shoulders)
    neck = lean(shoulders, head)
    found["trunk lean"] = trunk
    found["neck"] = None if trunk is None or neck is None else _turn(neck - trunk)
    found["ankle line"] = _tilt(points[KEYPOINT_IDS["leftAnkle"]], points[KEYPOINT_IDS["rightAnkle"]])
    return found


def joint_positions(pose: Pose) -> dict[str, Keypoint]:
    """Where each joint's angle may be written: its keypoint."""
    return {name: pose.keypoints[middle] for name, (_, middle, _) in _JOINTS.items()}


def _joint(one: Point | None, middle: Point | None, other: Point | None) -> float | None:
    if one is None or middle is None or other is None or middle in (one, other):
        return None
    directions = (atan2(end[1] - middle[1], end[0] - middle[0]) for end in (one, other))
    first, second = directions
    return abs(_turn(degrees(first - second)))


def lean(low: Point | None, high: Point | None) -> float | None:
    """Degrees by which the line from a low point to a high one is turned clockwise from upright, -180..180; None where
    there is no such line."""
    if low is None or high is None or low == high:
        return None
    return degrees(atan2(high[0] - low[0], low[1] - high[1]))


def _tilt(one: Point | None, other: Point | None) -> float | None:
    if one is None or other is None or one == other:
        return None
    left, right = sorted((one, other))
    return degrees(atan2(right[1] - left[1], right[0] - left[0]))


def _between(points: Sequence[Point | None], part: str) -> Point | None:
    left, right = points[KEYPOINT_IDS[f"left{part}"]], points[KEYPOINT_IDS[f"right{part}"]]
    if left is None or right is None:
        return None
    return (left[0] + right[0]) / 2, (left[1] + right[1]) / 2


def _turn(angle: float) -> float:
    """The same direction within -180 to 180."""
    return (angle + 180) % 360 - 180


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)

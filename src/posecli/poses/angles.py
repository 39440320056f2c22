"""Joint angles from keypoints, in degrees, in the plane of the picture.

Joints (elbow, shoulder, hip, knee): the included angle between the two limbs that meet at the joint; 180 is straight.
Trunk lean: the trunk's angle from upright. Neck: its angle from the trunk. 0 is straight; clockwise in the picture is
positive. Ankle line: its angle from horizontal; positive if its right end in the picture is lower.
An angle is None if a keypoint that it needs scores below the threshold. `in_convention` converts to clinical angles.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import atan2, degrees
from typing import Any, NamedTuple

from posecli.skeleton import KEYPOINT_IDS
from posecli.types import Keypoint, Pose, Record

KEYPOINT_THRESHOLD = 0.3
#: Conventions for joint angles. included: 180 is straight. flexion: 0 is straight, flexion is positive.
CONVENTIONS = ("included", "flexion")


class Span(NamedTuple):
    """The range of an angle, in degrees. period: the period of a line's angle; None for joints."""

    low: float
    high: float
    period: float | None = None


#: Joint → its three keypoints; the joint is the middle one.
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
_SHOULDERS, _HIPS, _EARS, _ANKLES = (
    (KEYPOINT_IDS[f"left{part}"], KEYPOINT_IDS[f"right{part}"]) for part in ("Shoulder", "Hip", "Ear", "Ankle")
)
_NOSE = KEYPOINT_IDS["nose"]
#: The range of each angle. The ankle line has no direction, so its period is 180.
SPANS = {
    **dict.fromkeys(_JOINTS, Span(0, 180)),
    "trunk lean": Span(-180, 180, 360),
    "neck": Span(-180, 180, 360),
    "ankle line": Span(-90, 90, 180),
}
ANGLES = tuple(SPANS)
#: Joint → its name in the clinical convention, and the included angle that counts as 0 there.
_FLEXION = {
    name: (f"{name} elevation", 0) if name.endswith("shoulder") else (f"{name} flexion", 180) for name in _JOINTS
}

Point = tuple[float, float]


class Measurement(NamedTuple):
    """One person in one picture or frame.

    person: index in the record, from 0. track: the id of a tracked person. angles: degrees by the names of `ANGLES`;
    None if not measurable. quality: for each angle the lowest score of its keypoints, 0 to 1; 0 if the angle changes
    faster than a body moves (`curves.flag_jumps`); None without an angle.
    """

    image: str
    frame: int | None
    time: float | None
    person: int
    track: int | None
    score: float
    angles: Mapping[str, float | None]
    quality: Mapping[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; missing values are null."""
        angles = {name: _rounded(value, 1) for name, value in self.angles.items()}
        quality = {name: _rounded(value, 4) for name, value in self.quality.items()}
        return {**self._asdict(), "angles": angles, "quality": quality}


def measure(records: Iterable[Record], *, threshold: float = KEYPOINT_THRESHOLD) -> Iterator[Measurement]:
    """Measure the angles of all people. threshold: lowest score of a keypoint that is used."""
    for record in records:
        for person, pose in enumerate(record.poses):
            angles = angles_of(pose, threshold=threshold)
            quality = _lowest_scores(pose, angles, threshold)
            yield Measurement(record.image, record.frame, record.time, person, pose.id, pose.score, angles, quality)


def angles_of(pose: Pose, *, threshold: float = KEYPOINT_THRESHOLD) -> dict[str, float | None]:
    """All angles of one person, joints as included angles."""
    points: list[Point | None] = [(p.x, p.y) if p.score >= threshold else None for p in pose.keypoints]
    found: dict[str, float | None] = {
        name: _joint(points[one], points[middle], points[other]) for name, (one, middle, other) in _JOINTS.items()
    }
    shoulders, hips = _midpoint(points, _SHOULDERS), _midpoint(points, _HIPS)
    head = _midpoint(points, _EARS) or points[_NOSE]
    trunk = lean(hips, shoulders)
    neck = lean(shoulders, head)
    found["trunk lean"] = trunk
    found["neck"] = None if trunk is None or neck is None else _wrapped(neck - trunk)
    found["ankle line"] = _tilt(*(points[part] for part in _ANKLES))
    return found


def in_convention(measurement: Measurement, convention: str) -> Measurement:
    """Convert angles, and their names, to one of `CONVENTIONS`."""
    if convention == "included":
        return measurement
    angles: dict[str, float | None] = {}
    for name, value in measurement.angles.items():
        called, straight = _FLEXION.get(name, (name, 0))
        angles[called] = None if value is None else abs(straight - value) if name in _FLEXION else value
    quality = {_FLEXION.get(name, (name, 0))[0]: value for name, value in measurement.quality.items()}
    return measurement._replace(angles=angles, quality=quality)


def names_in(convention: str) -> tuple[str, ...]:
    """The names of all angles in one of `CONVENTIONS`."""
    return ANGLES if convention == "included" else tuple(_FLEXION.get(name, (name, 0))[0] for name in ANGLES)


def joint_positions(pose: Pose) -> dict[str, Keypoint]:
    """Joint → its keypoint: the place for the angle's label."""
    return {name: pose.keypoints[middle] for name, (_, middle, _) in _JOINTS.items()}


def _lowest_scores(pose: Pose, angles: Mapping[str, float | None], threshold: float) -> dict[str, float | None]:
    """For each angle the lowest score of its keypoints; None without an angle."""
    scores = [point.score for point in pose.keypoints]
    trunk = (*_SHOULDERS, *_HIPS)
    head = _EARS if min(scores[part] for part in _EARS) >= threshold else (_NOSE,)
    parts = {**_JOINTS, "trunk lean": trunk, "neck": (*trunk, *head), "ankle line": _ANKLES}
    return {
        name: None if value is None else min(scores[part] for part in parts[name]) for name, value in angles.items()
    }


def _joint(one: Point | None, middle: Point | None, other: Point | None) -> float | None:
    if one is None or middle is None or other is None or middle in (one, other):
        return None
    directions = (atan2(end[1] - middle[1], end[0] - middle[0]) for end in (one, other))
    first, second = directions
    return abs(_wrapped(degrees(first - second)))


def lean(low: Point | None, high: Point | None) -> float | None:
    """The clockwise angle from upright of the line from a low point to a high point, degrees, -180..180.

    None if a point is missing or both are equal.
    """
    if low is None or high is None or low == high:
        return None
    return degrees(atan2(high[0] - low[0], low[1] - high[1]))


def _tilt(one: Point | None, other: Point | None) -> float | None:
    if one is None or other is None or one == other:
        return None
    left, right = sorted((one, other))
    return degrees(atan2(right[1] - left[1], right[0] - left[0]))


def _midpoint(points: Sequence[Point | None], sides: tuple[int, int]) -> Point | None:
    left, right = (points[part] for part in sides)
    if left is None or right is None:
        return None
    return (left[0] + right[0]) / 2, (left[1] + right[1]) / 2


def _wrapped(angle: float) -> float:
    """The same angle in the range -180 to 180."""
    return (angle + 180) % 360 - 180


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)

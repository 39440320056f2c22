"""Joint angles from keypoints, in degrees, in the plane of the picture.

Joints (elbow, shoulder, hip, knee): the included angle between the two limbs that meet there; 180 is stretched out.
Lines (trunk lean, neck): how far they lean from upright, and from the trunk; 0 is straight, positive is clockwise as
one sees the picture. Ankle line: how far it is from level, positive where its right end in the picture is lower.
What a keypoint below the threshold would decide is left out. `in_convention` counts joints as clinicians do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import atan2, degrees
from typing import Any, NamedTuple

from posecli.skeleton import KEYPOINT_IDS
from posecli.types import Keypoint, Pose, Record

KEYPOINT_THRESHOLD = 0.3
#: How joints are counted: 180 is stretched out; 0 is, and flexion is positive.
CONVENTIONS = ("included", "flexion")


class Span(NamedTuple):
    """The values that an angle takes, in degrees. period: a line is the same again after so much; None for joints."""

    low: float
    high: float
    period: float | None = None


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
_SHOULDERS, _HIPS, _EARS, _ANKLES = (
    (KEYPOINT_IDS[f"left{part}"], KEYPOINT_IDS[f"right{part}"]) for part in ("Shoulder", "Hip", "Ear", "Ankle")
)
_NOSE = KEYPOINT_IDS["nose"]
#: The values of each angle. The ankle line has no head and no tail.
SPANS = {
    **dict.fromkeys(_JOINTS, Span(0, 180)),
    "trunk lean": Span(-180, 180, 360),
    "neck": Span(-180, 180, 360),
    "ankle line": Span(-90, 90, 180),
}
ANGLES = tuple(SPANS)
#: Joint → what it is called in the clinical convention, and the angle counted from.
_FLEXION = {
    name: (f"{name} elevation", 0) if name.endswith("shoulder") else (f"{name} flexion", 180) for name in _JOINTS
}

Point = tuple[float, float]


class Measurement(NamedTuple):
    """One person in one picture or frame.

    person: index in the record, from 0. track: the id of a tracked person. angles: degrees by the names of `ANGLES`,
    None where there is none. quality: of each angle, the least score of its keypoints, 0 to 1; 0 where the angle
    changes faster than a body moves (`curves.flag_jumps`); None where there is no angle.
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
        """JSON form, null where there is nothing."""
        angles = {name: _rounded(value, 1) for name, value in self.angles.items()}
        quality = {name: _rounded(value, 4) for name, value in self.quality.items()}
        return {**self._asdict(), "angles": angles, "quality": quality}


def measure(records: Iterable[Record], *, threshold: float = KEYPOINT_THRESHOLD) -> Iterator[Measurement]:
    """The angles of everybody."""
    for record in records:
        for person, pose in enumerate(record.poses):
            angles = angles_of(pose, threshold=threshold)
            quality = _least_scores(pose, angles, threshold)
            yield Measurement(record.image, record.frame, record.time, person, pose.id, pose.score, angles, quality)


def angles_of(pose: Pose, *, threshold: float = KEYPOINT_THRESHOLD) -> dict[str, float | None]:
    """All angles of one person, joints as included angles."""
    points: list[Point | None] = [(p.x, p.y) if p.score >= threshold else None for p in pose.keypoints]
    found: dict[str, float | None] = {
        name: _joint(points[one], points[middle], points[other]) for name, (one, middle, other) in _JOINTS.items()
    }
    shoulders, hips = _between(points, _SHOULDERS), _between(points, _HIPS)
    head = _between(points, _EARS) or points[_NOSE]
    trunk = lean(hips, shoulders)
    neck = lean(shoulders, head)
    found["trunk lean"] = trunk
    found["neck"] = None if trunk is None or neck is None else _turn(neck - trunk)
    found["ankle line"] = _tilt(*(points[part] for part in _ANKLES))
    return found


def in_convention(measurement: Measurement, convention: str) -> Measurement:
    """The same angles as one of `CONVENTIONS` counts and names them."""
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
    """Where each joint's angle may be written: its keypoint."""
    return {name: pose.keypoints[middle] for name, (_, middle, _) in _JOINTS.items()}


def _least_scores(pose: Pose, angles: Mapping[str, float | None], threshold: float) -> dict[str, float | None]:
    """For each angle that there is, the least score of the keypoints that decide it."""
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


def _between(points: Sequence[Point | None], sides: tuple[int, int]) -> Point | None:
    left, right = (points[part] for part in sides)
    if left is None or right is None:
        return None
    return (left[0] + right[0]) / 2, (left[1] + right[1]) / 2


def _turn(angle: float) -> float:
    """The same direction within -180 to 180."""
    return (angle + 180) % 360 - 180


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)

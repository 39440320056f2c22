"""OpenPose JSON, version 1.3: 18 points of its COCO model, or BODY_25. One file per image.

Positions are in picture pixels. `neck` is the middle of the shoulders, `midHip` the middle of the hips, each with the
mean of the two scores. PoseNet has no keypoints of feet: these are 0, 0, 0, OpenPose's value for missing points.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from posecli.errors import UsageError
from posecli.records.formats.base import ByteSink, Format, TextSink, WriteOptions, to_json
from posecli.skeleton import KEYPOINT_IDS
from posecli.types import Pose, Record

COCO_18 = (
    "nose", "neck", "rightShoulder", "rightElbow", "rightWrist", "leftShoulder", "leftElbow", "leftWrist",
    "rightHip", "rightKnee", "rightAnkle", "leftHip", "leftKnee", "leftAnkle", "rightEye", "leftEye", "rightEar",
    "leftEar",
)  # fmt: skip
BODY_25 = (
    "nose", "neck", "rightShoulder", "rightElbow", "rightWrist", "leftShoulder", "leftElbow", "leftWrist", "midHip",
    "rightHip", "rightKnee", "rightAnkle", "leftHip", "leftKnee", "leftAnkle", "rightEye", "leftEye", "rightEar",
    "leftEar", "leftBigToe", "leftSmallToe", "leftHeel", "rightBigToe", "rightSmallToe", "rightHeel",
)  # fmt: skip
_MIDDLES = {"neck": ("leftShoulder", "rightShoulder"), "midHip": ("leftHip", "rightHip")}
_EMPTY = (
    "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d", "pose_keypoints_3d",
    "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d",
)  # fmt: skip


def write(records: Iterable[Record], file: ByteSink, options: WriteOptions) -> None:
    """Raise UsageError: the format has no file of a whole run."""
    raise UsageError("openpose writes one file per image", "name a folder: -o FOLDER/")


def write_one(record: Record, file: ByteSink, options: WriteOptions) -> None:
    """Write the file of one image. If no person was found, its list of people is empty."""
    names = BODY_25 if options.body25 else COCO_18
    people = [_person(pose, names) for pose in record.poses]
    TextSink(file).write(to_json({"version": 1.3, "people": people}) + "\n")


def _person(pose: Pose, names: tuple[str, ...]) -> dict[str, Any]:
    numbers = [value for name in names for value in _point(pose, name)]
    return {"person_id": [-1], "pose_keypoints_2d": numbers} | {key: [] for key in _EMPTY}


def _point(pose: Pose, name: str) -> tuple[float, float, float]:
    parts = [pose.keypoints[KEYPOINT_IDS[part]] for part in _MIDDLES.get(name, (name,)) if part in KEYPOINT_IDS]
    if not parts:
        return 0, 0, 0
    count = len(parts)
    x, y, score = (sum(getattr(p, axis) for p in parts) / count for axis in ("x", "y", "score"))
    return round(x, 2), round(y, 2), round(score, 4)


_SUMMARY = "the people of one picture, as OpenPose writes them: 18 points, or BODY_25"
FORMAT = Format("openpose", write, "_keypoints.json", _SUMMARY, write_one, one_file_a_run=False)

"""Joint angles of figures with known angles."""

from __future__ import annotations

from dataclasses import replace
from math import cos, radians, sin

import pytest

from posecli.poses.angles import ANGLES, angles_of, in_convention, measure, names_in
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Keypoint, Pose

from ..test_types import make_record

#: A person who stands upright with the arms stretched out to the sides.
CROSS = {
    "nose": (0, -40), "leftEye": (4, -44), "rightEye": (-4, -44), "leftEar": (10, -40), "rightEar": (-10, -40),
    "leftShoulder": (20, 0), "rightShoulder": (-20, 0), "leftElbow": (50, 0), "rightElbow": (-50, 0),
    "leftWrist": (80, 0), "rightWrist": (-80, 0), "leftHip": (20, 60), "rightHip": (-20, 60),
    "leftKnee": (20, 110), "rightKnee": (-20, 110), "leftAnkle": (20, 160), "rightAnkle": (-20, 160),
}  # fmt: skip


def figure(turn: float = 0.0, **moved: tuple[float, float]) -> Pose:
    """The cross with some keypoints moved, then turned clockwise. turn: degrees."""
    c, s = cos(radians(turn)), sin(radians(turn))
    points = {**CROSS, **moved}
    return Pose.from_keypoints(
        0.9,
        [
            Keypoint(i, part, points[part][0] * c - points[part][1] * s, points[part][0] * s + points[part][1] * c, 0.9)
            for i, part in enumerate(KEYPOINT_NAMES)
        ],
    )


def test_angles_of_an_upright_figure() -> None:
    angles = angles_of(figure())
    for side in ("left", "right"):
        assert angles[f"{side} elbow"] == pytest.approx(180)
        assert angles[f"{side} shoulder"] == pytest.approx(90)
        assert angles[f"{side} hip"] == pytest.approx(180)
        assert angles[f"{side} knee"] == pytest.approx(180)
    assert [angles[name] for name in ("trunk lean", "neck", "ankle line")] == pytest.approx([0, 0, 0])
    assert tuple(angles) == ANGLES


@pytest.mark.parametrize("turn", [-170, -60, 15, 60, 120])
def test_turning_the_figure_changes_its_lines_but_not_its_joints(turn: float) -> None:
    upright, turned = angles_of(figure()), angles_of(figure(turn))
    for name in ANGLES:
        if name not in ("trunk lean", "ankle line"):
            assert turned[name] == pytest.approx(upright[name], abs=1e-6), name
    assert turned["trunk lean"] == pytest.approx(turn)
    assert turned["ankle line"] == pytest.approx(turn if abs(turn) <= 90 else turn - 180 if turn > 0 else turn + 180)


def test_angles_of_bent_joints() -> None:
    assert angles_of(figure(leftWrist=(50, -30)))["left elbow"] == pytest.approx(90)
    assert angles_of(figure(rightAnkle=(-20, 60)))["right knee"] == pytest.approx(0)
    assert angles_of(figure(leftEar=(50, -40), rightEar=(30, -40)))["neck"] == pytest.approx(45)


def test_angles_of_uncertain_keypoints_are_none() -> None:
    pose = figure()
    points = [point._replace(score=0.1) if point.part == "leftElbow" else point for point in pose.keypoints]
    angles = angles_of(Pose.from_keypoints(0.9, points))
    assert angles["left elbow"] is None
    assert angles["left shoulder"] is None
    assert angles["left knee"] is not None
    assert angles_of(Pose.from_keypoints(0.9, points), threshold=0.05)["left elbow"] == pytest.approx(180)


def test_coinciding_keypoints_have_no_angle() -> None:
    assert angles_of(figure(leftWrist=CROSS["leftElbow"]))["left elbow"] is None


def test_measurements_have_the_persons_index_and_track() -> None:
    record = replace(make_record(), poses=(figure()._replace(id=7), figure(20)))
    first, second = measure([record])
    assert (first.person, first.track, second.person, second.track) == (0, 7, 1, None)
    assert second.angles["trunk lean"] == pytest.approx(20)


def test_the_quality_of_an_angle_is_the_lowest_score_of_its_keypoints() -> None:
    scores = {"leftWrist": 0.4, "rightHip": 0.5, "leftEar": 0.2, "nose": 0.6, "rightAnkle": 0.1}
    pose = figure()
    points = [point._replace(score=scores.get(point.part, 0.9)) for point in pose.keypoints]
    (found,) = measure([replace(make_record(), poses=(Pose.from_keypoints(0.9, points),))])
    assert tuple(found.quality) == ANGLES
    assert (found.quality["left elbow"], found.quality["left shoulder"], found.quality["right hip"]) == (0.4, 0.9, 0.5)
    assert (found.quality["trunk lean"], found.quality["neck"]) == (0.5, 0.5)
    assert found.quality["right knee"] is None
    assert found.quality["ankle line"] is None


@pytest.mark.parametrize("bend", [0, 30, 90, 140])
def test_flexion_is_0_for_a_straight_joint(bend: float) -> None:
    x, y = sin(radians(bend)), cos(radians(bend))
    bent = figure(leftAnkle=(20 - 50 * x, 110 + 50 * y), rightWrist=(-50 - 30 * y, 30 * x))
    (included,) = measure([replace(make_record(), poses=(bent,))])
    found = in_convention(included, "flexion")
    assert tuple(found.angles) == tuple(found.quality) == names_in("flexion")
    assert found.angles["left knee flexion"] == pytest.approx(bend)
    assert found.angles["right elbow flexion"] == pytest.approx(bend)
    assert found.angles["right hip flexion"] == pytest.approx(0)
    assert found.angles["left shoulder elevation"] == pytest.approx(90)
    assert [found.angles[name] for name in names_in("flexion")[8:10]] == pytest.approx([0, 0])
    assert in_convention(included, "included") == included


def test_flexion_of_uncertain_keypoints_is_none() -> None:
    pose = figure()
    points = [point._replace(score=0.1) if point.part == "leftElbow" else point for point in pose.keypoints]
    (found,) = measure([replace(make_record(), poses=(Pose.from_keypoints(0.9, points),))])
    assert in_convention(found, "flexion").angles["left elbow flexion"] is None
    assert in_convention(found, "flexion").quality["left shoulder elevation"] is None

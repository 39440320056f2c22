"""Angles of figures whose angles are known."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from math import cos, radians, sin
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posecli.poses import curves
from posecli.poses.angles import ANGLES, Measurement, angles_of, measure
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Keypoint, Pose, Record

from ..conftest import Posecli
from ..test_types import make_record

#: Somebody who stands upright with his arms stretched out to the sides.
CROSS = {
    "nose": (0, -40), "leftEye": (4, -44), "rightEye": (-4, -44), "leftEar": (10, -40), "rightEar": (-10, -40),
    "leftShoulder": (20, 0), "rightShoulder": (-20, 0), "leftElbow": (50, 0), "rightElbow": (-50, 0),
    "leftWrist": (80, 0), "rightWrist": (-80, 0), "leftHip": (20, 60), "rightHip": (-20, 60),
    "leftKnee": (20, 110), "rightKnee": (-20, 110), "leftAnkle": (20, 160), "rightAnkle": (-20, 160),
}  # fmt: skip


def figure(turn: float = 0.0, **moved: tuple[float, float]) -> Pose:
    """The cross, turned clockwise by degrees, some of its keypoints elsewhere."""
    c, s = cos(radians(turn)), sin(radians(turn))
    places = {**CROSS, **moved}
    return Pose.from_keypoints(
        0.9,
        [
            Keypoint(i, part, places[part][0] * c - places[part][1] * s, places[part][0] * s + places[part][1] * c, 0.9)
            for i, part in enumerate(KEYPOINT_NAMES)
        ],
    )


def test_an_upright_figure() -> None:
    angles = angles_of(figure())
    for side in ("left", "right"):
        assert angles[f"{side} elbow"] == pytest.approx(180)
        assert angles[f"{side} shoulder"] == pytest.approx(90)
        assert angles[f"{side} hip"] == pytest.approx(180)
        assert angles[f"{side} knee"] == pytest.approx(180)
    assert [angles[name] for name in ("trunk lean", "neck", "ankle line")] == pytest.approx([0, 0, 0])
    assert tuple(angles) == ANGLES


@pytest.mark.parametrize("turn", [-170, -60, 15, 60, 120])
def test_turning_the_figure_turns_its_lines_and_not_its_joints(turn: float) -> None:
    upright, turned = angles_of(figure()), angles_of(figure(turn))
    for name in ANGLES:
        if name not in ("trunk lean", "ankle line"):
            assert turned[name] == pytest.approx(upright[name], abs=1e-6), name
    assert turned["trunk lean"] == pytest.approx(turn)
    assert turned["ankle line"] == pytest.approx(turn if abs(turn) <= 90 else turn - 180 if turn > 0 else turn + 180)


def test_bent_joints() -> None:
    assert angles_of(figure(leftWrist=(50, -30)))["left elbow"] == pytest.approx(90)
    assert angles_of(figure(rightAnkle=(-20, 60)))["right knee"] == pytest.approx(0)
    assert angles_of(figure(leftEar=(50, -40), rightEar=(30, -40)))["neck"] == pytest.approx(45)


def test_what_is_not_seen_is_left_out() -> None:
    pose = figure()
    points = [point._replace(score=0.1) if point.part == "leftElbow" else point for point in pose.keypoints]
    angles = angles_of(Pose.from_keypoints(0.9, points))
    assert angles["left elbow"] is None
    assert angles["left shoulder"] is None
    assert angles["left knee"] is not None
    assert angles_of(Pose.from_keypoints(0.9, points), threshold=0.05)["left elbow"] == pytest.approx(180)


def test_coinciding_keypoints_have_no_angle() -> None:
    assert angles_of(figure(leftWrist=CROSS["leftElbow"]))["left elbow"] is None


def clip(angles: list[float | None]) -> list[Measurement]:
    return [
        Measurement("c.mp4", i, i / 10, 1, 0.9, dict.fromkeys(ANGLES, None) | {"left knee": angle})
        for i, angle in enumerate(angles)
    ]


def test_smoothing_takes_out_jitter_and_keeps_the_movement_and_the_gaps() -> None:
    truth = 90 + 30 * np.sin(np.arange(40) / 6)
    noisy = truth + np.random.default_rng(1).normal(0, 3, 40)
    values: list[float | None] = noisy.tolist()
    values[20] = None
    smoothed = [one.angles["left knee"] for one in curves.smooth(clip(values), 0.7)]
    assert smoothed[20] is None
    kept = [i for i in range(40) if i != 20]
    errors = np.array([[abs(smoothed[i] - truth[i]), abs(noisy[i] - truth[i])] for i in kept])
    assert errors[:, 0].mean() < 0.7 * errors[:, 1].mean()


def test_stills_are_not_smoothed() -> None:
    stills = list(measure([make_record("a.jpg"), make_record("b.jpg")]))
    assert curves.smooth(stills, 1) == stills


def test_command(tmp_path: Path, posecli: Posecli) -> None:
    record = replace(make_record("a.jpg"), poses=(figure(), figure(20)._replace(id=7)))
    frames = [replace(record, image="c.mp4", frame=i, time=i / 25) for i in range(9)]
    path = tmp_path / "r.jsonl"
    lines = [record, Record.failed("b.jpg", "not_found", "b.jpg: no such file"), *frames]
    path.write_text("".join(json.dumps(one.to_dict()) + "\n" for one in lines))
    rows = list(csv.DictReader(io.StringIO(posecli("measure", path).stdout.decode())))
    assert [row["person"] for row in rows[:2]] == ["1", "7"]
    assert rows[1]["trunk lean"] == "20.0"
    assert rows[-1]["time"] == "0.32"
    result = posecli("measure", path, "-o", tmp_path / "a.json", "--smooth", "0.2", "--plot", tmp_path / "p.png")
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "a.json").read_text())[0]["angles"]["left elbow"] == 180
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.format == "PNG"
    assert posecli("measure", path, "-o", tmp_path / "a.json").returncode == 2

"""Two kinds of networks in first and second passes: the tiny PoseNet and the tiny MoveNet, on the same drawn people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posecli import PoseEstimator, Record
from posecli.errors import ModelError, UsageError
from posecli.inference.crops import square_crop
from posecli.types import DecodedPose

from ..conftest import SAMPLES, Posecli
from ..tiny_model import RADIUS, draw_discs, person_at

MOVENET = "movenet_lightning_int8.tflite"


def positions(record: Record, index: int = 0) -> np.ndarray:
    return np.array([(point.x, point.y) for point in record.poses[index].keypoints])


def test_first_passes_of_a_single_person_network(tiny_movenet: Path) -> None:
    """It finds one person in a picture of any shape, at the true positions."""
    person = person_at(160, 90)
    record = PoseEstimator(tiny_movenet).estimate(draw_discs([person], (320, 240), RADIUS * 1.5))
    assert len(record.poses) == 1
    assert record.model is not None
    assert (record.model.input, record.model.stride) == ((96, 96), 4)
    assert np.linalg.norm(positions(record) - person, axis=1).max() < 3
    assert Record.from_dict(record.to_dict()) == record


@pytest.mark.parametrize("turns", ["auto", "all"])
def test_turned_passes_of_a_single_person_network(turns: str, tiny_movenet: Path) -> None:
    """It finds discs at any turn, and pictures keep their proportions."""
    person = person_at(160, 90)
    record = PoseEstimator(tiny_movenet, turns=turns).estimate(draw_discs([person], (320, 240), RADIUS * 1.5))
    assert len(record.poses) == 1
    assert np.linalg.norm(positions(record) - person, axis=1).max() < 3


def test_an_empty_picture_gives_no_poses(tiny_movenet: Path) -> None:
    assert PoseEstimator(tiny_movenet).estimate(Image.new("RGB", (96, 96), (128, 128, 128))).poses == ()


@pytest.mark.parametrize("zoom", [False, True])
def test_second_passes_of_a_single_person_network(zoom: bool, tiny_model: Path, tiny_movenet: Path) -> None:
    """Its poses are merged with those of the first passes and of PoseNet's own second passes."""
    person = person_at(128, 90)
    picture = draw_discs([person])
    alone = PoseEstimator(tiny_model, zoom=zoom).estimate(picture)
    both = PoseEstimator(tiny_model, zoom=zoom, zoom_model=tiny_movenet).estimate(picture)
    assert len(alone.poses) == len(both.poses) == 1
    assert both.settings is not None
    assert len(both.settings["zoom_model"]) == 64
    assert positions(both).tolist() != positions(alone).tolist()
    assert np.linalg.norm(positions(both) - person, axis=1).max() < 4


def test_a_posenet_is_refused_as_a_zoom_model(tiny_model: Path) -> None:
    with pytest.raises(UsageError, match="not a network for a single person"):
        PoseEstimator(tiny_model, zoom_model=tiny_model)


@pytest.mark.parametrize("settings", [{"stride": 16}, {"input_size": 257}])
def test_settings_of_a_fixed_input_are_refused(settings: dict[str, int], tiny_movenet: Path) -> None:
    with pytest.raises(UsageError, match="always 96 x 96"):
        PoseEstimator(tiny_movenet, **settings)


def test_the_error_names_a_broken_zoom_model(tiny_model: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(b"TFL3" * 100)
    with pytest.raises(ModelError, match=r"broken\.tflite"):
        PoseEstimator(tiny_model, zoom_model=broken)


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_the_zoom_model_of_the_command(
    engine: str, tiny_model: Path, tiny_movenet: Path, posecli: Posecli, tmp_path: Path
) -> None:
    """The command gives the same records as the library. `--resume` refuses another second network."""
    folder, out = tmp_path / "in", tmp_path / "out.jsonl"
    folder.mkdir()
    for number in range(2):
        draw_discs([person_at(128, 60 + 40 * number)]).save(folder / f"{number}.png")
    command = ["estimate", folder, "-o", out, "--model", tiny_model, "--engine", engine, "-q"]
    assert posecli(*command, "--zoom-model", tiny_movenet).returncode == 0
    records = [Record.from_dict(json.loads(line)) for line in out.read_text().splitlines()]
    estimator = PoseEstimator(tiny_model, zoom_model=tiny_movenet)
    for record in sorted(records, key=lambda one: one.image):
        assert record.poses == estimator.estimate(record.image).poses
    assert posecli(*command, "--zoom-model", tiny_movenet, "--resume").returncode == 0
    refused = posecli(*command, "--resume")
    assert refused.returncode == 2
    assert b"zoom-model" in refused.stderr


def test_the_square_around_a_person_may_extend_beyond_the_picture() -> None:
    pose = DecodedPose(person_at(20, 40), np.full(17, 0.8), 0.8)
    crop = square_crop(pose, (640, 480), 96)
    assert crop is not None
    left, top, right, bottom = crop.box
    assert left < 0
    assert right - left == pytest.approx(bottom - top)
    assert square_crop(pose._replace(xy=pose.xy - 1000), (640, 480), 96) is None


@pytest.mark.slow
def test_second_passes_of_movenet_agree_with_posenet(real_model: Path, test_data: Path) -> None:
    """With MoveNet Lightning in second passes as many people are found as with PoseNet alone."""
    second = test_data / "models" / MOVENET
    for name in ("wave", "three"):
        one, both = (
            PoseEstimator(real_model, input_size=385, zoom_model=model).estimate(SAMPLES / f"{name}.jpg")
            for model in (None, second)
        )
        assert len(one.poses) == len(both.poses)
        assert min(pose.score for pose in both.poses) > 0.5

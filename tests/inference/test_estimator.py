"""`PoseEstimator`: from every kind of image to a record. With the tiny model, the true poses are known."""

from __future__ import annotations

import io
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from posecli import KEYPOINT_NAMES, Keypoint, Pose, PoseEstimator, Record
from posecli.errors import ModelError, UsageError
from posecli.inference.estimator import available_cores

from ..conftest import Posecli, records_of
from ..tiny_model import draw_discs, person_at

PEOPLE = [person_at(55.3, 41.7), person_at(201.6, 131.2)]


@pytest.fixture(scope="module")
def estimator(tiny_model: Path) -> PoseEstimator:
    return PoseEstimator(tiny_model)


def assert_people(record: Record, people: list[np.ndarray], tolerance: float) -> None:
    assert record.status == "ok"
    assert len(record.poses) == len(people)
    for person in people:
        found = [np.array([(p.x, p.y) for p in pose.keypoints]) for pose in record.poses]
        assert min(np.abs(xy - person).max() for xy in found) < tolerance


def test_positions_are_exact_to_a_fraction_of_a_pixel(estimator: PoseEstimator) -> None:
    record = estimator.estimate(draw_discs(PEOPLE))
    assert_people(record, PEOPLE, 0.35)
    assert [p.part for p in record.poses[0].keypoints] == list(KEYPOINT_NAMES)
    assert isinstance(record.poses[0], Pose)
    assert isinstance(record.poses[0].keypoints[0], Keypoint)


def test_positions_with_padding_are_picture_pixels(tiny_model: Path) -> None:
    people = [person_at(130, 90), person_at(300, 120)]
    estimator = PoseEstimator(tiny_model, fit="pad", input_size=513)
    for size in ((513, 385), (385, 513)):
        assert_people(estimator.estimate(draw_discs(people, size)), people, 0.4)


def test_positions_with_aspect_are_picture_pixels(tiny_model: Path) -> None:
    people = [person_at(150, 90), person_at(430, 130)]
    record = PoseEstimator(tiny_model, fit="aspect", input_size=513).estimate(draw_discs(people, (577, 449)))
    assert record.model is not None
    assert record.model.input == (449, 577)
    assert_people(record, people, 0.4)


def test_positions_with_stretching_are_picture_pixels(tiny_model: Path) -> None:
    picture = draw_discs(PEOPLE).resize((771, 514), Image.Resampling.BICUBIC)
    people = [person * (3, 2) for person in PEOPLE]
    # Enlarging and reducing blurs the discs. The tiny model is then off by up to 2 of its pixels, 6 of the picture's.
    assert_people(PoseEstimator(tiny_model, fit="stretch").estimate(picture), people, 7)


def test_every_kind_of_image_gives_the_same_record(estimator: PoseEstimator, tmp_path: Path) -> None:
    picture, path = draw_discs(PEOPLE), tmp_path / "p.png"
    picture.save(path)
    sources = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), picture, np.asarray(picture)]
    records = [estimator.estimate(source, name="same") for source in sources]
    assert all(record == records[0] for record in records)
    assert estimator.estimate(path).image == str(path)


def test_unreadable_pictures_give_error_records(estimator: PoseEstimator, tmp_path: Path) -> None:
    codes = [
        estimator.estimate(source).error.code  # type: ignore[union-attr]
        for source in (tmp_path / "no.jpg", b"", b"hello", bytearray(b"hello"), tmp_path)
    ]
    assert codes == ["not_found", *["unreadable_image"] * 3, "unsupported_image"]


def test_arrays_of_all_types_give_the_same_record(estimator: PoseEstimator) -> None:
    """Floats from 0 to 1, which many libraries use; grey, RGBA, and arrays that are not contiguous."""
    pixels = np.asarray(draw_discs(PEOPLE))
    found = estimator.estimate(pixels, name="x")
    assert_people(found, PEOPLE, 0.35)
    opaque = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    floats = [(pixels / 255).astype(kind) for kind in (np.float16, np.float32, np.float64)]
    for same in (*floats, opaque, opaque / 255, pixels[:, ::-1][:, ::-1], memoryview(_file_of(pixels))):
        assert estimator.estimate(same, name="x") == found
    grey = pixels.mean(axis=2).astype(np.uint8)
    as_colours = estimator.estimate(np.dstack([grey] * 3), name="x")
    for same in (grey, grey[:, :, None], Image.fromarray(grey)):
        assert estimator.estimate(same, name="x") == as_colours


def _file_of(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


PICTURE = np.zeros((8, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (PICTURE[None], r"shape \(1, 8, 6, 3\).*several pictures: pass them one by one"),
        (PICTURE.transpose(2, 0, 1), r"shape \(3, 8, 6\).*channels come last"),
        (PICTURE[0, 0], r"shape \(3,\), expected \[height, width, 3\]"),
        (PICTURE[:0], r"shape \(0, 6, 3\)"),
        (np.zeros((8, 6, 2), np.uint8), r"shape \(8, 6, 2\)"),
        (PICTURE.astype(np.int64), "type int64, expected uint8"),
        (PICTURE.astype(bool), "type bool, expected uint8"),
        (PICTURE + 254.5, r"floats of 254\.5 to 254\.5, expected 0 to 1 \(use pixels.astype"),
        (PICTURE - 0.5, r"floats of -0\.5 to -0\.5"),
        (PICTURE + np.nan, "floats of nan to nan"),
    ],
)
def test_arrays_of_invalid_shape_or_type_are_refused(image: np.ndarray, message: str, estimator: PoseEstimator) -> None:
    with pytest.raises(UsageError, match=message):
        estimator.estimate(image)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (PICTURE.tolist(), "not list .*numpy.asarray"),
        ([PICTURE, PICTURE], "not list .*one by one"),
        (None, "not NoneType .*cv2.imread"),
        (io.StringIO("x"), "not StringIO .*mode 'rb'"),
        (3, "not int"),
    ],
)
def test_values_of_other_types_are_refused(image: object, message: str, estimator: PoseEstimator) -> None:
    with pytest.raises(TypeError, match=message):
        estimator.estimate(image)  # type: ignore[arg-type]


def test_a_picture_with_too_many_pixels_gives_an_error_record(tiny_model: Path) -> None:
    file = io.BytesIO()
    Image.new("1", (1000, 1000)).save(file, "PNG")
    record = PoseEstimator(tiny_model, max_pixels=999_999).estimate(file.getvalue())
    assert record.error is not None
    assert record.error.code == "image_too_large"


def test_settings_take_effect(tiny_model: Path) -> None:
    picture = draw_discs(PEOPLE)
    assert len(PoseEstimator(tiny_model, max_poses=1).estimate(picture).poses) == 1
    assert len(PoseEstimator(tiny_model, decoder="single").estimate(picture).poses) == 1
    assert len(PoseEstimator(tiny_model, min_pose_score=1.0).estimate(picture).poses) == 0
    assert PoseEstimator(tiny_model, fit="aspect", input_size=513).estimate(picture).model.input == (513, 513)  # type: ignore[union-attr]


def test_invalid_settings_are_refused_immediately(tiny_model: Path) -> None:
    with pytest.raises(UsageError):
        PoseEstimator(tiny_model, fit="crop")
    with pytest.raises(UsageError):
        PoseEstimator(tiny_model, stride=16)
    with pytest.raises(ModelError):
        PoseEstimator("no-such-model", offline=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "quick"}, "'quick', not one of fast, balanced, accurate, best"),
        ({"preset": None}, "None, not one of"),
        ({"input_size": "257"}, "input_size is '257', not a number"),
        ({"input_size": 257.0}, r"input_size is 257\.0, not a number"),
        ({"zoom_size": [257, "385"]}, "input size is '385', not a whole number"),
        ({"max_poses": "3"}, "max_poses is '3', not a whole number from 1"),
        ({"max_poses": 1.5}, "max_poses is 1.5, not a whole number from 1"),
        ({"max_zooms": True}, "max_zooms is True, not a whole number from 0"),
        ({"min_pose_score": "1"}, "min_pose_score is '1', not an int or float"),
        ({"stride": 16.0}, "stride is 16.0, not one of 8, 16, 32"),
        ({"zoom": "no"}, "zoom is 'no', not True or False"),
        ({"person": 2.0}, "person is 2.0, not a whole number from 0"),
        ({"person": True}, "person is True, not a whole number from 0"),
        ({"region": 5}, "region is 5, not x, y, width and height"),
        ({"region": ("0", "0", "50%", "50%")}, "not x, y, width and height in pixels, nor a text"),
        ({"threads": 0}, "threads is 0, not a whole number from 1"),
        ({"threads": "a"}, "threads is 'a', not a whole number from 1"),
        ({"score_threshold": "high"}, "score_threshold is 'high'"),
        ({"stride": "16"}, "stride is '16', not one of 8, 16, 32"),
    ],
)
def test_invalid_arguments_are_refused(arguments: dict[str, Any], message: str, tiny_model: Path) -> None:
    with pytest.raises(UsageError, match=message):
        PoseEstimator(tiny_model, **arguments)


def saved_clip(folder: Path, count: int = 12) -> Path:
    """A clip of two people who walk; 0.1 seconds a frame."""
    first, *others = (
        draw_discs([person_at(60 + 8 * number, 80), person_at(400 - 6 * number, 120)], (513, 257))
        for number in range(count)
    )
    path = folder / "clip.webp"
    first.save(path, save_all=True, append_images=others, duration=100, lossless=True)
    return path


@pytest.mark.parametrize(
    ("arguments", "settings", "frames"),
    [
        ([], {}, {}),
        (["--track"], {"track": True}, {}),
        (["--smooth", "--track-gap", "1"], {"smooth": True, "track_gap": 1}, {}),
        (["--track", "--preset", "balanced"], {"track": True, "preset": "balanced"}, {}),
        (["--every", "2", "--from", "0.2", "--to", "1"], {}, {"every": 2, "start": 0.2, "end": 1}),
        (["--fps", "4"], {}, {"fps": 4}),
    ],
)
def test_clips_are_estimated_as_by_the_command(
    arguments: list[str],
    settings: dict[str, Any],
    frames: dict[str, Any],
    tmp_path: Path,
    tiny_model: Path,
    posecli: Posecli,
) -> None:
    path = saved_clip(tmp_path)
    expected = records_of(posecli("estimate", path, "--workers", "1", *arguments).stdout)
    found = list(PoseEstimator(tiny_model, **settings).estimate_clip(path, **frames))
    assert [Record.from_dict(record.to_dict()) for record in found] == expected
    assert len(expected) > 3
    assert ("track" in str(arguments) or "smooth" in str(arguments)) == (found[0].poses[0].id is not None)


def test_a_clip_may_be_bytes_and_is_estimated_frame_by_frame(estimator: PoseEstimator, tmp_path: Path) -> None:
    path = saved_clip(tmp_path)
    first = next(estimator.estimate_clip(path))
    assert (first.image, first.frame, first.time, len(first.poses)) == (str(path), 0, 0.0, 2)
    assert next(estimator.estimate_clip(path.read_bytes())).image == "<bytes>"
    assert next(estimator.estimate_clip(path.read_bytes(), name="c")) == replace(first, image="c")


def test_an_unreadable_clip_gives_an_error_record(estimator: PoseEstimator, tmp_path: Path) -> None:
    (record,) = estimator.estimate_clip(tmp_path / "no.mp4")
    assert record.error is not None
    assert record.error.code == "not_found"
    data = saved_clip(tmp_path).read_bytes()
    (tmp_path / "torn.webp").write_bytes(data[: len(data) // 2])
    *_, last = estimator.estimate_clip(tmp_path / "torn.webp")
    assert last.error is not None
    assert last.error.code == "unreadable_image"


@pytest.mark.parametrize(
    "options", [{"every": 0}, {"every": 1.5}, {"start": -1}, {"end": "x"}, {"fps": 0}, {"start": 2, "end": 1}]
)
def test_invalid_choices_of_frames_are_refused_immediately(options: dict[str, Any], estimator: PoseEstimator) -> None:
    with pytest.raises(UsageError):
        estimator.estimate_clip("clip.webp", **options)


def test_several_threads_may_share_one_estimator(estimator: PoseEstimator) -> None:
    pictures = [draw_discs([person_at(60 + 10 * i, 50 + 5 * i)]) for i in range(8)]
    alone = [estimator.estimate(picture, name="x") for picture in pictures]
    together: list[Record | None] = [None] * len(pictures)

    def work(index: int) -> None:
        together[index] = estimator.estimate(pictures[index], name="x")

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(pictures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


def test_a_region_is_a_text_or_numbers(tiny_model: Path) -> None:
    picture = draw_discs(PEOPLE)
    records = [
        PoseEstimator(tiny_model, person=0, region=region).estimate(picture)
        for region in ("0,0,100%,257", "0,0,50%,100%", (0, 0, 128.5, 257), np.array([0, 0, 129, 257]))
    ]
    assert [record.settings and record.settings["region"] for record in records] == [
        "0,0,100%,257", "0,0,50%,100%", "0,0,128.5,257", "0,0,129,257",
    ]  # fmt: skip
    assert all(len(record.poses) == 1 for record in records)
    assert records[1].poses == records[2].poses == records[3].poses
    outside = PoseEstimator(tiny_model, region=(300, 0, 10, 10)).estimate(picture, name="me")
    assert outside.error is not None
    assert outside.error.message == "me has 257 x 257 pixels, and the region 300,0,10,10 lies outside of them"
    with pytest.raises(UsageError):
        PoseEstimator(tiny_model, region=())


def test_timings_name_the_stages(estimator: PoseEstimator) -> None:
    record = estimator.estimate(draw_discs(PEOPLE))
    assert list(record.timings) == ["read", "prepare", "infer", "decode"]
    assert "timings" not in record.to_dict()


def test_at_least_one_processor() -> None:
    assert available_cores() >= 1


@pytest.mark.parametrize("name", ["pexels-luis-quintero-1510540.jpg", "pexels-jansel-ferma-3949761.jpg"])
def test_real_people_are_found(name: str, real_model: Path, test_data: Path) -> None:
    record = PoseEstimator(real_model).estimate(test_data / "images" / "people" / name)
    assert record.poses
    assert record.poses[0].score > 0.35

"""The library: every kind of picture in, a record out; with the tiny model the truth is known."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posecli import KEYPOINT_NAMES, Keypoint, Pose, PoseEstimator, Record
from posecli.errors import ModelError, UsageError
from posecli.inference.estimator import available_processors

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


def test_people_are_found_to_a_fraction_of_a_pixel(estimator: PoseEstimator) -> None:
    record = estimator.estimate(draw_discs(PEOPLE))
    assert_people(record, PEOPLE, 0.35)
    assert [p.part for p in record.poses[0].keypoints] == list(KEYPOINT_NAMES)
    assert isinstance(record.poses[0], Pose)
    assert isinstance(record.poses[0].keypoints[0], Keypoint)


def test_padding_leads_back_to_the_picture(tiny_model: Path) -> None:
    people = [person_at(130, 90), person_at(300, 120)]
    estimator = PoseEstimator(tiny_model, fit="pad", input_size=513)
    for size in ((513, 385), (385, 513)):
        assert_people(estimator.estimate(draw_discs(people, size)), people, 0.4)


def test_aspect_leads_back_to_the_picture(tiny_model: Path) -> None:
    people = [person_at(150, 90), person_at(430, 130)]
    record = PoseEstimator(tiny_model, fit="aspect", input_size=513).estimate(draw_discs(people, (577, 449)))
    assert record.model is not None
    assert record.model.input == (449, 577)
    assert_people(record, people, 0.4)


def test_stretching_leads_back_to_the_picture(tiny_model: Path) -> None:
    picture = draw_discs(PEOPLE).resize((771, 514), Image.Resampling.BICUBIC)
    people = [person * (3, 2) for person in PEOPLE]
    # Enlarged and shrunk again, the discs are softer than the tiny model expects: 2 of its pixels, 6 of the picture's.
    assert_people(PoseEstimator(tiny_model, fit="stretch").estimate(picture), people, 7)


def test_every_kind_of_source_gives_the_same(estimator: PoseEstimator, tmp_path: Path) -> None:
    picture, path = draw_discs(PEOPLE), tmp_path / "p.png"
    picture.save(path)
    sources = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), picture, np.asarray(picture)]
    records = [estimator.estimate(source, name="same") for source in sources]
    assert all(record == records[0] for record in records)
    assert estimator.estimate(path).image == str(path)


def test_bad_pictures_become_records(estimator: PoseEstimator, tmp_path: Path) -> None:
    codes = [
        estimator.estimate(source).error.code  # type: ignore[union-attr]
        for source in (tmp_path / "no.jpg", b"", b"hello", np.zeros((3, 3), np.uint8), tmp_path)
    ]
    assert codes == ["not_found", "unreadable_image", "unreadable_image", "unsupported_image", "unsupported_image"]


def test_too_many_pixels(tiny_model: Path) -> None:
    file = io.BytesIO()
    Image.new("1", (1000, 1000)).save(file, "PNG")
    record = PoseEstimator(tiny_model, max_pixels=999_999).estimate(file.getvalue())
    assert record.error is not None
    assert record.error.code == "image_too_large"


def test_settings_do_what_they_say(tiny_model: Path) -> None:
    picture = draw_discs(PEOPLE)
    assert len(PoseEstimator(tiny_model, max_poses=1).estimate(picture).poses) == 1
    assert len(PoseEstimator(tiny_model, decoder="single").estimate(picture).poses) == 1
    assert len(PoseEstimator(tiny_model, min_pose_score=1.0).estimate(picture).poses) == 0
    assert PoseEstimator(tiny_model, fit="aspect", input_size=513).estimate(picture).model.input == (513, 513)  # type: ignore[union-attr]


def test_impossible_requests_are_refused_at_once(tiny_model: Path) -> None:
    with pytest.raises(UsageError):
        PoseEstimator(tiny_model, fit="crop")
    with pytest.raises(UsageError):
        PoseEstimator(tiny_model, stride=16)
    with pytest.raises(ModelError):
        PoseEstimator("no-such-model", offline=True)


def test_several_threads_may_share_one(estimator: PoseEstimator) -> None:
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
    assert available_processors() >= 1


@pytest.mark.parametrize("name", ["pexels-luis-quintero-1510540.jpg", "pexels-jansel-ferma-3949761.jpg"])
def test_real_people_are_found(name: str, real_model: Path, test_data: Path) -> None:
    record = PoseEstimator(real_model).estimate(test_data / "images" / "people" / name)
    assert record.poses
    assert record.poses[0].score > 0.35

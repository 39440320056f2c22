"""COCO annotations: writing them, and reading corrected ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from posecli.errors import UsageError
from posecli.poses.similarity import CERTAIN_SCORE
from posecli.records.formats import get_format
from posecli.records.formats.base import WriteOptions
from posecli.records.formats.coco_annotations import _SCORES, HIDDEN_SCORE, VISIBLE_SCORE
from posecli.records.journal import read_records
from posecli.records.schema import record_schema
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Keypoint, Pose, Record

from ..conftest import SAMPLES, Posecli
from ..test_types import make_record
from .test_formats import FAILED, one_image, written

COCO_NAMES = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
]  # fmt: skip


def person(*scores: float, x: float = 100.0) -> Pose:
    """A person whose keypoint i is at (x + i, 200 + 2 i). Keypoints without a given score have 0.9."""
    given = dict(enumerate(scores))
    return Pose.from_keypoints(
        0.8, [Keypoint(i, name, x + i, 200.0 + 2 * i, given.get(i, 0.9)) for i, name in enumerate(KEYPOINT_NAMES)]
    )


def labels_of(*records: Record, options: WriteOptions | None = None) -> dict[str, Any]:
    data = json.loads(written("coco-annotations", list(records), options or WriteOptions()))
    assert isinstance(data, dict)
    return data


def read_labels(data: Any, folder: Path, **form: Any) -> list[Record]:
    (folder / "labels").write_text(json.dumps(data, **form))
    return list(read_records(str(folder / "labels")))


def test_scores_become_visibilities() -> None:
    found = person(0.5, 0.49, 0.1, 0.09)
    (annotation,) = labels_of(replace(make_record(), poses=(found,)))["annotations"]
    values = annotation["keypoints"]
    assert values[:12] == [100, 200, 2, 101, 202, 1, 102, 204, 1, 0, 0, 0]
    assert values[12:15] == [104, 208, 2]
    assert (annotation["num_keypoints"], annotation["bbox"], annotation["area"]) == (16, [100, 200, 16, 32], 512)
    assert (annotation["iscrowd"], annotation["category_id"], annotation["segmentation"]) == (0, 1, [])


def test_keypoints_outside_the_picture_are_not_labelled() -> None:
    record = replace(make_record(), width=640, poses=(person(x=630.5),))
    (annotation,) = labels_of(record)["annotations"]
    assert annotation["keypoints"][-3:] == [0, 0, 0]
    assert annotation["num_keypoints"] == 10
    assert annotation["bbox"] == [630.5, 200, 9, 18]


def test_people_without_a_label_and_failures_are_left_out() -> None:
    unlabelled = person(*[0.05] * 17)
    data = labels_of(replace(make_record("a.jpg"), poses=(unlabelled,)), FAILED, make_record("b.jpg", 0))
    assert [image["file_name"] for image in data["images"]] == ["a.jpg", "b.jpg"]
    assert data["annotations"] == []
    assert labels_of()["images"] == []


def test_the_category_has_the_names_and_edges_of_coco() -> None:
    (category,) = labels_of()["categories"]
    assert category["keypoints"] == COCO_NAMES
    assert (category["id"], category["name"]) == (1, "person")
    edges = {frozenset(COCO_NAMES[end - 1] for end in edge) for edge in category["skeleton"]}
    assert frozenset(("left_shoulder", "left_elbow")) in edges
    assert frozenset(("left_hip", "right_hip")) in edges


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["samples/a.jpg", "samples/b.jpg"], ["a.jpg", "b.jpg"]),
        (["p/a/1.jpg", "p/b/1.jpg"], ["a/1.jpg", "b/1.jpg"]),
        (["p/a/1.jpg", "p/ab/1.jpg", "p/2.jpg"], ["a/1.jpg", "ab/1.jpg", "2.jpg"]),
        (["/x/a.jpg", "/y/a.jpg"], ["/x/a.jpg", "/y/a.jpg"]),
        (["/x/a.jpg", "b.jpg"], ["/x/a.jpg", "b.jpg"]),
        (["s3://bucket/x/1.jpg", "s3://bucket/y/1.jpg"], ["x/1.jpg", "y/1.jpg"]),
        (["./a.jpg", "./b.jpg"], ["a.jpg", "b.jpg"]),
    ],
)
def test_names_are_relative_to_the_common_folder(names: list[str], expected: list[str]) -> None:
    assert [image["file_name"] for image in labels_of(*map(make_record, names))["images"]] == expected


def test_frames_have_the_names_of_cvat() -> None:
    frames = [replace(make_record("in/c.mp4"), frame=i, time=i / 25) for i in (0, 12)]
    assert [image["file_name"] for image in labels_of(*frames)["images"]] == ["frame_000000.PNG", "frame_000012.PNG"]
    names = [image["file_name"] for image in labels_of(make_record("in/a.jpg"), *frames)["images"]]
    assert names == ["a.jpg", "c.mp4/frame_000000.PNG", "c.mp4/frame_000012.PNG"]
    files = [replace(make_record("walk"), frame=i, time=i / 25, file=f"walk/{i}.jpg") for i in (0, 1)]
    assert [image["file_name"] for image in labels_of(*files)["images"]] == ["0.jpg", "1.jpg"]


def test_ids_come_from_names_or_an_annotation_file_and_no_map_is_written(tmp_path: Path) -> None:
    options = WriteOptions(path=str(tmp_path / "r.json"))
    ids = [image["id"] for image in labels_of(make_record("139.jpg"), make_record("7.jpg"), options=options)["images"]]
    assert ids == [139, 7]
    ids = [image["id"] for image in labels_of(make_record("b.jpg"), make_record("a.jpg"), options=options)["images"]]
    assert ids == [1, 2]
    assert list(tmp_path.iterdir()) == []


def test_the_file_of_one_image_names_it_without_folders(tmp_path: Path) -> None:
    data = json.loads(one_image("coco-annotations", make_record("p/7.jpg", 2), tmp_path).read_text())
    assert [(image["file_name"], image["id"]) for image in data["images"]] == [("7.jpg", 7)]
    assert [(label["id"], label["image_id"]) for label in data["annotations"]] == [(1, 7), (2, 7)]


@pytest.mark.parametrize("form", [{}, {"indent": 1}, {"sort_keys": True}, {"separators": (",", ":")}])
def test_labels_are_read_as_records(form: dict[str, Any], tmp_path: Path) -> None:
    found = person(0.7, 0.3, 0.0)._replace(id=4)
    record = replace(make_record("p/a.jpg"), poses=(found, person(x=300)))
    first, second = read_labels(labels_of(record, make_record("p/b.jpg", 0)), tmp_path, **form)
    assert (first.image, first.width, first.height, len(first.poses)) == ("a.jpg", 640, 480, 2)
    pose = first.poses[0]
    assert (pose.id, pose.score) == (4, 1.0)
    assert [point.score for point in pose.keypoints[:4]] == [1.0, 0.3, 0.0, 1.0]
    assert pose.keypoints[1] == found.keypoints[1]._replace(score=0.3)
    assert (pose.keypoints[2].x, pose.keypoints[2].y) == (108, 216)  # the middle of the others, not 0, 0
    assert pose.box == (100, 200, 16, 32)
    assert (second.image, second.poses) == ("b.jpg", ())
    for record in (first, second):
        jsonschema.validate(json.loads(json.dumps(record.to_dict())), record_schema())
        assert Record.from_dict(json.loads(json.dumps(record.to_dict()))) == record


def exported(record: Record) -> dict[str, Any]:
    """Labels like CVAT's exports: with other categories, with keypoints in another order, without scores."""
    data = labels_of(record)
    (category,) = data["categories"]
    names = ["neck", *reversed(category["keypoints"])]
    data["categories"] = [{"id": 1, "name": "car"}, {**category, "id": 2, "keypoints": names}]
    for annotation in data["annotations"]:
        values = annotation["keypoints"]
        points = [values[place : place + 3] for place in range(0, 51, 3)]
        annotation["keypoints"] = [1, 2, 2, *(value for point in reversed(points) for value in point)]
        annotation["category_id"] = 2
    box = {"id": 9, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}
    crowd = {**box, "id": 10, "category_id": 2, "iscrowd": 1, "keypoints": [0] * 54, "num_keypoints": 0}
    data["annotations"] += [box, crowd, {**crowd, "id": 11, "iscrowd": 0}, {**box, "category_id": 2, "id": 12}]
    return data


def test_categories_and_keypoints_may_be_in_another_order(tmp_path: Path) -> None:
    record = replace(make_record(), poses=(person(0.7, 0.3, 0.0),))
    (plain,), (shuffled,) = (read_labels(data, tmp_path) for data in (labels_of(record), exported(record)))
    assert shuffled.poses == plain.poses


@pytest.mark.parametrize("name", [str.upper, lambda name: name.replace("_", " ").title(), lambda name: name])
def test_names_of_keypoints_may_be_spelled_differently(name: Callable[[str], str], tmp_path: Path) -> None:
    data = labels_of(make_record())
    plain = read_labels(data, tmp_path)[0].poses
    data["categories"][0]["keypoints"] = [name(part) for part in COCO_NAMES]
    assert read_labels(data, tmp_path)[0].poses == plain
    data["categories"][0]["keypoints"] = [str(place) for place in range(1, 18)]  # a skeleton without names
    assert read_labels(data, tmp_path)[0].poses == plain


def without(*path: Any) -> Callable[[Any], None]:
    """Return a function that removes one value."""

    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        del data[path[-1]]

    return change


def with_value(value: Any, *path: Any) -> Callable[[Any], None]:
    """Return a function that sets one value."""

    def change(data: Any) -> None:
        for key in path[:-1]:
            data = data[key]
        data[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("images"), "images is missing"),
        (without("annotations"), "annotations is missing"),
        (without("categories"), "categories is missing"),
        (without("categories", 0, "keypoints"), "no category has keypoints such as nose"),
        (with_value(["a", "b"], "categories", 0, "keypoints"), "no category has keypoints such as nose"),
        (with_value(3, "categories", 0, "keypoints"), r"categories\[0\].keypoints is 3"),
        (without("images", 0, "width"), r"images\[0\].width is missing"),
        (without("images", 1, "file_name"), r"images\[1\].file_name is missing"),
        (with_value(0, "images", 0, "height"), r"images\[0\].height is 0"),
        (with_value(1, "images", 1, "id"), r"images\[1\].id is 1, as that of another"),
        (with_value("x", "images", 1), r"images\[1\] is 'x', not an object"),
        (with_value(99, "annotations", 0, "image_id"), r"annotations\[0\].image_id is 99, and no image"),
        (without("annotations", 0, "image_id"), r"annotations\[0\].image_id is missing"),
        (without("annotations", 0, "keypoints", 0), r"annotations\[0\].keypoints has 50 values, not 51"),
        (with_value(3, "annotations", 0, "keypoints", 2), "a visibility is 3, not 0, 1 or 2"),
        (with_value([], "annotations", 0, "keypoints", 2), "a visibility is an array"),
        (with_value("x", "annotations", 0, "keypoints", 0), "is 'x', not a number"),
        (with_value([1], "annotations", 0, "category_id"), r"annotations\[0\].category_id is an array"),
        (with_value("x", "annotations", 0, "track_id"), "track_id is 'x'"),
        (with_value({"track_id": "x"}, "annotations", 0, "attributes"), r"\[0\].attributes.track_id is 'x'"),
        (with_value(99, "annotations", 1, "category_id"), r"annotations\[1\].category_id is 99, and no category"),
        (with_value("0", "annotations", 0, "iscrowd"), r"annotations\[0\].iscrowd is '0', not one of 0, 1"),
        (with_value(2, "annotations", 0, "iscrowd"), r"annotations\[0\].iscrowd is 2, not one of 0, 1"),
        (with_value("leftEye", "categories", 0, "keypoints", 2), r"categories\[0\].keypoints has leftEye 2 times"),
        (without("categories", 0, "id"), r"categories\[0\].id is missing"),
        (with_value([{"id": 1}] * 2, "categories"), r"categories\[1\].id is 1, as that of another category"),
        (with_value("a.jpg", "images", 1, "file_name"), r"images\[1\].file_name is 'a.jpg', as that of another image"),
        (with_value(640.5, "images", 0, "width"), r"images\[0\].width is 640.5, not a whole number"),
    ],
)
def test_errors_name_the_field_and_the_value(change: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    data = labels_of(make_record("a.jpg"), make_record("b.jpg"))
    change(data)
    with pytest.raises(UsageError, match=message):
        read_labels(data, tmp_path)


def test_labels_that_are_read_and_written_stay_the_same(tmp_path: Path) -> None:
    """Their visibilities, positions and tracks."""
    people = (person(0.7, 0.3, 0.0, x=100.12)._replace(id=4), person(*[0.2] * 17, x=300.01)._replace(id=2))
    data = labels_of(replace(make_record(), poses=people))
    read = (Record.from_dict(json.loads(json.dumps(record.to_dict()))) for record in read_labels(data, tmp_path))
    assert labels_of(*read)["annotations"] == data["annotations"]


def test_scores_of_hidden_keypoints_reach_the_score_from_which_positions_are_compared() -> None:
    assert _SCORES[1] == CERTAIN_SCORE
    assert HIDDEN_SCORE <= _SCORES[1] < VISIBLE_SCORE <= _SCORES[2]


def track_ids(*annotations: dict[str, Any], folder: Path) -> list[int | None]:
    """The track ids read from annotations with these fields."""
    data = labels_of(replace(make_record(), poses=(person(),) * len(annotations)))
    for annotation, more in zip(data["annotations"], annotations, strict=True):
        annotation.update(more)
    return [pose.id for pose in read_labels(data, folder)[0].poses]


def test_tracks_may_be_attributes_and_start_at_0(tmp_path: Path) -> None:
    """CVAT writes them in this way."""
    by_cvat = ({"attributes": {"occluded": False, "track_id": number}} for number in (0, 3))
    assert track_ids(*by_cvat, {"attributes": {"occluded": True}}, folder=tmp_path) == [1, 4, None]
    assert track_ids({"track_id": 2}, {"attributes": {"track_id": 1.0}}, folder=tmp_path) == [2, 1]
    assert track_ids({"track_id": 5, "attributes": {"track_id": 0}}, {"track_id": None}, folder=tmp_path) == [5, None]


@pytest.mark.parametrize("keypoints", [[], None])
def test_annotations_without_keypoints_are_left_out(keypoints: list[float] | None, tmp_path: Path) -> None:
    data = labels_of(make_record(people=2))
    data["annotations"][0]["keypoints"] = keypoints
    assert len(read_labels(data, tmp_path)[0].poses) == 1


def test_whole_numbers_may_be_written_with_a_fraction(tmp_path: Path) -> None:
    data = labels_of(make_record())
    plain = read_labels(data, tmp_path)[0]
    data["images"][0] |= {"id": 1.0, "width": 640.0, "height": 480.0}
    data["annotations"][0] |= {"image_id": 1.0, "category_id": 1.0, "iscrowd": 0.0}
    (found,) = read_labels(data, tmp_path)
    assert (found.width, found.height, found.poses) == (640, 480, plain.poses)
    assert type(found.width) is int


@pytest.mark.parametrize("name", ["labels.json", "poses.json", "poses.jsonl"])
def test_a_byte_order_mark_is_skipped(name: str, tmp_path: Path) -> None:
    record = make_record()
    data = {"labels.json": labels_of(record), "poses.json": [record.to_dict()], "poses.jsonl": record.to_dict()}[name]
    (tmp_path / name).write_text(json.dumps(data), encoding="utf-8-sig")
    assert [found.image for found in read_records(str(tmp_path / name))] == ["a.jpg"]


def test_a_run_is_not_resumed_from_labels() -> None:
    """Labels do not hold all data of records."""
    assert get_format("coco-annotations").read is None


def test_compare_lists_the_corrections_of_labels(tmp_path: Path, posecli: Posecli) -> None:
    """Labels are written and corrected; compare then lists the changes."""
    records = [replace(make_record(name), poses=(person(), person(x=400))) for name in ("p/a/1.jpg", "p/b/1.jpg")]
    (tmp_path / "poses.jsonl").write_text("".join(json.dumps(record.to_dict()) + "\n" for record in records))
    labels, corrected = tmp_path / "labels.json", tmp_path / "corrected.json"
    assert posecli("convert", tmp_path / "poses.jsonl", "-f", "coco-annotations", "-o", labels).returncode == 0
    data = json.loads(labels.read_text())
    corrected.write_text(json.dumps(data))
    assert posecli("compare", labels, corrected).stdout == b"no differences\n"
    moved, _, gone, *_ = data["annotations"]
    moved["keypoints"][:3] = [110, 200, 2]
    moved["keypoints"][5] = 1
    data["annotations"].remove(gone)
    corrected.write_text(json.dumps(data))
    said = posecli("compare", labels, corrected)
    assert said.returncode == 3
    lines = said.stdout.decode().splitlines()
    assert "nose moved by 10.0 pixels" in lines[0]
    assert "score of leftEye was 1.00, is 0.30" in lines[1]
    assert [line.split(maxsplit=1)[0] for line in lines[:3]] == ["a/1.jpg", "a/1.jpg", "b/1.jpg"]
    assert "person 0 (score 1.00) is gone" in lines[2]
    assert len(lines) == 4
    with_scores = posecli("compare", tmp_path / "poses.jsonl", corrected, "--max-score-change", "1")
    assert [line.split("  ")[1] for line in with_scores.stdout.decode().splitlines()[:2]] == [
        "person 0: nose moved by 10.0 pixels", "person 0 (score 0.80) is gone",
    ]  # fmt: skip
    assert posecli("convert", corrected, "-o", tmp_path / "back.jsonl").returncode == 0
    assert posecli("compare", corrected, tmp_path / "back.jsonl").returncode == 0


def test_the_sample_annotations_can_be_read(tmp_path: Path, posecli: Posecli) -> None:
    found = {record.image: record for record in read_records(str(SAMPLES / "person_keypoints.json"))}
    assert {name: len(record.poses) for name, record in found.items()} == {
        "wave.jpg": 1, "three.jpg": 3, "exercise.jpg": 2,
    }  # fmt: skip
    drawn = posecli("convert", SAMPLES / "person_keypoints.json", "--image-root", SAMPLES, "-a", f"{tmp_path}/d/")
    assert drawn.returncode == 0
    assert len(list((tmp_path / "d").iterdir())) == 3

"""Precision and recall: of perfect and of moved results, and the report of pictures that do not match."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from posecli.checks.evaluate import FIGURES, evaluate
from posecli.errors import MissingExtra, UsageError
from posecli.extras import import_extra
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Keypoint, ModelInfo, Pose, Record

from ..conftest import SAMPLES, Posecli

TRUTH = SAMPLES / "person_keypoints.json"
NOSE = KEYPOINT_NAMES.index("nose")


def records_from_truth(shift: float = 0.0, folder: str = "") -> list[Record]:
    """Records with the annotated people as poses, moved to the right by `shift` pixels."""
    data = json.loads(TRUTH.read_text())
    return [
        Record(
            image=folder + image["file_name"],
            status="ok",
            width=image["width"],
            height=image["height"],
            model=ModelInfo("m", "0" * 64, (257, 257), 32),
            poses=tuple(
                _pose(person["keypoints"], shift) for person in data["annotations"] if person["image_id"] == image["id"]
            ),
        )
        for image in data["images"]
    ]


def _pose(values: list[float], shift: float) -> Pose:
    points = zip(*[iter(values)] * 3, strict=True)
    return Pose.from_keypoints(
        0.9, [Keypoint(i, KEYPOINT_NAMES[i], x + shift, y, 0.9) for i, (x, y, _) in enumerate(points)]
    )


def save(records: list[Record], path: Path) -> str:
    path.write_text("".join(json.dumps(record.to_dict()) + "\n" for record in records))
    return str(path)


def test_perfect_results_have_a_precision_of_1(tmp_path: Path) -> None:
    result = evaluate(str(TRUTH), save(records_from_truth(folder="some/where/"), tmp_path / "r.jsonl"))
    assert result.groups["all"].figures["AP"] == pytest.approx(1)
    assert result.groups["all"].pictures == 3
    assert result.groups["one person"].people + result.groups["several people"].people == result.found
    assert all(value == pytest.approx(1) for value in result.keypoints.values())
    assert (result.missing, result.unknown) == ((), ())


def test_moved_results_have_a_lower_precision(tmp_path: Path) -> None:
    scores = [
        evaluate(str(TRUTH), save(records_from_truth(shift), tmp_path / f"{shift}.jsonl")) for shift in (0, 6, 15, 400)
    ]
    precisions = [score.groups["all"].figures["AP"] for score in scores]
    assert precisions == sorted(precisions, reverse=True)
    assert precisions[-1] == 0
    assert scores[-1].found == 0
    nose = [score.keypoints["nose"] for score in scores]
    assert nose[0] > nose[1]
    assert nose[3] is None


def test_records_and_coco_results_agree(tmp_path: Path, posecli: Posecli) -> None:
    records = save(records_from_truth(shift=6), tmp_path / "r.jsonl")
    posecli("convert", records, "-f", "coco", "--coco-images", TRUTH, "-o", tmp_path / "c.json")
    assert evaluate(str(TRUTH), str(tmp_path / "c.json")) == evaluate(str(TRUTH), records)


def test_missing_and_unknown_pictures_are_reported(tmp_path: Path) -> None:
    first, *others = records_from_truth()
    unknown = Record.failed("x.jpg", "not_found", "x.jpg: no such file")
    result = evaluate(str(TRUTH), save([first, unknown], tmp_path / "r.jsonl"))
    assert result.missing == tuple(record.image for record in others)
    assert result.unknown == ("x.jpg",)
    assert result.groups["all"].figures["AR"] < 1


def test_results_without_people_have_a_precision_of_0(tmp_path: Path) -> None:
    empty = [Record(**{**vars(record), "poses": ()}) for record in records_from_truth()]
    figures = evaluate(str(TRUTH), save(empty, tmp_path / "r.jsonl")).groups["all"].figures
    assert (figures["AP"], figures["AR"]) == (0, 0)


def test_annotations_of_other_tools_are_read(tmp_path: Path) -> None:
    """Other categories, another order of keypoints, an area of 0, and names with folders."""
    data = json.loads(TRUTH.read_text())
    (category,) = data["categories"]
    data["categories"] = [{"id": 1, "name": "car"}, {**category, "id": 5, "keypoints": category["keypoints"][::-1]}]
    for image in data["images"]:
        image["file_name"] = f"a/{image['file_name']}"
    for person in data["annotations"]:
        values = person["keypoints"]
        person["keypoints"] = [value for start in range(48, -1, -3) for value in values[start : start + 3]]
        person |= {"category_id": 5, "area": 0}
    data["annotations"].append({"id": 99, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81})
    (tmp_path / "t.json").write_text(json.dumps(data))
    records = save(records_from_truth(folder="some/a/"), tmp_path / "r.jsonl")
    result = evaluate(str(tmp_path / "t.json"), records)
    assert result.groups["all"].figures["AP"] == pytest.approx(1)
    assert (result.groups["all"].people, result.found, result.missing, result.unknown) == (6, 6, (), ())


def test_frames_are_matched_by_the_names_of_annotation_tools(tmp_path: Path) -> None:
    data = json.loads(TRUTH.read_text())
    for number, image in enumerate(data["images"]):
        image["file_name"] = f"frame_{number:06d}.PNG"
    (tmp_path / "t.json").write_text(json.dumps(data))
    clip = [replace(record, image="x/c.mp4", frame=number) for number, record in enumerate(records_from_truth())]
    result = evaluate(str(tmp_path / "t.json"), save(clip, tmp_path / "r.jsonl"))
    assert (result.groups["all"].figures["AP"], result.unknown) == (pytest.approx(1), ())


def changed(path: Path, change: Callable[[Any], None]) -> str:
    """The annotations with a change."""
    data = json.loads(TRUTH.read_text())
    change(data)
    path.write_text(json.dumps(data))
    return str(path)


def test_truth_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(TRUTH.read_text(), encoding="utf-8-sig")
    records = save(records_from_truth(), tmp_path / "r.jsonl")
    assert evaluate(str(tmp_path / "t.json"), records) == evaluate(str(TRUTH), records)


def test_keypoints_without_names_are_cocos(tmp_path: Path) -> None:
    truth = changed(tmp_path / "t.json", lambda data: data["categories"][0].pop("keypoints"))
    records = save(records_from_truth(shift=6), tmp_path / "r.jsonl")
    assert evaluate(truth, records) == evaluate(str(TRUTH), records)
    truth = changed(tmp_path / "t.json", lambda data: data["categories"][0].update(keypoints=["a"] * 17))
    with pytest.raises(UsageError, match="no category has keypoints such as nose"):
        evaluate(truth, records)


def test_names_match_by_their_longest_ending(tmp_path: Path) -> None:
    def rename(data: Any) -> None:
        for image, name in zip(data["images"], ("1.jpg", "a/1.jpg", "images/default/2.jpg"), strict=True):
            image["file_name"] = name

    first, second, third = records_from_truth()
    records = [
        replace(record, image=name)
        for record, name in ((second, "/x/a/1.jpg"), (first, "/x/1.jpg"), (third, "samples/2.jpg"))
    ]
    truth = changed(tmp_path / "t.json", rename)
    result = evaluate(truth, save(records, tmp_path / "r.jsonl"))
    assert result.groups["all"].figures["AP"] == pytest.approx(1)
    assert (result.missing, result.unknown) == ((), ())
    again = replace(first, image="/y/1.jpg")
    result = evaluate(truth, save([*records, again], tmp_path / "r.jsonl"))
    assert (result.missing, result.unknown) == (("1.jpg",), ("/x/1.jpg", "/y/1.jpg"))


@pytest.mark.parametrize("value", ["missing", None])
@pytest.mark.parametrize("field", ["bbox", "area", "num_keypoints", "iscrowd", "segmentation", "id"])
def test_fields_that_are_not_there_are_derived(field: str, value: str | None, tmp_path: Path) -> None:
    def drop(data: Any) -> None:
        for person in data["annotations"]:
            person.pop(field, None)
            if value is None:
                person[field] = None

    records = save(records_from_truth(shift=6), tmp_path / "r.jsonl")
    expected, result = (evaluate(truth, records) for truth in (str(TRUTH), changed(tmp_path / "t.json", drop)))
    assert (result.found, result.groups["all"].people) == (expected.found, expected.groups["all"].people)
    if field != "area":  # that of the box is another scale
        assert result == expected


def test_people_without_a_labelled_keypoint_and_crowds_are_ignored(tmp_path: Path) -> None:
    def add(data: Any) -> None:
        person = {**data["annotations"][0], "iscrowd": 1}
        nowhere = {"image_id": person["image_id"], "category_id": 1, "keypoints": [0] * 51}
        data["annotations"] += [person, nowhere, {**nowhere, "keypoints": []}]

    records = save(records_from_truth(), tmp_path / "r.jsonl")
    assert evaluate(changed(tmp_path / "t.json", add), records) == evaluate(str(TRUTH), records)


@pytest.mark.parametrize("wrong", ["missing", None, "x", [], {}, -1, 1.5, 2**70, True, "0"])
@pytest.mark.parametrize(
    "field",
    [
        *(("annotations", 0, key) for key in ("image_id", "category_id", "keypoints", "iscrowd", "bbox", "area")),
        *(("images", 0, key) for key in ("id", "file_name")),
        *(("categories", 0, key) for key in ("id", "keypoints")),
        ("annotations", 0, "bbox", 0),
        ("annotations", 0, "keypoints", 0),
        ("annotations", 0, "keypoints", 2),
        ("annotations",),
        ("images", 0),
    ],
)
def test_what_is_wrong_in_the_truth_is_a_usage_error(field: tuple[Any, ...], wrong: Any, tmp_path: Path) -> None:
    """Or it is derived, or the annotation is none of a person; never a mistake in posecli."""

    def change(data: Any) -> None:
        *path, last = field
        for key in path:
            data = data[key]
        if wrong == "missing":
            del data[last]
        else:
            data[last] = wrong

    truth = changed(tmp_path / "t.json", change)
    with contextlib.suppress(UsageError):
        evaluate(truth, save(records_from_truth(), tmp_path / "r.jsonl"))


def test_what_is_wrong_in_the_truth_is_named(tmp_path: Path, posecli: Posecli) -> None:
    truth = changed(tmp_path / "t.json", lambda data: data["annotations"][2].pop("image_id"))
    said = posecli("evaluate", truth, save(records_from_truth(), tmp_path / "r.jsonl"))
    assert (said.returncode, b"annotations[2].image_id is missing" in said.stderr) == (2, True)


@pytest.mark.parametrize("text", ["", "[]", "hello", '{"image": 1}', '[{"image_id": 1}]'])
def test_invalid_results_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "r").write_text(text)
    with pytest.raises(UsageError):
        evaluate(str(TRUTH), str(tmp_path / "r"))


@pytest.mark.parametrize("data", [{}, [], {"images": [], "annotations": []}, {"images": 3}])
def test_invalid_annotations_are_refused(data: Any, tmp_path: Path) -> None:
    (tmp_path / "t").write_text(json.dumps(data))
    with pytest.raises(UsageError, match="annotations"):
        evaluate(str(tmp_path / "t"), save(records_from_truth(), tmp_path / "r.jsonl"))


def test_the_evaluate_command(tmp_path: Path, posecli: Posecli) -> None:
    records = save(records_from_truth(), tmp_path / "r.jsonl")
    table = posecli("evaluate", TRUTH, records)
    assert table.returncode == 0, table.stderr
    assert b"AP medium" in table.stdout
    data = json.loads(posecli("evaluate", TRUTH, records, "--json").stdout)
    assert list(data["groups"]["all"]["figures"]) == list(FIGURES)
    assert posecli("evaluate", TRUTH, tmp_path / "none").returncode == 2


def test_the_error_for_a_missing_extra_names_the_install_command() -> None:
    with pytest.raises(MissingExtra, match="pip install pycocotools"):
        import_extra("no_such_package.part", extra="eval")

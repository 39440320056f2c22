"""Formats: what they write and read, and that files are complete or absent."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from posecli.errors import MissingExtra, OutputError, UsageError
from posecli.files.atomic import atomic_file
from posecli.records.formats import FORMAT_NAMES, choose_format, get_format
from posecli.records.formats.base import WriteOptions, output_path
from posecli.records.journal import read_records
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Record

from ..test_types import make_record

PLAIN = WriteOptions()
READABLE = ("jsonl", "json", "parquet")
#: Undecodable bytes, control characters, and text that looks like the escape of an undecodable byte.
ODD_NAMES = (
    "b\udcff\n\x1b人.jpg",
    r"c\udcff.jpg",
    r"d\u005c\udc80\\udc80",
    "e\\\udcff",
    "f\\u\udc80dc80",
    r"g\n\Udcff",
)
FAILED = Record.failed("bad.jpg", "not_found", "bad.jpg: no such file")


def written(name: str, records: list[Record], options: WriteOptions = PLAIN) -> str:
    return written_bytes(name, records, options).decode()


def written_bytes(name: str, records: list[Record], options: WriteOptions = PLAIN) -> bytes:
    file = io.BytesIO()
    get_format(name).write(records, file, options)
    return file.getvalue()


def needs_packages_of(name: str) -> None:
    if name == "parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet")


def one_image(name: str, record: Record, folder: Path, options: WriteOptions = PLAIN) -> Path:
    path = folder / f"out{get_format(name).image_suffix}"
    get_format(name).write_image(record, str(path), options)
    return path


def test_jsonl_has_one_record_per_line() -> None:
    lines = written("jsonl", [make_record(), FAILED]).splitlines()
    assert [Record.from_dict(json.loads(line)) for line in lines] == [make_record(), FAILED]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_json_is_one_array(count: int, tmp_path: Path) -> None:
    assert len(json.loads(written("json", [make_record()] * count))) == count
    assert json.loads(one_image("json", make_record(), tmp_path).read_text())["image"] == "a.jpg"


def test_csv_has_a_row_per_keypoint_and_one_for_each_record_without_people() -> None:
    rows = list(
        csv.DictReader(io.StringIO(written("csv", [make_record(people=2), make_record("e,\n.jpg", 0), FAILED])))
    )
    assert len(rows) == 2 * 17 + 2
    assert [row["part"] for row in rows[17:34]] == list(KEYPOINT_NAMES)
    assert (rows[17]["person"], rows[17]["x"], rows[17]["pose_score"]) == ("1", "10.0", "0.75")
    assert (rows[34]["image"], rows[34]["status"], rows[34]["person"]) == ("e,\n.jpg", "ok", "")
    assert (rows[35]["status"], rows[35]["message"]) == ("error", "bad.jpg: no such file")


def test_coco_ids_come_from_names_that_are_numbers() -> None:
    results = json.loads(
        written("coco", [make_record("a/000000139.jpg"), make_record("b/7.png", 2), make_record("9.jpg", 0)])
    )
    assert [entry["image_id"] for entry in results] == [139, 7, 7]
    assert results[0]["category_id"] == 1
    assert len(results[0]["keypoints"]) == 51
    assert results[0]["keypoints"][:3] == [10.0, 20.0, 0.5]


@pytest.mark.parametrize("names", [["cat.jpg", "7.jpg"], ["a/1.jpg", "b/1.jpg"]])
def test_coco_numbers_other_names_and_writes_a_map(names: list[str], tmp_path: Path) -> None:
    options = WriteOptions(path=str(tmp_path / "r.json"))
    results = json.loads(written("coco", [make_record(name) for name in names], options))
    images = json.loads((tmp_path / "r.images.json").read_text())["images"]
    assert [entry["image_id"] for entry in results] == [1, 2]
    assert {image["id"]: image["file_name"] for image in images} == dict(enumerate(names, 1))


def test_coco_ids_come_from_an_annotation_file(tmp_path: Path) -> None:
    annotations = tmp_path / "annotations.json"
    annotations.write_text(json.dumps({"images": [{"id": 42, "file_name": "cat.jpg"}]}))
    options = WriteOptions(path=str(tmp_path / "r.json"), coco_images=str(annotations))
    results = json.loads(written("coco", [make_record("photos/cat.jpg"), make_record("3.jpg")], options))
    assert [entry["image_id"] for entry in results] == [42, 43]
    assert "3.jpg" in (tmp_path / "r.images.json").read_text()


def test_coco_loads_in_pycocotools(tmp_path: Path) -> None:
    pycocotools = pytest.importorskip("pycocotools.coco", reason="needs the extra eval")
    truth = {"images": [{"id": 7}], "annotations": [], "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "t.json").write_text(json.dumps(truth))
    loaded = pycocotools.COCO(str(tmp_path / "t.json")).loadRes(json.loads(written("coco", [make_record("7.jpg")])))
    assert len(loaded.getAnnIds()) == 1


@pytest.mark.parametrize(("body25", "points"), [(False, 18), (True, 25)])
def test_openpose_has_its_points_and_the_middles_of_shoulders_and_hips(
    body25: bool, points: int, tmp_path: Path
) -> None:
    path = one_image("openpose", make_record(), tmp_path, WriteOptions(body25=body25))
    data = json.loads(path.read_text())
    (person,) = data["people"]
    flat = person["pose_keypoints_2d"]
    assert (data["version"], len(flat), person["person_id"]) == (1.3, 3 * points, [-1])
    assert flat[:6] == [10.0, 20.0, 0.5, 15.5, 3.5, 0.5]  # nose; neck between keypoints 5 and 6
    assert path.name == "out_keypoints.json"
    if body25:
        assert flat[8 * 3 : 9 * 3] == [21.5, -14.5, 0.5]  # middle of the hips, keypoints 11 and 12
        assert flat[19 * 3 :] == [0] * 18


def test_openpose_has_no_people_for_an_empty_picture_and_no_file_for_a_failure(tmp_path: Path) -> None:
    assert json.loads(one_image("openpose", make_record(people=0), tmp_path).read_text())["people"] == []
    assert not one_image("openpose", FAILED, tmp_path / "f").exists()
    with pytest.raises(UsageError, match="one file per image"):
        written("openpose", [make_record()])


def some_records() -> list[Record]:
    """Records of each kind: with people, without, failed, frames with tracks, odd names."""
    tracked = tuple(pose._replace(id=7 + person) for person, pose in enumerate(make_record(people=2).poses))
    failed_frame = Record.failed("c.mp4", "unreadable_image", "c.mp4: frame 4 is damaged \udcfe")
    return [
        make_record(people=2),
        make_record("empty.jpg", 0),
        FAILED,
        replace(make_record("c.mp4"), frame=3, time=0.12, poses=tracked),
        replace(failed_frame, frame=4, time=0.16),
        replace(make_record("without settings.jpg"), settings=None),
        *map(make_record, ODD_NAMES),
    ]


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("count", [None, 0, 1])
def test_records_are_read_back_unchanged(name: str, count: int | None, tmp_path: Path) -> None:
    needs_packages_of(name)
    path, records = tmp_path / f"records.{name}", some_records()[:count]
    path.write_bytes(written_bytes(name, records))
    assert list(read_records(str(path))) == records
    path = path.rename(tmp_path / "records")
    assert list(read_records(str(path))) == records


@pytest.mark.parametrize("name", READABLE)
def test_the_record_of_one_image_is_read_back(name: str, tmp_path: Path) -> None:
    needs_packages_of(name)
    for record in some_records():
        assert list(read_records(str(one_image(name, record, tmp_path)))) == [record]


def test_formats_that_keep_failures_can_be_read_back() -> None:
    """A resumed run reads the file of an image to find out whether its record is finished."""
    for name in FORMAT_NAMES:
        if name != "parquet" or find_spec("pyarrow") is not None:
            assert get_format(name).keeps_failures == (get_format(name).read is not None)


def test_parquet_has_one_row_per_record(tmp_path: Path) -> None:
    needs_packages_of("parquet")
    pandas = pytest.importorskip("pandas")
    (tmp_path / "x.parquet").write_bytes(written_bytes("parquet", some_records()))
    table = pandas.read_parquet(tmp_path / "x.parquet")
    assert list(table["image"][:3]) == ["a.jpg", "empty.jpg", "bad.jpg"]
    assert list(table["status"][:3]) == ["ok", "ok", "error"]
    assert [None if poses is None else len(poses) for poses in table["poses"][:3]] == [2, 0, None]
    assert table["poses"][0][1]["keypoints"][16]["part"] == "rightAnkle"
    assert [(pose["person"], pose["track"]) for pose in table["poses"][0]] == [(0, None), (1, None)]
    assert [(pose["person"], pose["track"]) for pose in table["poses"][3]] == [(0, 7), (1, 8)]
    assert table["error"][2] == {"code": "not_found", "message": "bad.jpg: no such file"}
    assert r"b\udcff" in table["image"][6]
    assert set(table.columns) == {
        "schema", "image", "status", "frame", "time", "file", "width", "height", "model", "settings", "error", "poses",
    }  # fmt: skip


def test_tables_of_earlier_versions_can_be_read(tmp_path: Path) -> None:
    """Their poses have `id`, not `person` and `track`."""
    needs_packages_of("parquet")
    pandas = pytest.importorskip("pandas")
    tracked = some_records()[3]
    row = json.loads(json.dumps(tracked.to_dict()))
    row |= {name: json.dumps(row[name]) for name in ("model", "settings")}
    pandas.DataFrame([row]).to_parquet(tmp_path / "x.parquet")
    assert list(read_records(str(tmp_path / "x.parquet"))) == [tracked]


def test_many_records_are_written_in_several_row_groups(tmp_path: Path) -> None:
    needs_packages_of("parquet")
    records = [make_record(f"{number}.jpg", number % 3) for number in range(600)]
    (tmp_path / "x.parquet").write_bytes(written_bytes("parquet", records))
    assert list(read_records(str(tmp_path / "x.parquet"))) == records


@pytest.mark.parametrize("end", [0, 5, 2000, -1])
@pytest.mark.parametrize("name", ["x.parquet", "x"])
def test_a_torn_table_is_refused(name: str, end: int, tmp_path: Path) -> None:
    needs_packages_of("parquet")
    (tmp_path / name).write_bytes(written_bytes("parquet", some_records())[:end])
    if end == 0 and name == "x":
        assert list(read_records(str(tmp_path / name))) == []
    else:
        with pytest.raises(UsageError, match="does not hold posecli records"):
            list(read_records(str(tmp_path / name)))


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    needs_packages_of("parquet")
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame({"a": [1, 2]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(UsageError, match="does not hold posecli records: row 1: schema is missing"):
        list(read_records(str(tmp_path / "x.parquet")))


def test_a_format_whose_package_is_missing_is_refused_when_it_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "posecli.records.formats.parquet", raising=False)
    with pytest.raises(MissingExtra, match="pyarrow, which is not installed"):
        choose_format(None, "x.parquet", folder=False)


def tracked_clip(*frames: int) -> list[Record]:
    """Frames of a clip with two people, whose order changes."""
    people = tuple(pose._replace(id=9 - place) for place, pose in enumerate(make_record(people=2).poses))
    return [replace(make_record("c.mp4"), frame=i, time=i / 25, poses=people[:: 1 - i % 2 * 2]) for i in frames]


def test_dlc_has_a_row_per_frame_and_an_individual_per_track() -> None:
    failed = replace(Record.failed("c.mp4", "unreadable_image", "damaged"), frame=4)
    rows = list(csv.reader(io.StringIO(written("dlc", [*tracked_clip(1, 2), failed]))))
    assert [row[0] for row in rows] == ["scorer", "individuals", "bodyparts", "coords", "0", "1", "2", "3", "4"]
    assert {len(row) for row in rows} == {1 + 2 * 17 * 3}
    assert set(rows[0][1:]) == {"m"}
    assert [rows[1][column] for column in (1, 51, 52, 102)] == ["track_8", "track_8", "track_9", "track_9"]
    assert rows[2][1:8] == ["nose"] * 3 + ["leftEye"] * 3 + ["rightEye"]
    assert rows[3][1:7] == ["x", "y", "likelihood"] * 2
    assert rows[5][1:4] == rows[6][52:55] == ["10.0", "20.0", "0.5"]
    for row in (rows[4], *rows[7:]):
        assert not any(row[1:])


def test_dlc_without_tracks_has_no_individuals() -> None:
    single = [replace(record, poses=(record.poses[0]._replace(id=None),)) for record in tracked_clip(0, 1)]
    nobody = [replace(record, poses=()) for record in single]
    for records, cells in ((single, 51), (nobody, 0)):
        rows = list(csv.reader(io.StringIO(written("dlc", records))))
        assert [row[0] for row in rows] == ["scorer", "bodyparts", "coords", "0", "1"]
        assert sum(map(bool, rows[-1][1:])) == cells


@pytest.mark.parametrize(
    ("records", "why"),
    [
        ([make_record()], r"frames of a clip, and a\.jpg is a picture"),
        ([*tracked_clip(0), replace(make_record("d.mp4"), frame=0)], r"one clip, and there are c\.mp4 and d\.mp4"),
        ([replace(make_record(people=2), frame=0)], "several people and no tracks"),
        (tracked_clip(1, 0), "frame 0 is out of order"),
        (tracked_clip(10**12), "its number is too large"),
    ],
)
def test_dlc_refuses_records_that_it_cannot_hold(records: list[Record], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        written("dlc", records)


@pytest.mark.parametrize("name", [name for name in FORMAT_NAMES if name != "dlc"])  # dlc writes no names
def test_every_format_writes_odd_names(name: str, tmp_path: Path) -> None:
    needs_packages_of(name)
    for record in map(make_record, ODD_NAMES):
        data = one_image(name, record, tmp_path).read_bytes()
        assert data
        if name != "parquet":
            data.decode()


@pytest.mark.parametrize(
    ("name", "output", "folder", "expected"),
    [
        (None, None, False, "jsonl"),
        (None, "x.csv", False, "csv"),
        (None, "x.PARQUET", False, "parquet"),
        ("parquet", "x/", True, "parquet"),
        (None, "x/", True, "json"),
        ("coco", "x.json", False, "coco"),
    ],
)
def test_formats_are_chosen_by_name_or_extension(name: str, output: str, folder: bool, expected: str) -> None:
    needs_packages_of(expected)
    assert choose_format(name, output, folder=folder).name == expected


def test_files_are_complete_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.json"

    def fail_half_way() -> None:
        with atomic_file(str(path)) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert list(path.parent.iterdir()) == []
    with atomic_file(str(path)) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(path.parent.iterdir()) == [path]


def test_the_error_names_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write .*file/x"), atomic_file(str(tmp_path / "file" / "x")):
        pass


def test_output_paths_keep_the_full_name() -> None:
    assert output_path("out", "a/x.jpg", ".json") == "out/a/x.jpg.json"

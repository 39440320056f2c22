"""`posecli convert`: saved records in other formats, without the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from posecli.types import Record

from ..conftest import Posecli, records_of
from ..test_types import make_record


@pytest.fixture
def records(tmp_path: Path) -> Path:
    (tmp_path / "pics").mkdir()
    Image.new("RGB", (640, 480), (90, 90, 90)).save(tmp_path / "pics" / "a.jpg")
    path = tmp_path / "r.jsonl"
    lines = [make_record("a.jpg"), Record.failed("b.jpg", "not_found", "b.jpg: no such file")]
    path.write_text("".join(json.dumps(record.to_dict()) + "\n" for record in lines))
    return path


@pytest.mark.parametrize("name", ["x.json", "x.csv", "x.jsonl"])
def test_records_are_converted_by_extension(name: str, records: Path, tmp_path: Path, posecli: Posecli) -> None:
    result = posecli("convert", records, "-o", tmp_path / name, model=Path("/no/such/model"))
    assert result.returncode == 1, result.stderr  # one of the records is a failure
    assert "a.jpg" in (tmp_path / name).read_text()
    assert posecli("convert", records, "-o", tmp_path / name).returncode == 2
    assert posecli("convert", records, "-o", tmp_path / name, "--overwrite").returncode == 1


def test_standard_input_is_converted_to_standard_output(records: Path, posecli: Posecli) -> None:
    result = posecli("convert", "-", "-f", "jsonl", input=records.read_bytes())
    assert len(records_of(result.stdout)) == 2
    assert json.loads(posecli("convert", "-", "-f", "coco", input=records.read_bytes()).stdout)[0]["image_id"] == 1


def test_parquet_is_read_and_written(records: Path, tmp_path: Path, posecli: Posecli) -> None:
    pytest.importorskip("pyarrow", reason="needs the extra parquet")
    table = tmp_path / "x.parquet"
    assert posecli("convert", records, "-o", table, model=Path("/no/such/model")).returncode == 1
    assert posecli("convert", table, "-o", tmp_path / "y.jsonl").returncode == 1
    lines = (tmp_path / "y.jsonl").read_bytes()
    assert records_of(lines) == records_of(records.read_bytes())
    assert posecli("convert", "-", "-f", "parquet", input=lines).stdout == table.read_bytes()
    assert posecli("convert", "-", "-f", "jsonl", input=table.read_bytes()).stdout == lines


READERS = [
    "compare r.jsonl FILE",
    "measure FILE",
    "evaluate truth.json FILE",
    "report FILE -o /dev/stdout --overwrite --image-root pics",
]


@pytest.mark.parametrize("command", READERS)
def test_commands_that_read_records_read_parquet(command: str, records: Path, tmp_path: Path, posecli: Posecli) -> None:
    for package in ("pyarrow", "pycocotools", "jinja2"):
        pytest.importorskip(package)
    person = {"id": 1, "image_id": 7, "category_id": 1, "iscrowd": 0, "num_keypoints": 17, "area": 900}
    person |= {"keypoints": [9, 9, 2] * 17, "bbox": [0, 0, 30, 30]}
    truth = {"images": [{"id": 7, "file_name": "a.jpg"}], "categories": [{"id": 1, "name": "person"}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth | {"annotations": [person]}))
    posecli("convert", records, "-o", tmp_path / "x.parquet")
    results = [posecli(*command.replace("FILE", name).split(), cwd=tmp_path) for name in ("r.jsonl", "x.parquet")]
    assert [result.returncode for result in results] == [0, 0], results[1].stderr
    assert results[0].stdout == results[1].stdout != b""


def test_openpose_files_are_written_to_a_folder(records: Path, tmp_path: Path, posecli: Posecli) -> None:
    posecli("convert", records, "-f", "openpose", "-o", f"{tmp_path}/op/")
    assert [path.name for path in (tmp_path / "op").iterdir()] == ["a.jpg_keypoints.json"]


def test_image_root_is_the_folder_of_the_pictures(records: Path, tmp_path: Path, posecli: Posecli) -> None:
    result = posecli("convert", records, "-a", tmp_path / "drawn", "--image-root", tmp_path / "pics")
    assert result.returncode == 1
    with Image.open(tmp_path / "drawn" / "a.jpg.png") as picture:
        assert picture.size == (640, 480)
    missing = posecli("convert", records, "-a", tmp_path / "elsewhere", cwd=tmp_path)
    assert b"a.jpg: no such file" in missing.stderr


def test_a_file_without_records_is_wrong_usage(tmp_path: Path, posecli: Posecli) -> None:
    (tmp_path / "x").write_text("hello\n")
    result = posecli("convert", tmp_path / "x", "-f", "csv")
    assert (result.returncode, b"does not hold posecli records" in result.stderr) == (2, True)
    assert posecli("convert", tmp_path / "x").returncode == 2
    assert posecli("convert", tmp_path / "none", "-f", "csv").returncode == 2

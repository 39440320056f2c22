"""`posecli measure`: tables of angles, the choice of people, and messages about --smooth."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from posecli.poses.angles import ANGLES, names_in
from posecli.types import Record

from ..conftest import Posecli
from ..poses.test_angles import figure
from ..test_types import make_record


def frames(image: str, count: int, rate: float, *tracks: int | None) -> list[Record]:
    """A clip of people who lean a little more in each frame, each person with a different angle."""
    return [
        replace(
            make_record(image),
            frame=number,
            time=number / rate,
            poses=tuple(figure(number + 20 * place)._replace(id=track) for place, track in enumerate(tracks)),
        )
        for number in range(count)
    ]


def written(records: Sequence[Record], folder: Path) -> Path:
    path = folder / "r.jsonl"
    path.write_text("".join(json.dumps(record.to_dict()) + "\n" for record in records))
    return path


def rows_of(table: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.decode())))


def test_a_csv_table_has_one_row_per_person_and_frame(tmp_path: Path, posecli: Posecli) -> None:
    still = replace(make_record("a.jpg"), poses=(figure(), figure(20)))
    failed = Record.failed("b.jpg", "not_found", "b.jpg: no such file")
    result = posecli("measure", written([still, failed, *frames("c.mp4", 3, 25, 7)], tmp_path))
    rows = rows_of(result.stdout)
    assert list(rows[0]) == [
        "image", "frame", "time", "person", "track", "score", *ANGLES, *(f"{name} quality" for name in ANGLES),
    ]  # fmt: skip
    assert [(row["image"], row["person"], row["track"]) for row in rows] == [
        ("a.jpg", "0", ""), ("a.jpg", "1", ""), ("c.mp4", "0", "7"), ("c.mp4", "0", "7"), ("c.mp4", "0", "7"),
    ]  # fmt: skip
    assert (rows[1]["trunk lean"], rows[1]["trunk lean quality"]) == ("20.0", "0.9000")
    assert (rows[-1]["frame"], rows[-1]["time"]) == ("2", "0.08")


def test_json_has_one_object_per_person_and_frame(tmp_path: Path, posecli: Posecli) -> None:
    still = replace(make_record("a.jpg"), poses=(figure(),))
    path = written([still, *frames("c.mp4", 1, 25, 7)], tmp_path)
    assert posecli("measure", path, "-o", tmp_path / "a.json").returncode == 0
    first, second = json.loads((tmp_path / "a.json").read_text())
    assert list(first) == ["image", "frame", "time", "person", "track", "score", "angles", "quality"]
    assert (first["frame"], first["time"], first["person"], first["track"]) == (None, None, 0, None)
    assert (second["frame"], second["time"], second["person"], second["track"]) == (0, 0, 0, 7)
    assert (first["angles"]["left elbow"], first["quality"]["left elbow"]) == (180, 0.9)
    assert posecli("measure", path, "-o", tmp_path / "a.json").returncode == 2


def test_the_flexion_convention_changes_names_and_angles(tmp_path: Path, posecli: Posecli) -> None:
    path = written([replace(make_record("a.jpg"), poses=(figure(),))], tmp_path)
    (row,) = rows_of(posecli("measure", path, "--convention", "flexion").stdout)
    assert list(row)[6:] == [*names_in("flexion"), *(f"{name} quality" for name in names_in("flexion"))]
    assert (row["left knee flexion"], row["left shoulder elevation"]) == ("0.0", "90.0")
    assert (row["left knee flexion quality"], row["trunk lean"]) == ("0.9000", "0.0")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], [(0, 7), (1, 9), (2, 8)]),
        (["--track", "8"], [(2, 8)]),
        (["--track", "8", "--track", "7"], [(0, 7), (2, 8)]),
        (["--person", "1"], [(1, 9)]),
        (["--person", "0", "--track", "7"], [(0, 7)]),
    ],
)
def test_track_and_person_select_rows(
    options: list[str], expected: list[tuple[int, int]], tmp_path: Path, posecli: Posecli
) -> None:
    path = written(frames("c.mp4", 2, 25, 7, 9, 8), tmp_path)
    rows = rows_of(posecli("measure", path, *options).stdout)
    assert [(int(row["person"]), int(row["track"])) for row in rows] == expected * 2


def test_a_missing_person_or_track_is_wrong_usage(tmp_path: Path, posecli: Posecli) -> None:
    path = written(frames("c.mp4", 2, 25, 7, 9), tmp_path)
    result = posecli("measure", path, "--track", "8")
    assert (result.returncode, result.stdout) == (2, b"")
    assert b"there is no track 8" in result.stderr
    assert b"the records have 7, 9" in result.stderr
    assert posecli("measure", path, "--person", "2").returncode == 2


@pytest.mark.parametrize(
    ("records", "seconds", "said"),
    [
        (frames("slow.gif", 9, 10, 1), "0.3", [b"too short for 10 frames per second", b"--smooth 0.4 or more"]),
        ([make_record("a.jpg"), make_record("b.jpg")], "1", [b"these are pictures: a.jpg and 1 more"]),
        (frames("c.mp4", 9, 25, None, None), "1", [b"if there are several people: c.mp4", b"estimate --track"]),
    ],
)
def test_smoothing_that_does_nothing_is_wrong_usage(
    records: list[Record], seconds: str, said: list[bytes], tmp_path: Path, posecli: Posecli
) -> None:
    result = posecli("measure", written(records, tmp_path), "--smooth", seconds, "-o", tmp_path / "x.csv")
    assert result.returncode == 2
    assert all(words in result.stderr for words in said), result.stderr
    assert not (tmp_path / "x.csv").exists()


def test_smoothing_names_the_inputs_that_it_does_not_change(tmp_path: Path, posecli: Posecli) -> None:
    pytest.importorskip("scipy", reason="needs the extra measure")
    slow, fast = frames("slow.gif", 9, 10, 1), frames("fast.mp4", 30, 50, 1)
    path = written([make_record("a.jpg"), *slow, *fast], tmp_path)
    result = posecli("measure", path, "--smooth", "0.3")
    assert result.returncode == 0
    assert len(rows_of(result.stdout)) == 40
    assert result.stderr.decode().splitlines() == [
        "posecli: --smooth needs clips, and these are pictures: a.jpg (omit --smooth)",
        "posecli: --smooth 0.3 is too short for 10 frames per second, and changes nothing: slow.gif "
        "(use --smooth 0.4 or more)",
    ]
    nobody = written([make_record("a.jpg", people=0)], tmp_path)
    assert posecli("measure", nobody, "--smooth", "0.3").returncode == 0

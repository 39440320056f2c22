"""Runs in shards: each part is complete or missing, and no record is lost or duplicated, even after interruptions."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from posecli.errors import UsageError
from posecli.records.identity import digest
from posecli.records.parts import Part, best_parts, list_parts, read_parts, write_part
from posecli.types import Keypoint, ModelInfo, Pose, Record, Settings

from ..conftest import Gate, Posecli, records_of, wait_for
from ..tiny_model import draw_discs, person_at


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def records(folder: Path) -> list[str]:
    return [Path(record.image).name for record in read_parts(str(folder))]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Ten pictures, of which the fourth is damaged."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(10):
        draw_discs([person_at(60 + 10 * number, 80)]).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes(b"damaged")
    return folder


def estimate(posecli: Posecli, pictures: Path, *options: object) -> subprocess.CompletedProcess[bytes]:
    return posecli("estimate", pictures, "-o", f"{pictures.parent}/out/", "--shards", "--shard-size", "4", *options)


def some_record(name: str = "a.jpg") -> Record:
    points = [Keypoint(i, part, 10.25 * i, 7.5 * i, 0.5) for i, part in enumerate(_parts())]
    poses = (Pose.from_keypoints(0.5, points), Pose.from_keypoints(0.25, points)._replace(id=7))
    model = ModelInfo("some", "0" * 64, (257, 289), 32)
    return Record(name, "ok", width=640, height=480, model=model, settings=Settings().to_dict(), poses=poses)


def _parts() -> tuple[str, ...]:
    from posecli.skeleton import KEYPOINT_NAMES

    return KEYPOINT_NAMES


@pytest.mark.parametrize(
    "part", [Part(12, "0123abcd", "89efab01", "jsonl"), Part(10**7, "0" * 8, "f" * 8, "parquet", 3)]
)
def test_the_name_of_a_part_describes_it(part: Part) -> None:
    assert Part.parse(part.name) == part
    assert Part.parse(part.name + ".tmp") is None


def test_different_lists_of_names_have_different_digests() -> None:
    assert digest(["ab", "c"]) != digest(["a", "bc"])


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_records_are_read_from_parts_unchanged(kind: str, tmp_path: Path) -> None:
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    given = [some_record(), Record.failed("b.jpg", "not_found", "b.jpg: no such file"), some_record("c.jpg")]
    given.append(Record(**{**vars(given[0]), "frame": 3, "time": 0.12, "poses": ()}))
    part = write_part(str(tmp_path / "new"), Part(0, "0" * 8, "1" * 8, kind), given)
    assert part.failed == 1
    assert names(tmp_path / "new") == [part.name]
    assert list(read_parts(str(tmp_path / "new"))) == given


def test_the_better_of_two_parts_with_one_number_is_used(tmp_path: Path) -> None:
    bad, good = [Record.failed("a.jpg", "timed_out", "x")], [some_record()]
    for found in (bad, good):
        write_part(str(tmp_path), Part(0, "0" * 8, "1" * 8, "jsonl"), found)
    assert len(list(list_parts(str(tmp_path)))) == 2
    assert [part.failed for part in best_parts(str(tmp_path)).values()] == [0]
    assert [record.ok for record in read_parts(str(tmp_path))] == [True]


def test_a_folder_without_parts_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no parts"):
        list(read_parts(str(tmp_path)))


def test_every_input_has_a_record_in_some_part(pictures: Path, posecli: Posecli) -> None:
    result = estimate(posecli, pictures)
    assert result.returncode == 1
    assert b"10 pictures = 9 ok + 1 failed + 0 skipped" in result.stderr
    out = pictures.parent / "out"
    assert records(out) == [f"{number}.png" for number in range(10)]
    assert [".failed-1." in name for name in names(out)] == [True, False, False]
    assert estimate(posecli, pictures).returncode == 2
    whole = records_of(posecli("estimate", pictures).stdout)
    assert list(read_parts(str(out))) == whole


def test_resume_computes_failed_inputs_and_missing_parts(pictures: Path, posecli: Posecli) -> None:
    estimate(posecli, pictures)
    out = pictures.parent / "out"
    (out / names(out)[1]).unlink()
    draw_discs([person_at(60, 80)]).save(pictures / "3.png")
    before = (out / names(out)[1]).stat().st_mtime_ns
    result = estimate(posecli, pictures, "--resume")
    assert result.returncode == 0
    assert b"10 pictures = 5 ok + 0 failed + 5 skipped" in result.stderr
    assert sorted(records(out)) == [f"{number}.png" for number in range(10)]
    assert len(names(out)) == 3
    assert (out / names(out)[2]).stat().st_mtime_ns == before


def test_resume_computes_the_shards_whose_inputs_changed(pictures: Path, posecli: Posecli) -> None:
    estimate(posecli, pictures)
    for number in (8, 9):
        (pictures / f"{number}.png").unlink()
    draw_discs([person_at(60, 80)]).save(pictures / "3.png")
    (pictures / "7.png").rename(pictures / "77.png")
    result = estimate(posecli, pictures, "--resume")
    assert b"8 pictures = 5 ok + 0 failed + 3 skipped" in result.stderr
    found = sorted(records(pictures.parent / "out"))
    assert found == ["0.png", "1.png", "2.png", "3.png", "4.png", "5.png", "6.png", "77.png"]


def test_resume_with_other_settings_is_refused(pictures: Path, posecli: Posecli) -> None:
    estimate(posecli, pictures)
    refused = estimate(posecli, pictures, "--resume", "--max-poses", "3")
    assert (refused.returncode, b"cannot resume" in refused.stderr) == (2, True)
    assert estimate(posecli, pictures, "--overwrite", "--max-poses", "3").returncode == 1
    assert len(names(pictures.parent / "out")) == 3


def test_options_that_do_not_fit_shards_are_wrong_usage(pictures: Path, posecli: Posecli) -> None:
    assert posecli("estimate", pictures, "--shards").returncode == 2
    assert posecli("estimate", pictures, "-o", pictures.parent / "x.csv", "--shards").returncode == 2
    assert estimate(posecli, pictures, "-f", "csv").returncode == 2
    assert estimate(posecli, pictures, "--expect", "records.jsonl").returncode == 2
    assert not (pictures.parent / "out").exists()


def test_expectations_are_checked_in_shards(pictures: Path, posecli: Posecli) -> None:
    draw_discs([]).save(pictures / "3.png")
    result = estimate(posecli, pictures, "--require-pose")
    assert (result.returncode, b"3.png: no people found" in result.stderr) == (3, True)


def test_dry_run_lists_the_parts(pictures: Path, posecli: Posecli) -> None:
    result = estimate(posecli, pictures, "--dry-run")
    assert result.returncode == 0
    assert result.stdout.splitlines()[-1] == f"all records\t{pictures.parent}/out/part-*.jsonl".encode()


def test_annotated_pictures_are_written_with_shards(pictures: Path, posecli: Posecli) -> None:
    assert estimate(posecli, pictures, "-a", f"{pictures.parent}/drawn/").returncode == 1
    assert names(pictures.parent / "drawn") == [f"{number}.png.png" for number in range(10) if number != 3]


def test_commands_read_a_folder_of_parts(pictures: Path, posecli: Posecli) -> None:
    estimate(posecli, pictures)
    out = pictures.parent / "out"
    table = posecli("convert", out, "-f", "csv").stdout.splitlines()
    assert len(table) == 1 + 9 * 17 + 1
    posecli("report", out, "-o", pictures.parent / "r.html")
    assert (pictures.parent / "r.html").read_text().count('<script type="text/plain"') == 9


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_run_is_resumed(
    stop: int, pictures: Path, tiny_model: Path, posecli: Posecli, make_gate: Callable[[Path], Gate]
) -> None:
    many, out = pictures.parent / "many", pictures.parent / "out"
    many.mkdir()
    for number in range(400):
        (many / f"{number:03d}.png").symlink_to(pictures / "0.png")
    gate = make_gate(many / "200.png")  # the run blocks at this picture until it is stopped
    command = [sys.executable, "-m", "posecli", "estimate", many, "-o", f"{out}/", "--shards", "--shard-size", "8"]
    process = subprocess.Popen([*map(str, command), "--model", str(tiny_model)], stderr=subprocess.PIPE)
    wait_for(lambda: process.poll() is not None or (out.exists() and len(list(list_parts(str(out)))) >= 3))
    process.send_signal(stop)
    gate.replace(pictures / "0.png")
    gate.close()  # ends a worker whose parent was killed
    text = process.communicate()[1]
    if stop == signal.SIGINT:
        assert process.returncode == 130
        assert b"--resume continues" in text
        assert all(Part.parse(name) for name in names(out))
    done = len(list(list_parts(str(out))))
    assert 3 <= done <= 25
    result = posecli(*command[3:], "--resume")
    assert result.returncode == 0
    assert f"{400 - 8 * done} ok + 0 failed + {8 * done} skipped".encode() in result.stderr
    assert records(out) == [f"{number:03d}.png" for number in range(400)]

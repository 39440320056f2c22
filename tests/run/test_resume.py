"""Resumed runs: each picture has one record, no line is torn, and settings are not mixed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from posecli.errors import UsageError
from posecli.records.identity import RunIdentity
from posecli.records.journal import RecordedLines, read_records
from posecli.types import ImageInput, Record, Settings

from ..conftest import PATIENCE, Gate, Posecli, records_of, wait_for
from ..test_types import make_record
from ..tiny_model import draw_discs, person_at

IDENTITY = RunIdentity("0" * 64, Settings())


def line(record: Record) -> str:
    return json.dumps(record.to_dict()) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Sixty pictures, of which one is damaged."""
    folder = tmp_path / "in"
    folder.mkdir()
    draw_discs([person_at(62, 41)]).save(folder / "00.png")
    for index in range(1, 60):
        os.link(folder / "00.png", folder / f"{index:02d}.png")
    (folder / "30.png").unlink()
    (folder / "30.png").write_bytes(b"damaged")
    return folder


def repair(folder: Path) -> None:
    (folder / "30.png").unlink()
    os.link(folder / "00.png", folder / "30.png")


def image(name: str) -> ImageInput:
    return ImageInput(name, name)


def test_finished_records_are_found_among_failures_and_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    failed = line(Record.failed("b.jpg", "not_found", "x"))
    whole = line(make_record("a.jpg")) + failed + line(make_record("c.jpg"))
    path.write_text(whole + '{"schema": "po')
    recorded = RecordedLines(str(path), IDENTITY)
    assert recorded.get(image("a.jpg")) == make_record("a.jpg")
    assert recorded.get(image("c.jpg")) == make_record("c.jpg")
    assert (recorded.get(image("b.jpg")), recorded.get(image("d.jpg"))) == (None, None)
    assert (recorded.is_clean, recorded.names_that_failed) == (False, {"b.jpg"})
    recorded.cut_torn_line()
    assert path.read_text() == whole


def test_the_later_of_two_records_of_an_input_is_used(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(line(make_record("a.jpg", 0)) + line(make_record("a.jpg")))
    recorded = RecordedLines(str(path), IDENTITY)
    assert (recorded.get(image("a.jpg")), recorded.is_clean) == (make_record("a.jpg"), False)


def test_a_file_without_records_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("my notes\n")
    with pytest.raises(UsageError, match="does not hold posecli records"):
        RecordedLines(str(path), IDENTITY)
    assert path.read_text() == "my notes\n"


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (RunIdentity("1" * 64, Settings()), "the model m"),
        (RunIdentity("0" * 64, Settings(max_poses=3)), "max-poses 20, not 3"),
    ],
)
def test_records_of_another_model_or_other_settings_are_refused(
    identity: RunIdentity, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(line(make_record()))
    with pytest.raises(UsageError, match=message):
        RecordedLines(str(path), identity)


def test_records_are_read_from_lines_and_arrays(tmp_path: Path) -> None:
    records = [make_record("a"), make_record("b", 0), Record.failed("c", "not_found", "x")]
    (tmp_path / "r.jsonl").write_text("\n" + "\n".join(map(line, records)))
    (tmp_path / "r.json").write_text("\n" + json.dumps([record.to_dict() for record in records], indent=2))
    (tmp_path / "one.json").write_text(json.dumps(records[0].to_dict(), indent=2))
    assert list(read_records(str(tmp_path / "one.json"))) == records[:1]
    for name in ("r.jsonl", "r.json"):
        assert list(read_records(str(tmp_path / name))) == records
    (tmp_path / "other").write_text('{"people": []}\n')
    with pytest.raises(UsageError, match="does not hold posecli records"):
        list(read_records(str(tmp_path / "other")))


@pytest.fixture
def gate(folder: Path, make_gate: Callable[[Path], Gate]) -> Gate:
    """The last picture of the folder: the run blocks there until it gets a signal."""
    return make_gate(folder / "59.png")


def needs_packages_of(name: str) -> None:
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="needs the extra parquet")


def start_and_end(args: list[object], signal_number: int, model: Path, watched: Path) -> subprocess.Popen[bytes]:
    """Run until the watched file has some records, then send the signal to the process group."""
    process = subprocess.Popen(
        [sys.executable, "-m", "posecli", *map(str, args)], env={**os.environ, "POSECLI_MODEL": str(model)},
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    wait_for(lambda: process.poll() is not None or (watched.exists() and watched.stat().st_size >= 10_000))
    os.killpg(process.pid, signal_number)
    return process


@pytest.mark.parametrize("name", ["r.jsonl", "r.json", "r.csv", "r.parquet"])
def test_a_killed_run_is_resumed(
    name: str, folder: Path, gate: Gate, tmp_path: Path, tiny_model: Path, posecli: Posecli
) -> None:
    needs_packages_of(name)
    out = tmp_path / name
    lines = out if name == "r.jsonl" else tmp_path / f"{name}.partial.jsonl"
    process = start_and_end(["estimate", folder, "-o", out], signal.SIGKILL, tiny_model, lines)
    gate.replace(folder / "00.png")
    gate.close()  # ends the worker, which outlives its parent
    process.communicate()
    assert out.exists() == (name == "r.jsonl")
    assert posecli("estimate", folder, "-o", out).returncode == 2
    repair(folder)
    result = posecli("estimate", folder, "-o", out, "--resume")
    assert result.returncode == 0, result.stderr
    if name == "r.csv":
        images = {row["image"] for row in csv.DictReader(out.read_text().splitlines())}
    else:
        images = {record.image for record in read_records(str(out))}
        assert len(images) == sum(1 for _ in read_records(str(out)))
    assert len(images) == 60
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["in", name])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_finished_records(
    number: int, status: int, folder: Path, gate: Gate, tmp_path: Path, tiny_model: Path
) -> None:
    out = tmp_path / "r.jsonl"
    process = start_and_end(["estimate", folder, "-o", out], number, tiny_model, out)
    text = process.communicate(timeout=PATIENCE)[1].decode()
    assert process.returncode == status, text
    assert "Traceback" not in text
    assert "interrupted: " in text
    assert "--resume continues" in text
    assert 0 < len(records_of(out.read_bytes())) < 60
    group = subprocess.run(["ps", "-o", "pid=", "-g", str(process.pid)], capture_output=True, text=True, check=False)
    assert group.stdout.strip() == ""


@pytest.mark.parametrize("name", ["r.jsonl", "r.json", "r.csv", "r.parquet"])
def test_failed_inputs_are_retried(name: str, folder: Path, tmp_path: Path, posecli: Posecli) -> None:
    needs_packages_of(name)
    out = tmp_path / name
    assert posecli("estimate", folder, "-o", out).returncode == 1
    repair(folder)
    result = posecli("estimate", folder, "-o", out, "--resume")
    assert (result.returncode, b"60 pictures = 1 ok + 0 failed + 59 skipped" in result.stderr) == (0, True)
    again = posecli("estimate", folder, "-o", out, "--resume")
    assert again.returncode == (2 if name == "r.csv" else 0), again.stderr


@pytest.mark.parametrize("name", ["json", "jsonl", "parquet"])
def test_folders_of_files_are_resumed(name: str, folder: Path, tmp_path: Path, posecli: Posecli) -> None:
    needs_packages_of(name)
    args = ("estimate", folder, "-o", f"{tmp_path}/out/", "-f", name, "-a", f"{tmp_path}/drawn/")
    assert posecli(*args).returncode == 1
    assert posecli(*args).returncode == 2
    repair(folder)
    (tmp_path / "out" / f"07.png.{name}").unlink()
    (tmp_path / "drawn" / "08.png.png").unlink()
    (tmp_path / "out" / f"09.png.{name}").write_text('{"torn')
    result = posecli(*args, "--resume")
    # An input whose annotated picture is missing is drawn from its record.
    assert (result.returncode, b"60 pictures = 3 ok + 0 failed + 57 skipped" in result.stderr) == (0, True)
    other = posecli(*args, "--resume", "--max-poses", "1")
    assert (other.returncode, b"max-poses 20, not 1" in other.stderr) == (2, True)


@pytest.mark.parametrize("options", [["-o", "csv"], ["-o", "openpose"], ["-o", "coco-annotations"], ["-a", "png"]])
def test_a_killed_run_to_files_without_records_is_resumed_only_with_its_settings(
    options: list[str], folder: Path, gate: Gate, tmp_path: Path, tiny_model: Path, posecli: Posecli
) -> None:
    """Files such as CSV do not contain the settings, so a journal keeps them until the run ends."""
    out = tmp_path / "out"
    command = ["estimate", folder, options[0], f"{out}/", *(["-f", options[1]] if options[0] == "-o" else [])]
    process = start_and_end(command, signal.SIGKILL, tiny_model, out / ".posecli.partial.jsonl")
    gate.replace(folder / "00.png")
    gate.close()
    process.communicate()
    repair(folder)
    other = posecli(*command, "--max-poses", "1", "--resume")
    assert (other.returncode, b"max-poses 20, not 1" in other.stderr) == (2, True)
    result = posecli(*command, "--resume")
    assert result.returncode == 0, result.stderr
    assert b"+ 0 skipped" not in result.stderr
    assert len([path for path in out.iterdir() if not path.name.startswith(".")]) == 60
    assert not list(out.glob(".*"))


def test_outputs_in_the_input_folder_are_not_read_as_inputs(folder: Path, posecli: Posecli) -> None:
    (folder / "30.png").unlink()
    assert b"59 pictures" in posecli("estimate", folder, "-a", folder).stderr
    result = posecli("estimate", folder, "-a", folder, "--resume")
    assert b"59 pictures = 0 ok + 0 failed + 59 skipped" in result.stderr
    for path in folder.glob("*.png.png"):
        path.unlink()
    posecli("estimate", folder, "-a", folder / "drawn")
    assert b"59 pictures" in posecli("estimate", folder, "-a", folder / "drawn", "--overwrite").stderr


def test_overwrite_with_resume_is_wrong_usage(posecli: Posecli, folder: Path) -> None:
    assert posecli("estimate", folder, "-o", "x.jsonl", "--resume", "--overwrite").returncode == 2


def test_dry_run_lists_outputs_and_reports_existing_ones(folder: Path, tmp_path: Path, posecli: Posecli) -> None:
    result = posecli("estimate", folder, "-o", f"{tmp_path}/out/", "--dry-run", "--model", "/no/such/model")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) == 60
    assert result.stdout.splitlines()[0].decode() == f"{folder}/00.png\t{tmp_path}/out/00.png.json"
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "05.png.json").touch()
    result = posecli("estimate", folder, "-o", f"{tmp_path}/out/", "--dry-run")
    assert (result.returncode, b"05.png.json already exists" in result.stderr) == (2, True)


def test_resume_with_standard_output_computes_all_records(folder: Path, posecli: Posecli) -> None:
    result = posecli("estimate", folder / "00.png", "--resume")
    assert (result.returncode, len(records_of(result.stdout))) == (0, 1), result.stderr

"""Special outputs, and two runs with one output: existing files are kept until a complete file replaces them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from posecli.commands import cli, convert
from posecli.errors import EngineError, OutputError, UsageError
from posecli.files.lock import locked
from posecli.inputs.clips import ClipOptions
from posecli.records.identity import RunIdentity
from posecli.records.journal import RecordedLines
from posecli.run import shards, start
from posecli.run.destinations import Destinations, Policy
from posecli.run.expectations import Expectations
from posecli.run.pipeline import Work
from posecli.run.report import Report
from posecli.types import ImageInput, Record, Settings

from ..conftest import Gate, Posecli, has_lines, wait_for
from ..test_types import make_record
from ..tiny_model import draw_discs, person_at


def run(*arguments: object) -> int:
    """Run a command in this process; return its exit status."""
    with pytest.raises(SystemExit) as end:
        cli.main([*map(str, arguments)], prog_name="posecli", standalone_mode=False)
    return int(end.value.code or 0)


def estimate(*arguments: object) -> int:
    """Run `posecli estimate` in this process; return its exit status."""
    return run("estimate", *arguments)


@pytest.fixture
def picture(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSECLI_MODEL", str(tiny_model))
    path = tmp_path / "a.png"
    draw_discs([person_at(62, 41)]).save(path)
    return path


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(make_record("a.png").to_dict()) + "\n")
    return path


OUTPUTS = [["-o", "x.jsonl"], ["-o", "x.csv"], ["-o", "d/"], ["-a", "d/"], ["-a", "x.png"], ["-o", "d/", "--shards"]]


@pytest.mark.parametrize("policy", [[], ["--resume"], ["--overwrite"]])
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_a_second_run_with_the_same_output_is_refused_and_no_lock_stays(
    outputs: list[str], policy: list[str], picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    began = []

    def second_run(*_: object) -> None:
        began.append(1)
        cli.main(["estimate", "a.png", *outputs, *policy], standalone_mode=False)

    monkeypatch.setattr(start, "choose_runtime", second_run)  # the first thing that a run does
    with pytest.raises(UsageError, match="another run is writing"):
        cli.main(["estimate", "a.png", *outputs, *policy], standalone_mode=False)
    assert len(began) == 1
    assert os.listdir() == ["a.png"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_second_process_is_refused_until_the_first_has_ended(
    picture: Path, records: Path, posecli: Posecli, make_gate: Callable[[Path], Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    gate = make_gate(Path("gate.png"))
    outputs = ["-o", "x.jsonl", "-a", "d/"]
    command = [sys.executable, "-m", "posecli", "estimate", "a.png", "gate.png", *outputs]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as first, closing(gate):
        gate.reader()  # the run is processing its second picture
        wait_for(lambda: has_lines(Path("x.jsonl"), 1))  # the file exists before its first line
        before = Path("x.jsonl").read_bytes()
        second = posecli("estimate", "a.png", "-o", "x.jsonl", "--resume")
        assert (second.returncode, second.stdout) == (2, b"")
        assert second.stderr.startswith(b"posecli: error: another run is writing x.jsonl\n")
        for other in (
            ["estimate", "a.png", "-o", "./x.jsonl", "--overwrite"],
            ["estimate", "a.png", "-a", "d/", "--resume"],
            ["estimate", "a.png", "-o", "d/", "--shards"],
            ["convert", str(records), "-o", "d/"],
        ):
            with pytest.raises(UsageError, match="another run is writing"):
                cli.main(other, standalone_mode=False)
        assert Path("x.jsonl").read_bytes() == before
        assert estimate("a.png", "-o", "y.jsonl", "-q") == 0
        gate.replace(picture)
    assert first.returncode == 1  # the gate was empty
    assert estimate("a.png", "gate.png", *outputs, "--resume", "-q") == 0
    assert [json.loads(line)["image"] for line in Path("x.jsonl").read_text().splitlines()] == ["a.png", "gate.png"]
    assert sorted(os.listdir("d")) == ["a.png.png", "gate.png.png"]
    assert {name for name in os.listdir() if "lock" in name} == set()


def test_convert_to_a_locked_output_is_refused(records: Path, tmp_path: Path) -> None:
    from posecli.records.formats import get_format
    from posecli.run.destinations import Destinations, RunFile

    output = tmp_path / "x.csv"
    held = Destinations(RunFile(get_format("csv"), str(output))).locked()
    with held, pytest.raises(UsageError, match=r"another run is writing .*x\.csv"):
        cli.main(["convert", str(records), "-o", str(output)], standalone_mode=False)
    assert os.listdir(tmp_path) == ["r.jsonl"]


def test_a_folder_of_two_kinds_of_output_is_locked_once(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(picture.parent)
    assert estimate("a.png", "-o", "d/", "-a", f"{picture.parent}/d", "-q", "--engine", "serial") == 0
    assert sorted(os.listdir("d")) == ["a.png.json", "a.png.png"]


def test_the_lock_file_of_a_killed_run_does_not_lock(tmp_path: Path) -> None:
    path = str(tmp_path / "x.lock")
    Path(path).touch()
    with locked([(path, "x")]):
        assert not FileLock(path).is_locked
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.jsonl.partial.jsonl"])
def test_existing_files_stay_until_there_is_a_record(name: str, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(picture.parent)
    Path(name).write_text("what was there")
    output = name.removesuffix(".partial.jsonl")

    def fail(*_: object, **__: object) -> None:
        raise EngineError("no engine")

    monkeypatch.setattr(start, "get_engine", fail)
    with pytest.raises(EngineError):
        cli.main(["estimate", "a.png", "-o", output, "--overwrite", "-q"], standalone_mode=False)
    assert Path(name).read_text() == "what was there"


Engine = Callable[..., Callable[..., Iterator[Record]]]


def engine(*records: Record, end: Callable[[], object] = lambda: None) -> Engine:
    """An engine that yields these records, then calls `end`, then repeats the last record for each other input."""

    def run(images: Iterable[ImageInput], *_: object) -> Iterator[Record]:
        for number, _ in enumerate(images):
            if number == len(records):
                end()
            yield records[min(number, len(records) - 1)]

    return lambda name: run


def no_engine() -> None:
    raise EngineError("no engine")


FAILED = Record.failed("a.png", "not_found", "a.png is not there")


@pytest.mark.parametrize("options", [["-o", "x.jsonl"], ["-o", "x.jsonl", "--track"], ["-o", "x.csv"]])
def test_failures_replace_no_files_before_the_end(
    options: list[str], picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    existing = [options[1], f"{options[1]}.partial.jsonl"]
    for name in existing:
        Path(name).write_text("what was there")
    monkeypatch.setattr(start, "get_engine", engine(FAILED, FAILED, end=no_engine))
    arguments = ["estimate", "a.png", "b.png", "c.png", *options, "--overwrite", "-q"]
    with pytest.raises(EngineError):
        cli.main(arguments, standalone_mode=False)
    assert [Path(name).read_text() for name in existing] == ["what was there"] * 2
    assert sorted(os.listdir()) == ["a.png", *existing]
    monkeypatch.setattr(start, "get_engine", engine(FAILED, FAILED))
    assert estimate(*arguments[1:]) == 1
    assert "what was there" not in "".join(Path(name).read_text() for name in os.listdir() if name != "a.png")
    assert Path(options[1]).read_text().count("a.png is not there") == 3


@pytest.mark.parametrize("steps", [[], ["--track"]])
def test_the_first_ok_record_replaces_existing_lines(
    steps: list[str], picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    for name in ("x.jsonl", "x.jsonl.partial.jsonl"):
        Path(name).write_text("what was there\n")
    monkeypatch.setattr(start, "get_engine", engine(FAILED, make_record("b.png"), end=no_engine))
    with pytest.raises(EngineError):
        cli.main(
            ["estimate", "a.png", "b.png", "c.png", "-o", "x.jsonl", "--overwrite", "-q", *steps], standalone_mode=False
        )
    left = ["x.jsonl", "x.jsonl.partial.jsonl"] if steps else ["x.jsonl"]
    assert sorted(os.listdir()) == ["a.png", *left]
    for name in left:
        assert [json.loads(line)["status"] for line in Path(name).read_text().splitlines()] == ["error", "ok"]


@pytest.mark.skipif(os.name != "posix", reason="a file in use cannot be deleted here")
@pytest.mark.parametrize("options", [[], ["--track"], ["--resume"], ["--resume", "--track"], ["--overwrite"]])
@pytest.mark.parametrize("replaced", [True, False])
def test_a_file_of_lines_that_is_deleted_during_the_run_is_an_error(
    replaced: bool,
    options: list[str],
    picture: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(picture.parent)
    if set(options) & {"--resume", "--overwrite"}:
        track = [option for option in options if option == "--track"]
        assert estimate("a.png", "-o", "x.jsonl", "-q", "--engine", "serial", *track) == 0

    def delete() -> None:
        os.unlink("x.jsonl")
        if replaced:
            Path("x.jsonl").write_text("somebody else's\n")

    monkeypatch.setattr(start, "get_engine", engine(make_record("b.png"), end=delete))
    with pytest.raises(OutputError, match=r"cannot write x\.jsonl: it was deleted or replaced"):
        cli.main(["estimate", "a.png", "b.png", "c.png", "-o", "x.jsonl", *options], standalone_mode=False)
    if replaced:
        assert Path("x.jsonl").read_text() == "somebody else's\n"
    assert "are kept in x.jsonl;" not in capsys.readouterr().err


@pytest.mark.parametrize("change", [os.unlink, lambda path: path.write_text("{}\n")])
def test_a_file_of_lines_that_changes_during_a_resumed_run_is_an_error(
    change: Callable[[Path], object], records: Path
) -> None:
    recorded = RecordedLines(str(records), RunIdentity("0" * 64, Settings()))
    change(records)
    with pytest.raises(OutputError, match=r"r\.jsonl was deleted or changed"):
        recorded.get(ImageInput("a.png", "a.png"))


@pytest.mark.skipif(os.name != "posix", reason="no such device here")
@pytest.mark.parametrize("name", ["json", "csv", "coco"])
def test_no_file_is_created_beside_a_device(name: str, records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is a link in a folder, so that new files beside it are noticed."""
    monkeypatch.chdir(records.parent)
    os.symlink(os.devnull, "null")
    assert run("convert", records, "-o", "null", "-f", name, "-q") == 0
    assert sorted(os.listdir()) == ["null", "r.jsonl"]


@pytest.mark.skipif(os.name != "posix", reason="no such device here")
def test_a_missing_folder_for_temporary_files_is_an_error(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container with a read-only file system."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(OutputError, match="cannot write temporary files: No such file"):
        cli.main(["convert", str(records), "-o", os.devnull, "-f", "json"], standalone_mode=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize(("name", "prefix"), [("csv", b"image,"), ("jsonl", b'{"schema"'), ("parquet", b"PAR1")])
def test_a_pipe_is_written_to_and_stays(
    name: str, prefix: bytes, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with `-o >(command)` in a shell."""
    if name == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.chdir(picture.parent)
    os.mkfifo("pipe")
    reader = os.open("pipe", os.O_RDWR)
    try:
        assert estimate("a.png", "-o", "pipe", "-f", name, "-q", "--engine", "serial") == 0
        assert os.read(reader, 1 << 16).startswith(prefix)
    finally:
        os.close(reader)
    assert sorted(os.listdir()) == ["a.png", "pipe"]


@pytest.mark.parametrize("steps", [[], ["--track"]])
def test_overwrite_replaces_existing_files(steps: list[str], picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(picture.parent)
    for name in ("x.jsonl", "x.jsonl.partial.jsonl"):
        Path(name).write_text("what was there\n")
    assert estimate("a.png", "-o", "x.jsonl", "--overwrite", "-q", "--engine", "serial", *steps) == 0
    (line,) = Path("x.jsonl").read_text().splitlines()
    assert json.loads(line)["image"] == "a.png"
    assert sorted(os.listdir()) == ["a.png", "x.jsonl"]


@pytest.mark.parametrize("output", ["x.csv", "x.json", "x.jsonl", "d/"])
def test_convert_of_a_missing_file_creates_no_files(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"cannot read nothere\.jsonl"):
        cli.main(["convert", "nothere.jsonl", "-o", output], standalone_mode=False)
    assert os.listdir() == []


@pytest.mark.parametrize("options", [["-o", "d/"], ["-o", "d/", "-f", "csv"], ["-a", "d/"], ["-o", "d/", "--track"]])
@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("address", ["http://127.0.0.1:9/q.png", "HTTPS://127.0.0.1:9/q.png"])
def test_two_inputs_with_the_same_output_are_refused_before_the_run(
    address: str, listed: bool, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model does not exist, which shows that no model is loaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSECLI_MODEL", "nothere.tflite")
    names = [address, "127.0.0.1:9/q.png"]
    Path("list").write_text("\n".join(names))
    with pytest.raises(UsageError, match="would both be written"):
        cli.main(["estimate", *(["--files-from", "list"] if listed else names), *options], standalone_mode=False)
    assert os.listdir() == ["list"]


@pytest.mark.parametrize("options", [["-o", "d/"], ["-a", "d/"]])
@pytest.mark.parametrize("frames", [[None], [0, 1]])
def test_two_records_with_the_same_output_are_refused(
    frames: list[int | None], options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["http://h/q.gif", "h/q.gif"]
    records = [replace(make_record(name), frame=frame) for name in names for frame in frames]
    Path("r.jsonl").write_text("".join(json.dumps(record.to_dict()) + "\n" for record in records))
    with pytest.raises(UsageError, match="would both be written"):
        cli.main(["convert", "r.jsonl", *options], standalone_mode=False)
    assert os.listdir() == ["r.jsonl"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["r.jsonl", "-o", "x.csv"],
        ["r.jsonl", "-o", "y.csv"],
        ["r.jsonl", "-o", "d/"],
        ["r.jsonl", "-a", "d/"],
        ["r.jsonl", "-a", "x.png"],
        ["nothere.jsonl", "-o", "z.csv"],
        ["x.csv", "-o", "z.csv"],
        ["d/", "-o", "z.csv"],
        ["r.jsonl", "-o", "z"],
        ["r.jsonl", "-a", "z.pdf"],
        ["r.jsonl", "-f", "openpose"],
        ["r.jsonl"],
    ],
)
def test_hints_of_convert_name_only_its_own_options(
    arguments: list[str], records: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(records.parent)
    Path("d").mkdir()
    for name in ("x.csv", "y.csv.partial.jsonl", "x.png", "d/a.png.json", "d/a.png.png"):
        Path(name).write_text("what was there")
    with pytest.raises(UsageError) as error:
        cli.main(["convert", *arguments], standalone_mode=False)
    named = set(re.findall(r"--[a-z-]+", error.value.hint))
    of_estimate = {"--shards"}  # the hint says how `estimate` wrote the folder
    assert named <= {option for parameter in convert.command.params for option in parameter.opts} | of_estimate


def test_overwritten_parts_stay_until_a_new_part_replaces_them(tmp_path: Path) -> None:
    folder, destinations = tmp_path / "parts", Destinations(shards=shards.Shards(f"{tmp_path}/parts", 1))
    work = Work(Settings(), ClipOptions(), destinations, timeout=60)
    images = [ImageInput(name, name) for name in ("a.png", "b.png", "c.png")]
    part_counts: list[int] = []

    def overwrite(model: str, fails: set[str], *, end: Callable[[], object] = lambda: None) -> int:
        """Write parts of three pictures, of which some fail."""

        def estimate(inputs: Iterable[ImageInput]) -> Iterator[Record]:
            for image in inputs:
                yield image.failed("not_found", "no") if image.name in fails else make_record(image.name)

        def do(pieces: Iterable[shards.Shard]) -> Generator[shards.ShardDone, None, None]:
            for piece in pieces:
                yield shards.ShardWork(work, Expectations()).do(piece, estimate)
                part_counts.append(len(list(folder.iterdir())))
            end()

        identity = RunIdentity(model * 64, work.settings)
        report = Report(quiet=True)
        return shards.run(iter(images), do, work, report, policy=Policy.OVERWRITE, identity=identity)

    assert overwrite("0", set()) == 0
    old = set(folder.iterdir())
    with pytest.raises(EngineError):
        overwrite("1", {"a.png", "b.png", "c.png"}, end=no_engine)
    assert old < set(folder.iterdir())
    part_counts.clear()
    assert overwrite("1", {"a.png"}) == 1  # the first ok picture deletes the parts of another model
    assert part_counts == [6, 3, 3]
    images.pop()
    part_counts.clear()
    assert overwrite("1", set()) == 0  # parts of the same model are replaced one by one
    assert part_counts == [3, 3]
    assert len(list(folder.iterdir())) == 2

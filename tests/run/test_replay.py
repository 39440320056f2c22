"""A run that is killed at any point and resumed writes the same bytes as an uninterrupted run.

Runs of every kind of destination, with and without annotation, tracking and smoothing, are killed at critical points:
before a record is added to the journal, in the middle of its line, after it, before a file is renamed, in the middle of
a clip, before the journal is deleted. The process ends there at once, as by `kill -9`, and is resumed. Runs are forked
from a process that has imported everything, so that each is fast.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from posecli.__main__ import main
from posecli.files import child_process
from posecli.run.engines import processes

from ..tiny_model import draw_discs, person_at

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]

KILLED = 77
DATA = {
    "lines": ["-o", "out/r.jsonl"],
    "json": ["-o", "out/r.json"],
    "csv": ["-o", "out/r.csv"],
    "coco": ["-o", "out/r.json", "-f", "coco"],
    "files": ["-o", "out/data/"],
    "tables": ["-o", "out/data/", "-f", "csv"],
    "shards": ["-o", "out/parts/", "--shards", "--shard-size", "2"],
    "parquet": ["-o", "out/parts/", "--shards", "--shard-size", "2", "-f", "parquet"],
    "nothing": [],
}
OVER_TIME = {"": [], "track": ["--track"], "smooth": ["--track", "--smooth"]}


PRELOADED = [
    "posecli.run.start", "posecli.run.engines.serial", "posecli.run.engines.processes", "posecli.render.draw",
    "posecli.render.clip_drawing", "posecli.commands.estimate", "posecli.poses.tracking", "scipy.optimize",
    "pyarrow.parquet", "PIL.WebPImagePlugin", "PIL.PngImagePlugin", "PIL.GifImagePlugin",
]  # fmt: skip


class Boundary(NamedTuple):
    """The point where a run is killed: before, after, or halfway through the text of a call (from 1) of a function."""

    function: str
    call: int
    when: str = "before"


BOUNDARIES = (
    Boundary("posecli.run.pipeline.Pipeline._finish", 4),
    Boundary("posecli.records.journal.Journal.add", 1),
    Boundary("posecli.records.journal.Journal.add", 7, "after"),
    Boundary("posecli.files.atomic.LineFile.write", 3, "torn"),
    Boundary("posecli.files.atomic.LineFile.write", 12, "torn"),
    Boundary("os.replace", 1),
    Boundary("os.replace", 4, "after"),
    Boundary("posecli.render.clip_drawing.ClipDrawing.add", 3),
    Boundary("posecli.render.clip_drawing.ClipDrawing.finish", 1),
    Boundary("posecli.run.batch._remove_journal", 1),
)


class Command(NamedTuple):
    """A run of posecli in a folder. boundary: the point where it is killed; None: it is not killed."""

    folder: str
    model: str
    arguments: tuple[str, ...]
    boundary: Boundary | None = None

    def __call__(self) -> None:
        os.setsid()  # its child processes can be killed with it
        os.chdir(self.folder)
        os.environ["POSECLI_MODEL"] = self.model
        sys.argv[1:] = ["estimate", "in", "-q", *self.arguments]
        sys.stderr = open("stderr.txt", "a")  # noqa: SIM115 (the process ends with it)
        # Workers and the clip decoder are forked too: spawning them would take most of the time. The serial engine
        # works in this process, which is the one that is killed.
        child_process._START_METHOD = "fork"
        processes.may_fork = lambda: False
        if self.boundary is not None:
            _end_at(self.boundary)
        main()


def _end_at(boundary: Boundary) -> None:
    """Replace the function of a boundary by one that kills this process, but not the workers forked from it."""
    path, name = boundary.function.rsplit(".", 1)
    try:
        owner: Any = importlib.import_module(path)
    except ModuleNotFoundError:
        module, owner_name = path.rsplit(".", 1)
        owner = getattr(importlib.import_module(module), owner_name)
    original, calls, process = getattr(owner, name), itertools.count(1), os.getpid()

    def ending(*args: Any, **options: Any) -> Any:
        if os.getpid() != process or next(calls) != boundary.call:
            return original(*args, **options)
        if boundary.when == "torn":
            original(args[0], args[1][: len(args[1]) // 2])
        if boundary.when == "after":
            original(*args, **options)
        os._exit(KILLED)

    setattr(owner, name, ending)


@pytest.fixture(scope="module")
def fork() -> Callable[[Command], int]:
    """Run a command in a fork of a process that has imported everything; return its exit status."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def run(command: Command) -> int:
        process = context.Process(target=command)
        process.start()
        process.join(60)
        assert process.pid is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        assert process.exitcode is not None, "it hangs"
        return process.exitcode

    return run


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures before and after a clip in which two people cross."""
    folder = tmp_path_factory.mktemp("inputs") / "in"
    folder.mkdir()
    for index, name in enumerate(["a.png", "b.png", "x.png", "y.png"]):
        draw_discs([person_at(60 + 20 * index, 60)]).save(folder / name)
    frames = [draw_discs([person_at(60 + 12 * i, 50), person_at(190 - 12 * i, 70)]) for i in range(6)]
    frames[0].save(folder / "m.webp", save_all=True, append_images=frames[1:], duration=100, lossless=True)
    return folder


class RunKind(NamedTuple):
    """A kind of run, and the files of an uninterrupted run."""

    folder: Path
    model: Path
    arguments: tuple[str, ...]
    expected: dict[str, bytes]

    def command(self, *more: str, boundary: Boundary | None = None) -> Command:
        return Command(str(self.folder), str(self.model), (*self.arguments, *more), boundary)

    def messages(self) -> str:
        return (self.folder / "stderr.txt").read_text()


def content(out: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def combinations() -> Iterator[tuple[str, str, str, str]]:
    """All combinations with the serial engine, and those that depend on the engine with processes."""
    for data, drawn, over_time, engine in itertools.product(DATA, ("", "drawn"), OVER_TIME, ("serial", "processes")):
        if data == "nothing" and not drawn:
            continue
        if over_time == "track" and data not in ("lines", "files", "shards"):
            continue
        if engine == "processes" and (not drawn or over_time == "track" or data not in ("lines", "files", "shards")):
            continue
        yield data, drawn, over_time, engine


@pytest.fixture
def run_kind(
    request: pytest.FixtureRequest, fork: Callable[[Command], int], inputs: Path, tiny_model: Path, tmp_path: Path
) -> RunKind:
    data, drawn, over_time, engine = request.param
    shutil.copytree(inputs, tmp_path / "in")
    arguments = [*DATA[data], *OVER_TIME[over_time], *(["-a", "out/drawn/"] if drawn else []), "--engine", engine]
    run_kind = RunKind(tmp_path, tiny_model, (*arguments, "--workers", "1" if engine == "serial" else "2"), {})
    assert fork(run_kind.command()) == 0, run_kind.messages()
    found = content(tmp_path / "out")
    assert not [name for name in found if name.endswith((".tmp", ".partial.jsonl"))]
    return run_kind._replace(expected=found)


def resumes_to_the_same_files(run_kind: RunKind, fork: Callable[[Command], int], what: object) -> None:
    assert fork(run_kind.command("--resume")) == 0, (what, run_kind.messages())
    found = content(run_kind.folder / "out")
    assert sorted(found) == sorted(run_kind.expected), what
    assert [name for name in found if found[name] != run_kind.expected[name]] == [], what


@pytest.mark.parametrize(
    ("run_kind", "boundaries"),
    # Boundaries alternate: each is tested with every kind of output, and with half of the combinations.
    [(combination, BOUNDARIES[number % 2 :: 2]) for number, combination in enumerate(combinations())],
    indirect=["run_kind"],
    ids=["-".join(filter(None, combination)) for combination in combinations()],
)
def test_a_killed_run_is_resumed_to_the_same_files(
    run_kind: RunKind, boundaries: tuple[Boundary, ...], fork: Callable[[Command], int]
) -> None:
    reached = 0
    for boundary in boundaries:
        shutil.rmtree(run_kind.folder / "out")
        status = fork(run_kind.command(boundary=boundary))
        assert status in (0, KILLED), (boundary, run_kind.messages())
        if status == KILLED:
            reached += 1
            resumes_to_the_same_files(run_kind, fork, boundary)
    assert reached > 0


@pytest.mark.parametrize(
    "run_kind", list(combinations()), indirect=True, ids=lambda combination: "-".join(filter(None, combination))
)
def test_deleted_files_are_written_again(run_kind: RunKind, fork: Callable[[Command], int]) -> None:
    """One file at a time. A finished table of all records cannot be resumed, which is an error."""
    whole_tables = ("r.csv",) if "coco" not in run_kind.arguments else ("r.json",)
    if any(name in run_kind.expected for name in whole_tables):
        assert fork(run_kind.command("--resume")) == 2
        assert "records cannot be read back from it" in run_kind.messages()
        return
    for name in sorted(run_kind.expected):
        (run_kind.folder / "out" / name).unlink()
        resumes_to_the_same_files(run_kind, fork, name)

"""A run that was killed anywhere, and resumed, leaves the same bytes as one that nothing disturbed.

Every kind of destination, with and without annotation, tracking and smoothing, is ended at boundaries that matter:
before a record is journalled, in the middle of its line, behind it, before a file appears under its name, in the
middle of a clip, before the journal goes. The process ends there at once, as by `kill -9`; then --resume. Runs are
forked from a process that has everything imported, so that each takes little.
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
    """Where a run is ended: at a call of a function (the first is 1), before it or after it, or with half its text."""

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
    """A run of posecli in a folder. boundary: where it is ended; None: it ends by itself."""

    folder: str
    model: str
    arguments: tuple[str, ...]
    boundary: Boundary | None = None

    def __call__(self) -> None:
        os.setsid()  # so that what it has started can be killed with it
        os.chdir(self.folder)
        os.environ["POSECLI_MODEL"] = self.model
        sys.argv[1:] = ["estimate", "in", "-q", *self.arguments]
        sys.stderr = open("stderr.txt", "a")  # noqa: SIM115 (the process ends with it)
        # Workers and the decoder of clips are forked as well: to spawn them takes longer than all the rest. The serial
        # engine does its work in this process, which is the one to be ended.
        child_process._START_METHOD = "fork"
        processes.may_fork = lambda: False
        if self.boundary is not None:
            _end_at(self.boundary)
        main()


def _end_at(boundary: Boundary) -> None:
    """Replace the function of a boundary by one that ends this process; the workers that are forked from it keep on."""
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
    """Run a command in a process forked from one that has everything imported; its exit status."""
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
    """Pictures before and behind a clip in which two people cross."""
    folder = tmp_path_factory.mktemp("inputs") / "in"
    folder.mkdir()
    for index, name in enumerate(["a.png", "b.png", "x.png", "y.png"]):
        draw_discs([person_at(60 + 20 * index, 60)]).save(folder / name)
    frames = [draw_discs([person_at(60 + 12 * i, 50), person_at(190 - 12 * i, 70)]) for i in range(6)]
    frames[0].save(folder / "m.webp", save_all=True, append_images=frames[1:], duration=100, lossless=True)
    return folder


class World(NamedTuple):
    """A kind of run, and what it leaves if nothing disturbs it."""

    folder: Path
    model: Path
    arguments: tuple[str, ...]
    wanted: dict[str, bytes]

    def command(self, *more: str, boundary: Boundary | None = None) -> Command:
        return Command(str(self.folder), str(self.model), (*self.arguments, *more), boundary)

    def said(self) -> str:
        return (self.folder / "stderr.txt").read_text()


def content(out: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def combinations() -> Iterator[tuple[str, str, str, str]]:
    """Everything in one process; what differs between engines, in several."""
    for data, drawn, over_time, engine in itertools.product(DATA, ("", "drawn"), OVER_TIME, ("serial", "processes")):
        if data == "nothing" and not drawn:
            continue
        if over_time == "track" and data not in ("lines", "files", "shards"):
            continue
        if engine == "processes" and (not drawn or over_time == "track" or data not in ("lines", "files", "shards")):
            continue
        yield data, drawn, over_time, engine


@pytest.fixture
def world(
    request: pytest.FixtureRequest, fork: Callable[[Command], int], inputs: Path, tiny_model: Path, tmp_path: Path
) -> World:
    data, drawn, over_time, engine = request.param
    shutil.copytree(inputs, tmp_path / "in")
    arguments = [*DATA[data], *OVER_TIME[over_time], *(["-a", "out/drawn/"] if drawn else []), "--engine", engine]
    world = World(tmp_path, tiny_model, (*arguments, "--workers", "1" if engine == "serial" else "2"), {})
    assert fork(world.command()) == 0, world.said()
    found = content(tmp_path / "out")
    assert not [name for name in found if name.endswith((".tmp", ".partial.jsonl"))]
    return world._replace(wanted=found)


def ends_like_an_undisturbed_run(world: World, fork: Callable[[Command], int], what: object) -> None:
    assert fork(world.command("--resume")) == 0, (what, world.said())
    found = content(world.folder / "out")
    assert sorted(found) == sorted(world.wanted), what
    assert [name for name in found if found[name] != world.wanted[name]] == [], what


@pytest.mark.parametrize(
    ("world", "boundaries"),
    # Neighbours take turns: each boundary meets every kind of output, and half of the combinations.
    [(combination, BOUNDARIES[number % 2 :: 2]) for number, combination in enumerate(combinations())],
    indirect=["world"],
    ids=["-".join(filter(None, combination)) for combination in combinations()],
)
def test_killed_anywhere(world: World, boundaries: tuple[Boundary, ...], fork: Callable[[Command], int]) -> None:
    reached = 0
    for boundary in boundaries:
        shutil.rmtree(world.folder / "out")
        status = fork(world.command(boundary=boundary))
        assert status in (0, KILLED), (boundary, world.said())
        if status == KILLED:
            reached += 1
            ends_like_an_undisturbed_run(world, fork, boundary)
    assert reached > 0


@pytest.mark.parametrize(
    "world", list(combinations()), indirect=True, ids=lambda combination: "-".join(filter(None, combination))
)
def test_files_deleted(world: World, fork: Callable[[Command], int]) -> None:
    """Each file by itself. A finished table of all records cannot be resumed, and says so."""
    whole_tables = ("r.csv",) if "coco" not in world.arguments else ("r.json",)
    if any(name in world.wanted for name in whole_tables):
        assert fork(world.command("--resume")) == 2
        assert "records cannot be read back from it" in world.said()
        return
    for name in sorted(world.wanted):
        (world.folder / "out" / name).unlink()
        ends_like_an_undisturbed_run(world, fork, name)

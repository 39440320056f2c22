"""`estimate --watch`: pictures that arrive while it runs, until Ctrl-C; and how that goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from posecli.records.journal import read_records

from ..conftest import PATIENCE, Posecli, running, wait_for
from ..tiny_model import draw_discs, person_at


@contextmanager
def watching(tiny_model: Path, folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run that watches `in`, in a session of its own; it must be ended by the block, and leaves no process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "posecli", "estimate", "--watch", "in", *arguments],
        cwd=folder,
        env={**os.environ, "POSECLI_MODEL": str(tiny_model)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
    if sys.platform == "linux":
        wait_for(lambda: not [found for found in running() if found.session == process.pid])


def interrupted(process: subprocess.Popen[bytes]) -> bytes:
    """Press Ctrl-C; what was said on standard error."""
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130, said
    return said


def has_lines(path: Path, count: int) -> bool:
    return path.exists() and path.read_bytes().count(b"\n") == count


def draw(path: Path, x: float = 100) -> None:
    draw_discs([person_at(x, 70)]).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path


@pytest.mark.parametrize("engine", ["auto", "serial"])
def test_pictures_are_taken_as_they_arrive(engine: str, folder: Path, tiny_model: Path) -> None:
    out = folder / "out.jsonl"
    with watching(tiny_model, folder, "-o", "out.jsonl", "--engine", engine) as process:
        draw(folder / "in" / "a.png")
        wait_for(lambda: has_lines(out, 1))
        (folder / "in" / "bad.png").write_bytes(b"no picture")
        draw(folder / "in" / "b.png")
        wait_for(lambda: has_lines(out, 3))
        said = interrupted(process)
    assert said.startswith(b"posecli: watching in; Ctrl-C ends it\n")
    assert b"interrupted: 3 pictures = 2 ok + 1 failed + 0 skipped" in said
    before = out.read_bytes()
    draw(folder / "in" / "bad.png")
    draw(folder / "in" / "c.png")
    with watching(tiny_model, folder, "-o", "out.jsonl", "--engine", engine, "--resume") as process:
        wait_for(lambda: has_lines(out, 5))
        assert b"4 pictures = 2 ok + 0 failed + 2 skipped" in interrupted(process)
    assert out.read_bytes().startswith(before)
    records = {record.image: len(record.poses) for record in read_records(str(out))}
    assert records == {os.path.join("in", name): 1 for name in ("a.png", "b.png", "bad.png", "c.png")}


def test_a_folder_of_files_and_clips(folder: Path, tiny_model: Path) -> None:
    """Annotated pictures may lie in the folder that is watched; a clip is taken as any other file."""
    with watching(tiny_model, folder, "-o", "data/", "-a", "in/drawn/", "-q") as process:
        frames = [draw_discs([person_at(60 + 9 * n, 70)]) for n in range(3)]
        frames[0].save(folder / "in" / "m.webp", save_all=True, append_images=frames[1:], lossless=True)
        wait_for(lambda: len(list(folder.glob("data/*.json"))) == 3)
        draw(folder / "in" / "x.png")
        wait_for((folder / "in/drawn/x.png.png").exists)
        wait_for((folder / "data/x.png.json").exists)
        interrupted(process)
    assert len(list(folder.glob("data/*"))) == 4
    assert not list(folder.glob("**/*.tmp"))


def test_ctrl_c_before_anything_has_arrived(folder: Path, tiny_model: Path) -> None:
    with watching(tiny_model, folder, "-o", "out.jsonl") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == b"posecli: watching in; Ctrl-C ends it\n"
        assert interrupted(process) == b""
    assert not (folder / "out.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--watch", "in", "x.png"], b"no other inputs"),
        (["--watch", "in", "--files-from", "x"], b"no other inputs"),
        (["--watch", "in", "--as-clip", "--fps", "9"], b"--watch and --as-clip exclude one another"),
        (["--watch", "in", "--dry-run"], b"--watch and --dry-run exclude one another"),
        (["--watch", "in", "-o", "x/", "--shards"], b"--watch and --shards exclude one another"),
        (["--watch", "in", "--engine", "ray"], b"runs on this machine alone"),
        (["--watch", "nowhere"], b"nowhere is no folder of this machine"),
        (["--watch", "in", "-o", "x.json"], b"x.json would be written at the end of the run"),
        (["--watch", "in", "-f", "coco"], b"standard output would be written at the end of the run"),
        (["--watch", "in", "-o", "full/"], b"--resume carries on"),
    ],
)
def test_what_has_no_end_cannot_wait_for_it(
    arguments: list[str], message: bytes, folder: Path, posecli: Posecli
) -> None:
    (folder / "full").mkdir()
    (folder / "full" / "old.json").touch()
    result = posecli("estimate", *arguments, cwd=folder, model=Path("/no/such/model"))
    assert (result.returncode, result.stdout) == (2, b"")
    assert message in result.stderr

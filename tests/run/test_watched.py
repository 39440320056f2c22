"""`estimate --watch`: pictures that arrive during the run, the end by Ctrl-C, and resumed runs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from posecli.records.journal import read_records

from ..conftest import PATIENCE, Posecli, has_lines, running, wait_for
from ..tiny_model import draw_discs, person_at

BEGIN = b"posecli: watching in; Ctrl-C ends the run\n"


@contextmanager
def watching(tiny_model: Path, folder: Path, *arguments: str, **pipes: int) -> Iterator[subprocess.Popen[bytes]]:
    """A run that watches `in`, in its own session. Checks that no process is left after the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "posecli", "estimate", "--watch", "in", *arguments],
        cwd=folder,
        env={**os.environ, "POSECLI_MODEL": str(tiny_model)},
        start_new_session=True,
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes},  # type: ignore[arg-type]
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
    if sys.platform == "linux":
        wait_for(lambda: not [found for found in running() if found.session == process.pid])


def ended(process: subprocess.Popen[bytes], by: signal.Signals = signal.SIGINT) -> bytes:
    """Press Ctrl-C, or send another signal; return standard error."""
    process.send_signal(by)
    said = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 128 + by, said
    return said


def records(path: Path) -> Counter[tuple[str, bool]]:
    """Number of records by name of the picture, and by whether the record is ok."""
    return Counter((Path(record.image).name, record.ok) for record in read_records(str(path)))


def draw(path: Path, x: float = 100) -> None:
    """Write a picture under another name and rename it, as careful programs do."""
    draw_discs([person_at(x, 70)]).save(path.parent / ".part.png")
    (path.parent / ".part.png").rename(path)


def draw_clip(path: Path, count: int = 12) -> None:
    first, *others = (draw_discs([person_at(60 + 4 * n, 70)]) for n in range(count))
    first.save(path, save_all=True, append_images=others, lossless=True, duration=100)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an empty subfolder `in`, which is watched."""
    (tmp_path / "in").mkdir()
    return tmp_path


@pytest.mark.parametrize(("engine", "by"), [("auto", signal.SIGINT), ("serial", signal.SIGTERM)])
def test_pictures_are_processed_as_they_arrive(engine: str, by: signal.Signals, folder: Path, tiny_model: Path) -> None:
    """Existing pictures are processed too. The resumed run processes new and failed pictures, and keeps the records of
    removed ones."""
    out, arguments = folder / "out.jsonl", ("-o", "out.jsonl", "--engine", engine)
    draw(folder / "in" / "a.png")
    with watching(tiny_model, folder, *arguments) as process:
        wait_for(lambda: has_lines(out, 1))
        (folder / "in" / "bad.png").write_bytes(b"no picture")
        (folder / "in" / "gone.png").write_bytes(b"no picture")
        draw(folder / "in" / "b.png")
        wait_for(lambda: has_lines(out, 4))
        said = ended(process, by)
    assert said.startswith(BEGIN)
    assert said.count(b"bad.png") == 1
    assert b"posecli: interrupted: 4 pictures = 2 ok + 2 failed + 0 skipped; 2 people in 2 pictures\n" in said
    assert b"finished records are kept in out.jsonl; --resume continues the run" in said
    for name in ("a.png", "gone.png"):
        (folder / "in" / name).unlink()
    draw(folder / "in" / "bad.png")
    draw(folder / "in" / "c.png")
    kept = {line for line in out.read_bytes().splitlines(keepends=True) if b"bad.png" not in line}
    with watching(tiny_model, folder, *arguments, "--resume") as process:
        wait_for(lambda: has_lines(out, 5))
        assert b"3 pictures = 2 ok + 0 failed + 1 skipped" in ended(process, by)
    expected = {(name, True): 1 for name in ("a.png", "b.png", "bad.png", "c.png")}
    assert records(out) == {**expected, ("gone.png", False): 1}
    assert kept < set(out.read_bytes().splitlines(keepends=True))


def test_a_copy_that_pauses_is_retried(folder: Path, tiny_model: Path) -> None:
    out = folder / "out.jsonl"
    draw(folder / "whole.png")
    data = (folder / "whole.png").read_bytes()
    with watching(tiny_model, folder, "-o", "out.jsonl") as process, open(folder / "in" / "a.png", "wb") as copy:
        for count, (start, end) in enumerate(pairwise((0, len(data) // 3, len(data) // 2, len(data))), 1):
            copy.write(data[start:end])
            copy.flush()
            wait_for(lambda count=count: has_lines(out, count))
        ended(process)
    assert [record.ok for record in read_records(str(out))] == [False, False, True]


def test_files_and_annotated_clips_appear_without_delay(folder: Path, tiny_model: Path) -> None:
    """An annotated clip does not wait for the next input. The annotated files are inside the watched folder."""
    with watching(tiny_model, folder, "-o", "data/", "-a", "in/drawn/", "-q", "--workers", "2") as process:
        draw_clip(folder / "in" / "m.webp", 3)
        wait_for((folder / "in/drawn/m.webp.gif").exists)
        draw(folder / "in" / "x.png")
        wait_for((folder / "in/drawn/x.png.png").exists)
        wait_for((folder / "data/x.png.json").exists)
        ended(process)
    names = [path.name for path in sorted(folder.glob("data/*"))]
    assert names == [*(f"m.webp_{n:012}.json" for n in range(3)), "x.png.json"]
    assert sorted(path.name for path in folder.glob("in/drawn/*")) == ["m.webp.gif", "x.png.png"]
    assert not list(folder.glob("**/*.tmp"))


def test_a_tracked_clip_is_finished_before_the_next_input(folder: Path, tiny_model: Path, posecli: Posecli) -> None:
    """Resumed runs keep the records of removed clips."""
    out, arguments = folder / "out.jsonl", ("-o", "out.jsonl", "--track", "--smooth", "--workers", "2")
    draw_clip(folder / "in" / "m.webp")
    expected = posecli("estimate", "in", "--track", "--smooth", cwd=folder).stdout
    with watching(tiny_model, folder, *arguments) as process:
        wait_for(lambda: has_lines(out, 12))
        ended(process)
    assert out.read_bytes() == expected
    shutil.move(folder / "in" / "m.webp", folder / "m.webp")
    draw_clip(folder / "in" / "n.webp")
    for count in (24, 36):
        with watching(tiny_model, folder, *arguments, "--resume") as process:
            wait_for(lambda count=count: has_lines(out, count))
            ended(process)
        assert out.read_bytes().startswith(expected)
        draw_clip(folder / "in" / "o.webp")
    assert records(out) == {("m.webp", True): 12, ("n.webp", True): 12, ("o.webp", True): 12}


def test_a_finished_run_is_resumed(folder: Path, tiny_model: Path, posecli: Posecli) -> None:
    """The records of removed clips are kept; those of existing clips are replayed from a journal."""
    out, arguments = folder / "out.jsonl", ("-o", "out.jsonl", "--track")
    for name in ("m.webp", "n.webp"):
        draw_clip(folder / "in" / name)
    assert posecli("estimate", "in", *arguments, cwd=folder).returncode == 0
    before = out.read_bytes()
    (folder / "in" / "m.webp").unlink()
    draw_clip(folder / "in" / "o.webp")
    with watching(tiny_model, folder, *arguments, "--resume") as process:
        wait_for(lambda: has_lines(out, 36))
        assert b"24 pictures = 12 ok + 0 failed + 12 skipped" in ended(process)
    assert out.read_bytes().startswith(before)
    assert records(out) == {("m.webp", True): 12, ("n.webp", True): 12, ("o.webp", True): 12}


def test_a_removed_folder_is_an_error_and_the_run_waits_for_it(folder: Path, tiny_model: Path) -> None:
    with watching(tiny_model, folder) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == BEGIN
        (folder / "in").rmdir()
        assert process.stderr.readline() == b"posecli: in: no such file [not_found]\n"
        assert b'"not_found"' in process.stdout.readline()
        (folder / "in").mkdir()
        draw(folder / "in" / "a.png")
        assert b'"status": "ok"' in process.stdout.readline()
        ended(process)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_each_picture_is_printed_on_a_terminal(folder: Path, tiny_model: Path) -> None:
    import fcntl
    import pty
    import struct
    import termios

    master, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    draw(folder / "in" / "a.png")
    draw_clip(folder / "in" / "b.webp", 3)
    shown = b""
    with watching(tiny_model, folder, "-o", "out.jsonl", stderr=terminal) as process:
        os.close(terminal)
        while b"b.webp: 1 person in the first frame" not in shown:
            shown += os.read(master, 1 << 16)
        wait_for(lambda: has_lines(folder / "out.jsonl", 4))
        process.send_signal(signal.SIGINT)
        while b"interrupted: 4 pictures" not in shown:
            shown += os.read(master, 1 << 16)
        assert process.wait(PATIENCE) == 130
    os.close(master)
    assert shown.count(b"posecli: in/a.png: 1 person\r\n") == 1
    assert shown.count(b"b.webp:") == 1
    assert b"0picture [" in shown  # a bar without a total


def test_ctrl_c_before_the_first_picture_writes_nothing(folder: Path, tiny_model: Path) -> None:
    with watching(tiny_model, folder, "-o", "out.jsonl") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == BEGIN
        said = ended(process)  # click ends the line with ^C; an interrupted line may be printed twice
        assert not said.replace(BEGIN, b"").strip()
    assert not (folder / "out.jsonl").exists()


def test_fail_fast_ends_the_run(folder: Path, tiny_model: Path) -> None:
    (folder / "in" / "bad.png").write_bytes(b"no picture")
    with watching(tiny_model, folder, "-o", "out.jsonl", "--fail-fast") as process:
        assert b"stopped at the first failure" in process.communicate(timeout=PATIENCE)[1]
        assert process.returncode == 1


def test_overwrite_replaces_existing_files(folder: Path, tiny_model: Path) -> None:
    draw(folder / "in" / "a.png")
    (folder / "data").mkdir()
    (folder / "data" / "a.png.json").write_text("old")
    with watching(tiny_model, folder, "-o", "data/", "--overwrite") as process:
        wait_for(lambda: b"posecli/1" in (folder / "data" / "a.png.json").read_bytes())
        ended(process)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--watch", "in", "x.png"], b"other inputs cannot be given"),
        (["--watch", "in", "--files-from", "x"], b"other inputs cannot be given"),
        (["--watch", "in", "--as-clip", "--fps", "9"], b"--watch and --as-clip cannot be combined"),
        (["--watch", "in", "--dry-run"], b"--watch and --dry-run cannot be combined"),
        (["--watch", "in", "-o", "x/", "--shards"], b"--watch and --shards cannot be combined"),
        (["--watch", "in", "--expect", "x.jsonl"], b"--watch and --expect cannot be combined"),
        (["--watch", "in", "--engine", "ray"], b"does not run on a Ray cluster"),
        (["--watch", "nowhere"], b"nowhere is not an existing local folder"),
        (["--watch", "in", "-o", "x.json"], b"x.json would be written at the end of the run"),
        (["--watch", "in", "-o", "x.csv"], b"x.csv would be written at the end of the run"),
        (["--watch", "in", "-f", "coco"], b"standard output would be written at the end of the run"),
        (["--watch", "in", "-a", "x.png"], b"x.png is one picture, but there may be several inputs"),
        (
            ["--watch", "in", "-a", "in/"],
            b"in/ is watched: annotated pictures in it would be processed as new pictures",
        ),
        (["--watch", "in", "-o", "full/"], b"full/ already contains files"),
        (["--watch", "in", "-o", "full/old.jsonl"], b"old.jsonl already exists"),
    ],
)
def test_options_that_contradict_watch_are_one_usage_error(
    arguments: list[str], message: bytes, folder: Path, posecli: Posecli
) -> None:
    (folder / "full").mkdir()
    (folder / "full" / "old.jsonl").touch()
    result = posecli("estimate", *arguments, cwd=folder, model=Path("/no/such/model"))
    assert (result.returncode, result.stdout) == (2, b"")
    assert message in result.stderr
    assert result.stderr.count(b"posecli: error:") == 1

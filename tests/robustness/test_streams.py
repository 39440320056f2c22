"""Lists of files from a pipe: the record of a name does not wait for the next name."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from posecli.errors import UsageError
from posecli.inputs.arguments import Inputs
from posecli.run.engines.read_ahead import ReadAhead

from ..conftest import PATIENCE, records_of
from ..tiny_model import draw_discs, person_at


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for path in paths:
        draw_discs([person_at(62.3, 41.7)]).save(path)
    return paths


class _Listener:
    """A run that reads a list from a pipe, and its output so far."""

    def __init__(self, model: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "posecli", "estimate", "-q", "--files-from", "-", *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "POSECLI_MODEL": str(model)},
        )  # fmt: skip
        self._lines: queue.Queue[bytes] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def name(self, path: Path) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{path}\n".encode())
        self.process.stdin.flush()

    def image(self) -> str:
        """The name of the next record."""
        return records_of(self._lines.get(timeout=PATIENCE))[0].image

    def end(self) -> int:
        """Close the list; return the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(PATIENCE)

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)


@contextmanager
def listening(model: Path, *options: str) -> Iterator[_Listener]:
    listener = _Listener(model, *options)
    try:
        yield listener
    finally:
        with listener.process as process:
            process.kill()


@pytest.mark.parametrize("engine", ["auto", "serial", "processes"])
def test_a_record_is_written_while_the_list_is_open(engine: str, pictures: list[Path], tiny_model: Path) -> None:
    with listening(tiny_model, "--engine", engine) as run:
        for path in pictures:
            run.name(path)
            assert run.image() == str(path)
        assert run.end() == 0


def test_the_frames_of_a_clip_do_not_wait_for_the_next_name(tmp_path: Path, tiny_model: Path) -> None:
    frames = [Image.new("RGB", (64, 48), (40 * number, 90, 200)) for number in range(4)]
    frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:], duration=100)
    with listening(tiny_model) as run:
        run.name(tmp_path / "clip.gif")
        assert [run.image() for _ in frames] == [str(tmp_path / "clip.gif")] * len(frames)
        assert run.end() == 0


def test_a_run_that_waits_for_names_can_be_interrupted(pictures: list[Path], tiny_model: Path) -> None:
    with listening(tiny_model) as run:
        run.name(pictures[0])
        assert run.image() == str(pictures[0])
        run.process.terminate()
        assert run.process.wait(PATIENCE) in (143, 1)  # Windows knows no signals


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_list_from_a_pipe_is_a_stream(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a.png\n")
    os.mkfifo(tmp_path / "pipe")
    names = {"list": False, "pipe": True, "none": False}
    inputs = {name: Inputs([], files_from=str(tmp_path / name)) for name in names}
    assert {name: found.is_stream() for name, found in inputs.items()} == names
    assert {name: not found.can_be_listed_again() for name, found in inputs.items()} == names


def numbers(limit: int, error: Exception | None = None) -> Generator[int, None, None]:
    yield from range(limit)
    if error is not None:
        raise error


def taken(ahead: ReadAhead[int]) -> Iterator[int]:
    while not ahead.ended:
        ahead.connection.poll(PATIENCE)
        if (number := ahead.take()) is not None:
            yield number


def test_items_are_read_in_order_and_once() -> None:
    with ReadAhead(numbers(500)) as ahead:
        assert list(taken(ahead)) == list(range(500))
        assert ahead.take() is None


def test_an_error_of_the_reader_is_raised_after_the_items_before_it() -> None:
    with ReadAhead(numbers(2, UsageError("no list"))) as ahead:
        found = taken(ahead)
        assert [next(found), next(found)] == [0, 1]
        with pytest.raises(UsageError, match="no list"):
            next(found)


def test_the_reader_is_one_item_ahead_and_ends() -> None:
    begun, ended = 0, threading.Event()

    def endless() -> Generator[int, None, None]:
        nonlocal begun
        try:
            while True:
                begun += 1
                yield begun
        finally:
            ended.set()

    with ReadAhead(endless()) as ahead:
        found = taken(ahead)
        assert [next(found) for _ in range(10)] == list(range(1, 11))
    assert ended.wait(PATIENCE)
    assert begun <= 12

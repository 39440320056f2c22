"""Temporary files of killed workers are deleted, however the run ends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from posecli.files import atomic
from posecli.inputs.clips import ClipOptions
from posecli.records.identity import RunIdentity
from posecli.run import batch, shards
from posecli.run.destinations import AnnotatedPictures, Destinations, Policy, Shards
from posecli.run.pipeline import Work
from posecli.run.report import Report
from posecli.types import ImageInput, Record, Settings


@pytest.fixture
def leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Create a temporary file of a process that has ended, in the folder of annotated pictures."""

    def make() -> Path:
        dead = subprocess.Popen([sys.executable, "-c", ""])
        dead.wait()
        (tmp_path / "drawn").mkdir(exist_ok=True)
        with monkeypatch.context() as context:
            context.setattr(atomic.os, "getpid", lambda: dead.pid)
            path = Path(atomic.temporary_name(str(tmp_path / "drawn" / "a.png.png")))
        path.write_bytes(b"half a picture")
        return path

    return make


@pytest.fixture
def work(tmp_path: Path) -> Work:
    pictures = AnnotatedPictures(str(tmp_path / "drawn"), is_file=False)
    return Work(Settings(), ClipOptions(), Destinations(None, None, pictures), timeout=60)


@pytest.mark.parametrize("end", [KeyboardInterrupt, None])
def test_a_run_deletes_dead_temporary_files(
    end: type[BaseException] | None, leave: Callable[[], Path], work: Work
) -> None:
    left: list[Path] = []

    def estimate(images: Iterable[ImageInput]) -> Iterator[Record]:
        for image in images:
            left.append(leave())
            if end is not None:
                raise end
            yield image.failed("timed_out", "not done")

    def run() -> int:
        return batch.run(
            iter([ImageInput("a.png", "a.png")]),
            estimate,
            work,
            Report(quiet=True),
            policy=Policy.REFUSE,
            identity=RunIdentity("0" * 64, work.settings),
        )

    if end is None:
        assert run() == 1
    else:
        with pytest.raises(end):
            run()
    assert left
    assert not any(path.exists() for path in left)


def test_a_run_in_shards_deletes_dead_temporary_files(leave: Callable[[], Path], work: Work, tmp_path: Path) -> None:
    left: list[Path] = []

    def do(pieces: Iterable[shards.Shard]) -> Iterator[shards.ShardDone]:
        for _ in pieces:
            left.append(leave())
            raise KeyboardInterrupt
        yield from ()

    destinations = work.destinations._replace(shards=Shards(str(tmp_path / "parts"), 1, "jsonl"))
    with pytest.raises(KeyboardInterrupt):
        shards.run(
            iter([ImageInput("a.png", "a.png")]),
            do,
            work._replace(destinations=destinations),
            Report(quiet=True),
            policy=Policy.REFUSE,
            identity=RunIdentity("0" * 64, work.settings),
        )
    assert left
    assert not any(path.exists() for path in left)

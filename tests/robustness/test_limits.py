"""Limits that inputs run into: time, memory, pixels, the files that can be written."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from posecli.commands.estimate import command
from posecli.errors import WORKER_CRASHED
from posecli.inputs.clip_decoder import ClipDecoder, DecodingFailed
from posecli.inputs.clips import ClipFrame, ClipOptions
from posecli.types import Record

from ..conftest import records_of


def animation(path: Path, frames: int, size: tuple[int, int] = (64, 48)) -> Path:
    first, *others = [Image.new("RGB", size, (20 * number, 90, 200)) for number in range(frames)]
    first.save(path, save_all=True, append_images=others, duration=100)
    return path


def estimate(model: Path, *arguments: object) -> int:
    """Run `posecli estimate` in this process; its exit status."""
    with pytest.raises(SystemExit) as ended:
        command.main([*map(str, arguments), "--model", str(model), "-q", "--engine", "serial"], standalone_mode=False)
    return int(ended.value.code or 0)


def test_a_clip_that_fails_is_told_from_its_finished_frames(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out = animation(tmp_path / "clip.gif", 8), tmp_path / "r.jsonl"

    def dies(self: ClipDecoder, source: str | bytes, options: ClipOptions) -> Iterator[ClipFrame]:
        yield from islice(whole(self, source, options), 2)
        raise DecodingFailed(WORKER_CRASHED, "the process decoding it was ended by signal 9")

    assert estimate(tiny_model, clip, "-o", out, "--to", "0.45") == 0
    whole = ClipDecoder.frames
    with monkeypatch.context() as broken:
        broken.setattr(ClipDecoder, "frames", dies)
        assert estimate(tiny_model, clip, "-o", out, "--resume") == 1
    records = records_of(out.read_bytes())
    assert [record.error.code for record in records if record.error is not None] == [WORKER_CRASHED]
    assert estimate(tiny_model, clip, "-o", out, "--resume") == 0
    assert out.read_bytes() == undisturbed(clip, tmp_path / "again.jsonl", tiny_model)


def undisturbed(clip: Path, out: Path, model: Path) -> bytes:
    assert estimate(model, clip, "-o", out) == 0
    assert all(isinstance(record, Record) and record.ok for record in records_of(out.read_bytes()))
    return out.read_bytes()

"""Limits for inputs: time, memory, pixels, and output files."""

from __future__ import annotations

import io
import struct
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path

import click
import pytest
from PIL import Image

from posecli.commands.estimate import command
from posecli.errors import WORKER_CRASHED, ImageTooLarge, OutputError
from posecli.files import memory
from posecli.files.child_process import Child
from posecli.files.memory import limit_memory, parse_size
from posecli.inputs import clip_decoder, clips
from posecli.inputs.clip_decoder import ClipDecoder, DecodingFailed
from posecli.inputs.clips import ClipOptions, PackedFrame, frames_of
from posecli.inputs.opening import limit_pillow
from posecli.inputs.pictures import read_frame
from posecli.render.picture_writer import save_picture
from posecli.run.engines import bytes_ahead
from posecli.types import Record

from ..conftest import SAMPLES, records_of
from .test_content import video


def animation(path: Path, frames: int, size: tuple[int, int] = (64, 48)) -> Path:
    first, *others = [Image.new("RGB", size, (20 * number, 90, 200)) for number in range(frames)]
    first.save(path, save_all=True, append_images=others, duration=100)
    return path


def estimate(model: Path, *arguments: object) -> int:
    """Run `posecli estimate` in this process; return its exit status."""
    with pytest.raises(SystemExit) as ended:
        command.main([*map(str, arguments), "--model", str(model), "-q", "--engine", "serial"], standalone_mode=False)
    return int(ended.value.code or 0)


def test_the_failure_of_a_clip_is_not_confused_with_its_finished_frames(
    tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, out = animation(tmp_path / "clip.gif", 8), tmp_path / "r.jsonl"

    def dies(self: ClipDecoder, source: str | bytes, options: ClipOptions) -> Iterator[PackedFrame]:
        yield from islice(whole(self, source, options), 2)
        raise DecodingFailed(WORKER_CRASHED, "the process decoding it was killed by signal 9")

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


@pytest.fixture
def pillow_limit(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pillow's limit as in a process of posecli with --max-pixels 1000."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with warnings.catch_warnings():
        limit_pillow(1000)
        yield


def bytes_of(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def icon_with_lie(png: bytes) -> bytes:
    """An ICO file that declares 16 x 16 pixels and contains a larger PNG."""
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(png), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + png


def mac_icon_with_lie(png: bytes) -> bytes:
    """An ICNS file that declares 16 x 16 pixels and contains a larger PNG."""
    return b"icns" + struct.pack(">I", 16 + len(png)) + b"icp4" + struct.pack(">I", 8 + len(png)) + png


@pytest.mark.usefixtures("pillow_limit")
@pytest.mark.parametrize("wrap", [icon_with_lie, mac_icon_with_lie])
def test_the_pixel_limit_applies_inside_icons(wrap: Callable[[bytes], bytes]) -> None:
    png = bytes_of(Image.new("RGB", (40, 30)), "PNG")
    with pytest.raises(ImageTooLarge, match="pixels"):
        read_frame(wrap(png), max_pixels=1000)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_the_pixel_limit_applies_to_animations(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes_of(Image.new("RGB", (40, 30)), kind, save_all=True, append_images=[Image.new("RGB", (40, 30), "red")])
    assert len(list(frames_of(data, ClipOptions(), max_pixels=1200))) == 2
    monkeypatch.setattr(clips, "pack", None)  # nothing is decoded
    with pytest.raises(ImageTooLarge, match="40 x 30 pixels"):
        list(frames_of(data, ClipOptions(), max_pixels=1199))


def test_the_pixel_limit_applies_to_later_pages() -> None:
    pages = [Image.new("RGB", (20, 20)), Image.new("RGB", (40, 30))]
    data = bytes_of(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    frames = frames_of(data, ClipOptions(), max_pixels=1000)
    assert next(frames).number == 0
    with pytest.raises(ImageTooLarge, match="40 x 30 pixels"):
        next(frames)


@pytest.mark.parametrize("name", ["x.mp4", "x.avi", "x.mkv"])
def test_the_pixel_limit_applies_to_videos(name: str, tmp_path: Path) -> None:
    path = str(video(tmp_path / name, 3, size=(64, 48)))
    assert len(list(frames_of(path, ClipOptions(), max_pixels=64 * 48))) == 3
    with pytest.raises(ImageTooLarge, match="64 x 48 pixels"):
        list(frames_of(path, ClipOptions(), max_pixels=64 * 48 - 1))


def read_in_little_memory(connection: Connection, path: str) -> None:
    limit_memory(300 << 20)
    limit_pillow(10**9)
    with pytest.raises(ImageTooLarge, match="not enough memory"):
        read_frame(path, max_pixels=10**9)
    connection.send(read_frame(SAMPLES / "wave.jpg", max_pixels=10**9).width)


@pytest.mark.skipif(sys.platform != "linux", reason="only there, limits count mapped memory")
def test_a_picture_that_needs_too_much_memory_is_an_error(tmp_path: Path) -> None:
    Image.new("1", (20_000, 20_000)).save(tmp_path / "x.png")
    child = Child(read_in_little_memory, str(tmp_path / "x.png"), name="reader")
    try:
        assert child.connection.recv() > 0
    finally:
        child.stop()


@pytest.mark.parametrize(
    ("text", "size"), [("2048", 2 << 30), ("4G", 4 << 30), ("4gib", 4 << 30), ("0.5 g", 1 << 29), ("700MB", 700 << 20)]
)
def test_sizes_of_memory_are_parsed(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "x", "nan", "-1", "inf", "1e99", "4P", "1", "0"])
def test_invalid_sizes_of_memory_are_refused(text: str) -> None:
    with pytest.raises(click.UsageError):
        command.make_context("estimate", ["x.jpg", "--max-memory", text])


def test_control_groups_limit_the_memory_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text(f"{10 << 30}\n")
    (tmp_path / "unlimited").write_text("max\n")
    monkeypatch.setattr(memory, "_CGROUP_FILES", (str(tmp_path / "unlimited"), str(tmp_path / "none")))
    machine = memory.available_memory()
    monkeypatch.setattr(memory, "_CGROUP_FILES", (str(tmp_path / "memory.max"),))
    assert memory.available_memory() == min(10 << 30, machine or 10 << 30)
    assert memory.memory_per_process(10**6) == memory.LEAST


@pytest.mark.parametrize(("kind", "width"), [("jpg", 66_000), ("webp", 17_000)])
def test_a_picture_that_its_format_cannot_store_is_one_error(
    kind: str, width: int, tmp_path: Path, tiny_model: Path
) -> None:
    Image.new("L", (width, 1)).save(tmp_path / "a.png")
    Image.new("L", (40, 30)).save(tmp_path / "b.png")
    names = [tmp_path / "a.png", tmp_path / "b.png"]
    out = tmp_path / "r.jsonl"
    assert estimate(tiny_model, *names, "-o", out, "-a", f"{tmp_path}/drawn/", "--picture-format", kind) == 1
    wide, small = records_of(out.read_bytes())
    assert wide.error is not None
    assert (wide.error.code, f"{width} x 1 pixels" in wide.error.message) == ("unsupported_image", True)
    assert small.ok
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == [f"b.png.{kind}"]


def test_a_destination_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        save_picture(Image.new("RGB", (4, 3)), str(tmp_path / "file" / "x.png"), "png")
    if Path("/dev/full").exists():
        with pytest.raises(OutputError, match="No space left"):
            save_picture(Image.new("RGB", (4, 3)), "/dev/full", "png")


@pytest.mark.parametrize(
    ("size", "group", "workers", "ahead"),
    [
        ((640, 480), 1, 2, 109), ((1920, 1080), 1, 2, 16), ((1920, 1080), 1, 16, 24), ((1920, 1080), 5, 2, 16),
        ((1920, 1080), 8, 2, 24), ((1920, 1080), 8, 16, 86), ((13_000, 13_000), 1, 16, 1),
    ],
)  # fmt: skip
def test_few_large_frames_are_in_flight(size: tuple[int, int], group: int, workers: int, ahead: int) -> None:
    """A worker that stalls delays all later frames, and the main process keeps their pixels."""
    weight = 3 * size[0] * size[1]
    assert max(bytes_ahead(group * weight, workers=workers) // weight, 1) == ahead


def test_a_group_of_large_frames_is_short() -> None:
    groups = clip_decoder.Groups()
    places = [groups.place(number / 100, clip_decoder.GROUP_BYTES // 2) for number in range(5)]
    assert places == [1, 1, 2, 2, 3]
    assert clip_decoder.Groups().place(0.0, 2 * clip_decoder.GROUP_BYTES) == 1

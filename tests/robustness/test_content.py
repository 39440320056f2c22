"""Files with hostile content: damaged, of another format than their extension, or with commands for a program."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, features

from posecli.errors import InputError, UnreadableImage, UnsupportedImage
from posecli.inputs import clip_decoder, clips, pictures, signature
from posecli.inputs.arguments import Inputs
from posecli.inputs.clip_decoder import ReadLimits, expand
from posecli.inputs.clips import ClipOptions, frames_of
from posecli.inputs.pictures import read_frame
from posecli.inputs.signature import Content, content_of
from posecli.types import ImageInput

LIMIT = 10**6


@pytest.mark.parametrize("as_bytes", [False, True])
def test_ghostscript_is_never_started(*, as_bytes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ghostscript, started = tmp_path / "bin" / "gs", tmp_path / "started"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {started}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(ghostscript.parent), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # Pillow caches its search
    picture = tmp_path / "holiday.jpg"
    Image.new("RGB", (40, 30), "red").save(picture, "EPS")
    with pytest.raises(UnsupportedImage, match="EPS"):
        read_frame(picture.read_bytes() if as_bytes else picture, max_pixels=LIMIT)
    assert not started.exists()


def frames(count: int, size: tuple[int, int] = (64, 48)) -> list[Image.Image]:
    return [Image.new("RGB", size, (40 * number, 90, 200)) for number in range(count)]


def saved(path: Path, kind: str, count: int = 3) -> Path:
    first, *others = frames(count)
    several = {"save_all": True, "append_images": others} if others else {}
    first.save(path, kind, **several)
    return path


SEQUENCES = ("GIF", "PNG", "WEBP", "TIFF", "MPO", *(("AVIF",) if features.check("avif") else ()))
STILLS = ("GIF", "PNG", "WEBP", "TIFF", "JPEG", "BMP", "PPM", *(("AVIF",) if features.check("avif") else ()))


@pytest.mark.parametrize("kind", SEQUENCES)
def test_a_file_of_several_pictures_is_a_clip_with_any_extension(kind: str, tmp_path: Path) -> None:
    path = saved(tmp_path / "called.jpg", kind)
    assert content_of(str(path)) is Content.SEQUENCE
    from_bytes = ImageInput("stdin", "stdin", data=path.read_bytes())
    for given in (ImageInput(str(path), "called.jpg"), from_bytes):
        found = list(expand([given], ClipOptions(), limits=ReadLimits()))
        assert [(image.frame, image.data) for image in found] == [(0, None), (1, None), (2, None)]


@pytest.mark.parametrize("kind", STILLS)
def test_one_picture_is_one_input_and_starts_no_process(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path / "called.gif", kind, 1)
    given = ImageInput(str(path), "called.gif")
    if kind != "GIF":
        monkeypatch.setattr(clip_decoder, "Child", None)
    assert list(expand([given], ClipOptions(), limits=ReadLimits())) == [given]


def test_a_worker_reports_a_file_of_several_pictures(tmp_path: Path) -> None:
    for kind in SEQUENCES:
        with pytest.raises(UnsupportedImage, match="several pictures"):
            read_frame(saved(tmp_path / "x", kind), max_pixels=LIMIT)


def test_a_preview_after_a_picture_is_not_a_frame(tmp_path: Path) -> None:
    frames(1, (64, 48))[0].save(tmp_path / "x.jpg", "MPO", save_all=True, append_images=frames(1, (16, 12)))
    given = ImageInput(str(tmp_path / "x.jpg"), "x.jpg")
    assert list(expand([given], ClipOptions(), limits=ReadLimits())) == [given]
    assert read_frame(given.name, max_pixels=LIMIT).width == 64


def test_mpo_files_in_folders_are_read(tmp_path: Path) -> None:
    saved(tmp_path / "stereo.mpo", "MPO", 2)
    assert [Path(image.name).name for image in Inputs([str(tmp_path)])] == ["stereo.mpo"]


def test_a_tiff_with_endless_directories_does_not_block_the_main_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each directory refers to the next one: such a file is examined in a child process with a time limit."""
    directories = b"".join(struct.pack("<HI", 0, 8 + 6 * number) for number in range(1, 2000))
    path = tmp_path / "x.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + directories)
    opened: list[object] = []
    monkeypatch.setattr(clips, "open_image", opened.append)
    monkeypatch.setattr(pictures, "open_image", opened.append)
    assert content_of(str(path)) is Content.SEQUENCE
    (found,) = expand([ImageInput(str(path), "x.tif")], ClipOptions(), limits=ReadLimits(timeout=60))
    assert not opened
    assert found.frame is None


@pytest.mark.parametrize(
    "head", [b"\xff\xd8" + b"\xff\xe0\0\2" * 9999, b"\x89PNG\r\n\x1a\n" + b"\0\0\0\0tEXt\0\0\0\0" * 9999]
)
def test_the_number_of_reads_to_recognize_a_file_is_bounded(head: bytes) -> None:
    class Counted(io.BytesIO):
        reads = 0

        def read(self, size: int | None = -1, /) -> bytes:
            assert size is not None
            assert 0 < size <= 512
            Counted.reads += 1
            return super().read(size)

    assert signature._content(Counted(head)) is Content.SEQUENCE
    assert Counted.reads <= 65


def video(
    path: Path, count: int = 30, *, codec: str = "mpeg4", size: tuple[int, int] = (64, 48), **options: str
) -> Path:
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        noise = np.random.default_rng(0)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(noise.integers(0, 255, (size[1], size[0], 3), np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "options"), [("x.mp4", {"movflags": "faststart"}), ("x.avi", {}), ("x.mkv", {})])
def test_a_truncated_video_is_an_error(name: str, options: dict[str, str], tmp_path: Path) -> None:
    path = video(tmp_path / name, **options)
    assert len(list(frames_of(str(path), ClipOptions()))) == 30
    whole = path.read_bytes()
    for share in (0.7, 0.4):
        path.write_bytes(whole[: int(len(whole) * share)])
        found = []
        with pytest.raises(UnreadableImage, match=r"cut off|breaks off"):
            found.extend(frame.number for frame in frames_of(str(path), ClipOptions()))
        assert len(list(frames_of(str(path), ClipOptions(end=0.3)))) <= 3  # the video is complete up to this time


@pytest.mark.parametrize("name", ["12:30.avi", "http:a.mkv", "-x.mp4", "a%03d.avi"])
def test_the_name_of_a_video_is_never_used_as_an_address(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = video(tmp_path / f"x{Path(name).suffix}", 3)
    monkeypatch.chdir(tmp_path)
    written.rename(name)
    assert [frame.number for frame in frames_of(name, ClipOptions())] == [0, 1, 2]


def test_a_playlist_with_the_extension_of_a_video_is_not_followed(tmp_path: Path) -> None:
    secret = video(tmp_path / "secret.ts", 3, codec="mpeg2video")
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n"
    for name, text in (("x.avi", playlist), ("y.mp4", f"ffconcat version 1.0\nfile {secret}\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(UnreadableImage):
            list(frames_of(str(tmp_path / name), ClipOptions()))


PILLOW_FORMATS = (
    *("AVIF", "BLP", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "IM", "JPEG", "JPEG2000", "MPO", "MSP", "PCX", "PNG"),
    *("PPM", "QOI", "SGI", "SPIDER", "TGA", "TIFF", "WEBP", "XBM"),
)
VIDEO_FORMATS = {"x.mp4": "mpeg4", "x.avi": "mpeg4", "x.mkv": "mpeg4", "x.flv": "flv", "x.ts": "mpeg2video"}
MODES = {"BLP": "P", "MSP": "1", "XBM": "1", "SPIDER": "F"}
#: Damaged copies per format.
MUTATIONS = 24


def mutated(data: bytes, seed: int) -> Iterator[bytes]:
    """Damaged copies: changed bytes and bits, most of them near the beginning; parts deleted, duplicated, truncated."""
    chance = random.Random(seed)
    for number in range(MUTATIONS):
        damaged = bytearray(data)
        reach = len(data) if number % 2 else min(len(data), 200)
        for _ in range(chance.choice((1, 3, 20))):
            damaged[chance.randrange(reach)] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        start, length = chance.randrange(len(data)), chance.randrange(1, 40)
        if number % 4 == 1:
            del damaged[start : start + length]
        elif number % 4 == 2:
            damaged[start:start] = damaged[start : start + length]
        elif number % 4 == 3:
            del damaged[start:]
        yield bytes(damaged)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", PILLOW_FORMATS)
def test_a_damaged_picture_gives_a_picture_or_an_error(kind: str) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    file = io.BytesIO()
    noise = np.random.default_rng(1).integers(0, 255, (48, 64, 3), np.uint8)
    try:
        Image.fromarray(noise).convert(MODES.get(kind, "RGB")).save(file, kind)
    except KeyError:
        pytest.skip(f"this Pillow does not write {kind}")
    for data in (file.getvalue(), *mutated(file.getvalue(), seed=len(kind))):
        content_of(data)
        with suppress(InputError):
            assert read_frame(data, max_pixels=LIMIT).image.mode == "RGB"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", SEQUENCES)
def test_a_damaged_animation_gives_frames_or_an_error(kind: str, tmp_path: Path) -> None:
    for data in mutated(saved(tmp_path / "x", kind).read_bytes(), seed=len(kind)):
        clips.holds_frames(data)
        with suppress(InputError):
            for frame in frames_of(data, ClipOptions(), max_pixels=LIMIT):
                width, height, pixels = frame.pixels
                assert len(pixels) == 3 * width * height


@pytest.mark.parametrize("name", VIDEO_FORMATS)
def test_a_damaged_video_gives_frames_or_an_error(name: str, tmp_path: Path) -> None:
    whole = video(tmp_path / name, 5, codec=VIDEO_FORMATS[name]).read_bytes()
    for data in mutated(whole, seed=len(name)):
        (tmp_path / name).write_bytes(data)
        for source in (data, str(tmp_path / name)):
            with suppress(InputError):
                for frame in frames_of(source, ClipOptions(), max_pixels=LIMIT):
                    width, height, pixels = frame.pixels
                    assert len(pixels) == 3 * width * height


def test_a_video_with_an_unknown_codec_is_one_error(tmp_path: Path) -> None:
    path = video(tmp_path / "x.mkv", 3)
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO", b"V_ZZZZZ/ISO"))
    with pytest.raises(UnsupportedImage, match="codec"):
        list(frames_of(str(path), ClipOptions()))

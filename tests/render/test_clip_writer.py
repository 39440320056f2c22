"""Annotated clips keep the times of frames and the sound; without frames, nothing is written."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from posecli.inputs.clips import ClipOptions, frames_of, unpack
from posecli.render.clip_writer import ClipWriter

from ..conftest import Posecli
from ..inputs.test_clips import FRAMES, pictures, write_video


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4")


def written(kind: str, source: Path, times: list[float | None], size: tuple[int, int] = (64, 48)) -> io.BytesIO:
    """A clip of grey frames; each is lighter than the previous one."""
    file = io.BytesIO()
    writer = ClipWriter(file, kind, str(source))
    for number, time in enumerate(times):
        writer.add(Image.new("RGB", size, (40 + 20 * number,) * 3), time)
    writer.close()
    file.seek(0)
    return file


def test_frames_keep_their_times(tmp_path: Path) -> None:
    times = [0.0, 0.05, 0.3, 0.31, 0.9]
    with av.open(written("mp4", tmp_path / "x.webp", times)) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx(times, abs=0.002)
    levels = [frame.to_ndarray(format="rgb24").mean() for frame in frames]
    assert levels == pytest.approx([40, 60, 80, 100, 120], abs=4)


def test_frames_without_times_or_with_equal_times_are_all_kept(tmp_path: Path) -> None:
    for times in ([None, None, None], [0.5, 0.5, 0.5]):
        with av.open(written("mp4", tmp_path / "x.tiff", times)) as container:
            assert len(list(container.decode(video=0))) == 3


def test_odd_sides_lose_a_pixel(tmp_path: Path) -> None:
    with av.open(written("mp4", tmp_path / "x.webp", [0.0], (65, 49))) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (64, 48)


def test_each_page_of_a_gif_lasts_until_the_next(tmp_path: Path) -> None:
    with Image.open(written("gif", tmp_path / "x.webp", [0.0, 0.1, 0.4, 0.4])) as picture:
        durations = []
        for page in range(picture.n_frames):
            picture.seek(page)
            durations.append(picture.info["duration"])
    assert durations == [100, 300, 20, 20]  # 20 ms is the least


@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_without_frames_nothing_is_written(kind: str, tmp_path: Path) -> None:
    assert written(kind, tmp_path / "x.webp", []).getvalue() == b""


def test_the_sound_of_the_source_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "sound.mp4"
    with av.open(str(source), "w") as container:
        picture = container.add_stream("libx264", rate=10)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = container.add_stream("aac", rate=48000)
        for _ in range(5):
            container.mux(picture.encode(av.VideoFrame.from_image(Image.new("RGB", (64, 48)))))
        tone = (8000 * np.sin(np.arange(24000) / 20)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), 0
        container.mux(sound.encode(frame))
        for stream in (picture, sound):
            container.mux(stream.encode(None))

    def packets(file: io.BytesIO | Path) -> list[bytes]:
        with av.open(file if isinstance(file, io.BytesIO) else str(file)) as container:
            return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.dts is not None]

    assert packets(written("mp4", source, [n / 10 for n in range(5)])) == packets(source) != []


@pytest.mark.parametrize("name", ["out.mp4", "out.gif"])
def test_an_annotated_clip_has_all_frames_at_their_times(
    name: str, video: Path, tmp_path: Path, posecli: Posecli
) -> None:
    out = tmp_path / name
    result = posecli("estimate", video, "-a", out, "--track", "--draw", "scores")
    assert result.returncode == 0, result.stderr
    if name.endswith(".gif"):
        with Image.open(out) as picture:
            assert picture.n_frames == FRAMES
    else:
        with av.open(str(out)) as container:
            frames = list(container.decode(video=0))
            assert len(frames) == FRAMES
            assert [frame.time for frame in frames] == pytest.approx([n / 10 for n in range(FRAMES)], abs=0.002)
            drawn = frames[0].to_ndarray(format="rgb24").astype(int)
        plain = unpack(next(frames_of(str(video), ClipOptions())).pixels).astype(int)
        assert np.abs(drawn - plain[: drawn.shape[0], : drawn.shape[1]]).max() > 60
    assert posecli("estimate", video, "-a", out).returncode == 2


def test_annotated_clips_in_a_folder_are_mp4_or_gif(video: Path, tmp_path: Path, posecli: Posecli) -> None:
    animation = tmp_path / "moving.webp"
    first, *others = pictures(3)
    first.save(animation, save_all=True, append_images=others, lossless=True)
    result = posecli("estimate", video, animation, "-a", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    names = sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert names == ["clip.mp4.mp4", "moving.webp.gif"]


def test_a_gif_keeps_the_colours_of_every_page_and_repeats(tmp_path: Path) -> None:
    with Image.open(written("gif", tmp_path / "x.webp", [0.0, 0.1, 0.2])) as picture:
        assert (picture.n_frames, picture.info["loop"]) == (3, 0)
        levels = []
        for page in range(3):
            picture.seek(page)
            levels.append(picture.convert("RGB").getpixel((5, 5)))
    assert levels == [(40, 40, 40), (60, 60, 60), (80, 80, 80)]


def test_a_gif_is_written_page_by_page(tmp_path: Path) -> None:
    file = io.BytesIO()
    writer = ClipWriter(file, "gif", str(tmp_path / "x.webp"))
    sizes = []
    for number in range(4):
        writer.add(Image.effect_noise((64, 48), 90 + number), number / 10)
        sizes.append(file.tell())
    assert sizes == sorted(set(sizes))

"""Clips are expanded to frames. They are decoded in a child process, which may fail."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from PIL import Image

from posecli.errors import InputError
from posecli.inputs.clip_decoder import ClipDecoder, ReadLimits, expand
from posecli.inputs.clips import ClipOptions
from posecli.region import Region
from posecli.types import ImageInput

from ..conftest import spawned_children
from ..tiny_model import draw_discs, person_at
from .test_clips import write_video

ALL = ClipOptions()


def animation(path: Path, frames: int = 12, *, duration: int = 100, size: tuple[int, int] = (320, 257)) -> ImageInput:
    first, *others = [draw_discs([person_at(60 + 8 * number, 80)], size) for number in range(frames)]
    first.save(path, save_all=True, append_images=others, duration=duration, lossless=True)
    return ImageInput(str(path), path.name)


@pytest.fixture
def clip(tmp_path: Path) -> ImageInput:
    return animation(tmp_path / "clip.webp")


def test_frames_take_the_place_of_their_clip(clip: ImageInput, tmp_path: Path) -> None:
    still = ImageInput(str(tmp_path / "a.png"), "a.png")
    frames = list(expand([still, clip, still._replace(name="b")], ALL, limits=ReadLimits()))
    assert [(frame.output, frame.frame) for frame in frames] == [
        ("a.png", None), *((f"clip.webp_{number:012d}", number) for number in range(12)), ("a.png", None),
    ]  # fmt: skip
    assert frames[1].pixels is not None
    assert frames[1].pixels[:2] == (320, 257)
    assert len(frames[1].pixels[2]) == 320 * 257 * 3


def test_a_region_outside_of_a_clip_is_one_error(clip: ImageInput) -> None:
    region = Region.parse("400,0,10,10")
    (only,) = expand([clip], ALL, limits=ReadLimits(), region=region)
    code, message = only.failure or ("", "")
    assert (only.frame, code) == (None, "unsupported_image")
    assert message == f"{clip.name} has 320 x 257 pixels, and the region 400,0,10,10 lies outside of them"
    assert len(list(expand([clip], ALL, limits=ReadLimits(), region=Region.parse("300,0,50,50")))) == 12


def test_frames_are_decoded_on_demand(clip: ImageInput) -> None:
    before = spawned_children()
    frames = expand([clip], ALL, limits=ReadLimits())
    assert next(frames).frame == 0
    frames.close()  # type: ignore[attr-defined]
    assert not spawned_children() - before


def test_groups_last_a_fifth_of_a_second(tmp_path: Path) -> None:
    def groups(**timing: int) -> list[int | None]:
        image = animation(tmp_path / f"{timing}.webp", **timing)
        return [frame.group for frame in expand([image], ALL, limits=ReadLimits(), grouped=True)]

    assert groups(frames=7, duration=40) == [1, 1, 1, 1, 1, 2, 2]
    assert groups(frames=4, duration=100) == [1, 1, 2, 2]
    assert groups(frames=3, duration=500) == [1, 2, 3]
    assert groups(frames=10, duration=10) == [1] * 8 + [2] * 2


def test_the_last_input_of_a_clip_is_marked(clip: ImageInput, tmp_path: Path) -> None:
    """Also if it is the error of a clip that breaks off."""
    Image.new("RGB", (8, 8)).save(tmp_path / "still.png")
    still = ImageInput(str(tmp_path / "still.png"), "still.png")
    ends = [image.ends_clip for image in expand([clip, still, clip], ALL, limits=ReadLimits())]
    assert ends == [*[False] * 11, True, False, *[False] * 11, True]
    write_video(tmp_path / "whole.avi")
    whole = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "part.avi").write_bytes(whole[: len(whole) * 6 // 10])
    *frames, last = expand([ImageInput(str(tmp_path / "part.avi"), "part.avi")], ALL, limits=ReadLimits())
    assert last.failure
    assert last.ends_clip
    assert not any(frame.ends_clip for frame in frames)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_decoder_that_hangs_fails_only_its_clip(clip: ImageInput, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never.mp4")
    decoder = ClipDecoder(ReadLimits(timeout=0.5))
    with pytest.raises(InputError, match=r"was not decoded within 0\.5 seconds") as caught:
        next(decoder.frames(str(tmp_path / "never.mp4"), ALL))
    assert caught.value.code == "timed_out"
    decoder._limits = ReadLimits()  # another process starts, which takes long on a loaded machine
    assert len(list(decoder.frames(clip.name, ALL))) == 12
    decoder.close()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_decoder_that_dies_loses_only_the_rest_of_its_clip(tmp_path: Path) -> None:
    first = animation(tmp_path / "first.webp", 40, size=(640, 480))  # more than a pipe holds
    second = animation(tmp_path / "second.webp", 3)
    before, frames = spawned_children(), []
    for frame in expand([first, second], ALL, limits=ReadLimits()):
        frames.append(frame)
        if len(frames) == 5:
            (decoder,) = spawned_children() - before
            os.kill(decoder, signal.SIGKILL)
    of_first = [frame for frame in frames if frame.name == first.name]
    *decoded, last = of_first
    assert [frame.frame for frame in decoded] == list(range(len(decoded)))
    assert 5 <= len(decoded) < 40
    assert last.failure is not None
    assert last.key not in {frame.key for frame in decoded}
    assert last.failure[0] == "worker_crashed"
    assert "signal 9" in last.failure[1]
    assert [(frame.frame, frame.failure) for frame in frames if frame.name == second.name] == [
        (0, None), (1, None), (2, None),
    ]  # fmt: skip

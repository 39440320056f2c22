"""Inputs that hold frames: videos (PyAV, extra `video`), animated GIF, WebP and PNG, TIFF of several pages (Pillow).

Reading frames one after the other, and finding one by its number.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageSequence

from posecli.errors import UnreadableImage, UsageError
from posecli.extras import installed, need
from posecli.inputs.pictures import open_image, to_rgb
from posecli.types import PackedPixels

VIDEO_EXTENSIONS = frozenset(
    (
        ".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts",
        ".webm", ".wmv",
    )
)  # fmt: skip
#: Pillow's formats that may hold several pictures.
_SEQUENCES = frozenset((".gif", ".webp", ".png", ".apng", ".tif", ".tiff"))


RGBFrame = npt.NDArray[np.uint8]


class ClipOptions(NamedTuple):
    """Which frames to look at: every n-th, those from `start` until before `end` (seconds), no more than `fps` of each
    second."""

    every: int = 1
    start: float = 0.0
    end: float | None = None
    fps: float | None = None


class ClipFrame(NamedTuple):
    """One frame: its place from 0, its time in seconds (None for pages), its upright RGB pixels."""

    number: int
    time: float | None
    pixels: PackedPixels


def is_video(path: str) -> bool:
    """Whether a file is called as videos are."""
    return os.path.splitext(path)[1].lower() in VIDEO_EXTENSIONS


def frame_output(output: str, number: int) -> str:
    """What outputs of a frame are named after: the name of its clip's, and its place."""
    return f"{output}_{number:012d}"


def pack(pixels: RGBFrame) -> PackedPixels:
    """Pixels uint8 [h, w, 3] as they travel from process to process."""
    height, width, _ = pixels.shape
    return width, height, pixels.tobytes()


def unpack(packed: PackedPixels) -> RGBFrame:
    """Packed pixels as an array, uint8 [h, w, 3], read only."""
    width, height, data = packed
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def can_read_videos() -> bool:
    """Whether the extra `video` is installed."""
    return installed("video")


def is_clip(path: str) -> bool:
    """Whether a file holds frames rather than one picture, by its extension and, for Pillow's formats, its content."""
    if not os.path.isfile(path):  # to open a pipe may take forever
        return False
    if is_video(path):
        return can_read_videos()
    if os.path.splitext(path)[1].lower() not in _SEQUENCES:
        return False
    try:
        with open(path, "rb") as file, open_image(file) as image:
            return getattr(image, "n_frames", 1) > 1
    except Exception:  # whatever is wrong with it shows when it is read as a picture
        return False


def frames_of(path: str, options: ClipOptions) -> Iterator[ClipFrame]:
    """The frames of a clip that the options ask for. Raises UnreadableImage where it breaks off."""
    due = options.start
    for number, time, picture in _decoded(path) if is_video(path) else _pages(path):
        if time is not None:
            if options.end is not None and time >= options.end:
                return
            if time < options.start or (options.fps is not None and time < due - 1e-6):
                continue
        if number % options.every:
            continue
        if options.fps is not None and time is not None:
            due = max(due + 1 / options.fps, time + 0.5 / options.fps)
        try:
            pixels = pack(_upright(picture))
        except Exception as error:  # decoders of damaged files raise anything
            raise UnreadableImage(f"{path}: frame {number} is damaged ({error or type(error).__name__})") from error
        yield ClipFrame(number, time, pixels)


def _decoded(path: str) -> Iterator[tuple[int, float | None, Any]]:
    av = need("av", extra="video")
    number = 0
    try:
        with av.open(path) as container:
            if not container.streams.video:
                raise UnreadableImage(f"{path} has no picture in it")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            begin = (stream.start_time or 0) * stream.time_base if stream.time_base else 0
            for frame in container.decode(stream):
                yield number, None if frame.time is None else max(float(frame.time - begin), 0.0), frame
                number += 1
    except (av.FFmpegError, OSError, ValueError, EOFError) as error:
        raise UnreadableImage(f"{path}: the video breaks off after {number} frames ({error})") from error
    if number == 0:
        raise UnreadableImage(f"{path} has no frame that can be decoded")


def _pages(path: str) -> Iterator[tuple[int, float | None, Any]]:
    number, seconds = 0, 0.0
    try:
        with open(path, "rb") as file, open_image(file) as image:
            timed = image.format != "TIFF"
            for page in ImageSequence.Iterator(image):
                page.load()  # only then some formats know how long it is shown
                yield number, seconds if timed else None, page
                seconds += page.info.get("duration", 0) / 1000
                number += 1
    except Exception as error:  # decoders of damaged files raise anything
        raise UnreadableImage(
            f"{path}: it breaks off after {number} frames ({error or type(error).__name__})"
        ) from error


def _upright(picture: Any) -> RGBFrame:
    """RGB pixels of a page, or of a video's frame turned as its metadata says."""
    if isinstance(picture, Image.Image):
        return np.asarray(to_rgb(picture.copy()))
    pixels: RGBFrame = picture.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(getattr(picture, "rotation", 0) / 90)))


class FrameReader:
    """Frames of clips by their numbers. In rising order each clip is decoded once."""

    def __init__(self) -> None:
        self._path = ""
        self._next = 0
        self._frames: Iterator[ClipFrame] = iter(())

    def read(self, path: str, number: int) -> PackedPixels:
        """The pixels of a frame. Raises UnreadableImage where there is no such frame."""
        if path != self._path or number < self._next:
            if not is_clip(path):
                raise UnreadableImage(f"{path}: no clip is there")
            self._path, self._frames = path, frames_of(path, ClipOptions())
        for frame in self._frames:
            self._next = frame.number + 1
            if frame.number == number:
                return frame.pixels
        raise UnreadableImage(f"{path} has no frame {number}")


def check_options(options: ClipOptions) -> ClipOptions:
    """The options, if they can be meant. Raises UsageError."""
    if options.end is not None and options.end <= options.start:
        raise UsageError(f"--to {options.end:g} is not after --from {options.start:g}")
    return options

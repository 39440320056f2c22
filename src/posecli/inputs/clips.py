"""Clips: videos (PyAV, extra `video`), and animations, TIFF and MPO of several pictures (Pillow).

Reads frames in order, and single frames by number.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil, inf
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageSequence

from posecli.errors import ImageTooLarge, InputError, NotFound, UnreadableImage, UnsupportedImage, UsageError
from posecli.extras import import_extra, installed
from posecli.files.storage import is_remote
from posecli.inputs.opening import holds_several, open_image, too_large
from posecli.inputs.pictures import failed_to_open, read_frame, to_rgb
from posecli.inputs.signature import Content, content_of, means_video
from posecli.types import PackedPixels, Settings, check_whole

#: FFmpeg may open local files only. A playlist disguised as a video cannot reach other addresses.
FFMPEG_OPTIONS = {"protocol_whitelist": "file"}
#: A video counts as cut off if more frames than this, and more than this share of the declared ones, are missing.
MISSING_FRAMES, MISSING_SHARE = 2, 0.05
#: Units of a container's duration per second.
_CONTAINER_SECOND = 1_000_000
#: FFmpeg's own limit on the pixels of a frame: factor · max_pixels + constant, because it counts its padding.
FFMPEG_SLACK, FFMPEG_PADDING = 2, 1 << 16
#: Pillow's formats whose pictures are pages, which have no times.
_PAGED = ("TIFF", "MPO", "DCX")

RGBFrame = npt.NDArray[np.uint8]


class ClipOptions(NamedTuple):
    """Which frames to use. every: every n-th; start, end: seconds, end exclusive; fps: at most so many per second."""

    every: int = 1
    start: float = 0.0
    end: float | None = None
    fps: float | None = None


class Choice:
    """Decides for each frame, in order, whether the options choose it. has_chosen: whether they chose one so far."""

    def __init__(self, options: ClipOptions) -> None:
        self._options = options
        self._due = options.start  # with fps: the earliest time of the next chosen frame
        self.has_chosen = False

    def is_over(self, time: float | None) -> bool:
        """Whether this time is at or after the end: no further frame is chosen."""
        return time is not None and self._options.end is not None and time >= self._options.end

    def takes(self, number: int, time: float | None) -> bool:
        """Whether the next frame is chosen."""
        start, fps = self._options.start, self._options.fps
        if time is not None and (time < start or (fps is not None and time < self._due - 1e-6)):
            return False
        if number % self._options.every:
            return False
        if fps is not None and time is not None:
            self._due = max(self._due + 1 / fps, time + 0.5 / fps)
        self.has_chosen = True
        return True

    def nothing_chosen(self, name: str) -> NotFound:
        """The error of a clip that has no frame between --from and --to."""
        end = "" if self._options.end is None else f" to {self._options.end:g}"
        return NotFound(f"{name} has no frame from {self._options.start:g}{end} s")


class PackedFrame(NamedTuple):
    """One frame of a clip. number: from 0; time: seconds, None for pages; pixels: upright RGB."""

    number: int
    time: float | None
    pixels: PackedPixels


def is_video(source: str | bytes) -> bool:
    """Whether a file, or its bytes, are a video: by the first bytes or, if these do not tell, by the name."""
    return _is_video(source, content_of(source))


def _is_video(source: str | bytes, content: Content) -> bool:
    if isinstance(source, bytes):
        return content is Content.VIDEO
    return means_video(content, source) and not os.path.isdir(source)


def frame_output(output: str, number: int) -> str:
    """The path from which outputs of a frame are named: the clip's, and the frame's number."""
    return f"{output}_{number:012d}"


def pack(pixels: RGBFrame) -> PackedPixels:
    """Pack pixels, uint8 [h, w, 3], for sending to another process."""
    height, width, _ = pixels.shape
    return width, height, pixels.tobytes()


def unpack(packed: PackedPixels) -> RGBFrame:
    """Packed pixels as an array, uint8 [h, w, 3], read-only."""
    width, height, data = packed
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def ffmpeg_place(path: str) -> str:
    """FFmpeg's name for a local file. Without `file:`, FFmpeg reads text before a colon as a protocol."""
    return f"file:{path}"


def can_read_videos() -> bool:
    """Whether the extra `video` is installed."""
    return installed("video")


def may_hold_frames(source: str | bytes) -> bool:
    """Whether a local file, or its bytes, may be a clip that can be read here, by the first bytes."""
    if isinstance(source, str) and not os.path.isfile(source):  # opening a pipe may block
        return False
    content = content_of(source)
    return can_read_videos() if _is_video(source, content) else content is Content.SEQUENCE


def holds_frames(source: str | bytes) -> bool:
    """Whether a file, or its bytes, hold frames rather than one picture. This may take long, or much memory: call it
    only in a process that may fail."""
    if is_video(source):
        return can_read_videos()
    try:
        with _opened(source) as image:
            return holds_several(image)
    except Exception:  # reading it as a picture reports the error
        return False


def frames_of(
    source: str | bytes, options: ClipOptions, *, max_pixels: int = Settings.max_pixels
) -> Iterator[PackedFrame]:
    """Yield the frames of a clip, or of its bytes, that the options choose.

    max_pixels: larger frames are refused before they are decoded.
    Raises UnreadableImage if the clip breaks off, NotFound if the options choose no frame, ImageTooLarge.
    """
    choice, name = Choice(options), source_name(source)
    decode = _decoded if is_video(source) else _pages
    for number, time, picture in decode(source, max_pixels):
        if choice.is_over(time):
            break
        if not choice.takes(number, time):
            continue
        try:
            pixels = pack(_upright(picture))
        except MemoryError as error:
            raise ImageTooLarge(f"{name}: not enough memory for frame {number}") from error
        except Exception as error:  # decoders of damaged files raise anything
            raise UnreadableImage(f"{name}: frame {number} is damaged ({error or type(error).__name__})") from error
        yield PackedFrame(number, time, pixels)
    if not choice.has_chosen:
        raise choice.nothing_chosen(name)


class _Declared(NamedTuple):
    """What a container declares. frames: their approximate number; rate: frames per second, None if unknown."""

    frames: int
    rate: float | None

    def chosen(self, options: ClipOptions) -> int:
        """How many of them the options choose."""
        first, last = 0, self.frames
        if self.rate is not None:
            first = ceil(options.start * self.rate - 1e-6)
            last = last if options.end is None else min(ceil(options.end * self.rate - 1e-6), last)
        count = ceil(last / options.every) - ceil(first / options.every)
        if self.rate is not None and options.fps is not None and options.fps < self.rate / options.every:
            count = ceil((last - first) * options.fps / self.rate - 1e-6)
        return max(count, 0)


def frame_count(source: str | bytes, options: ClipOptions) -> int | None:
    """The approximate number of frames of a clip, or of its bytes, that the options choose, by its container. None if
    the container does not say, or cannot be read. Like `holds_frames`, only for a process that may fail."""
    try:
        declared = _declared_by_video(source) if is_video(source) else _declared_by_pages(source, options)
        return None if declared is None else declared.chosen(options)
    except Exception:  # decoding it reports the error
        return None


def source_name(source: str | bytes) -> str:
    """The name of a file, or of bytes, in messages."""
    return source if isinstance(source, str) else "the clip"


@contextmanager
def _opened(source: str | bytes) -> Iterator[Image.Image]:
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file, open_image(file) as image:
        yield image


def _opened_video(source: str | bytes) -> Any:
    """A container of PyAV. Raises whatever PyAV raises."""
    place = io.BytesIO(source) if isinstance(source, bytes) else ffmpeg_place(source)
    return import_extra("av", extra="video").open(place, options=FFMPEG_OPTIONS)


def _declared_by_video(source: str | bytes) -> _Declared | None:
    with _opened_video(source) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate) if stream.average_rate else None
        seconds = _declared_seconds(container, stream)
        if seconds is None and container.duration:
            seconds = container.duration / _CONTAINER_SECOND  # may be the sound's
        if stream.frames:
            return _Declared(stream.frames, stream.frames / seconds if seconds else rate)
        return _Declared(round(seconds * rate), rate) if seconds and rate else None


def _declared_by_pages(source: str | bytes, options: ClipOptions) -> _Declared:
    """All pages are assumed to last as long as the first: a page's duration is known only after decoding."""
    with _opened(source) as image:
        rate = None
        if image.format not in _PAGED and (options.start, options.end, options.fps) != (0.0, None, None):
            image.load()
            milliseconds = image.info.get("duration", 0)
            rate = 1000 / milliseconds if milliseconds else None
        return _Declared(getattr(image, "n_frames", 1), rate)


def _check_size(name: str, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise too_large(name, width, height, max_pixels)


def _decoded(source: str | bytes, max_pixels: int) -> Iterator[tuple[int, float | None, Any]]:
    number, name = 0, source_name(source)
    try:
        with _opened_video(source) as container:
            if not container.streams.video:
                raise UnreadableImage(f"{name} has no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise UnsupportedImage(f"{name} is a video, and its codec cannot be decoded here")
            _check_size(name, stream.width, stream.height, max_pixels)
            # The size may change within the stream.
            stream.codec_context.options = {"max_pixels": str(FFMPEG_SLACK * max_pixels + FFMPEG_PADDING)}
            stream.thread_type = "AUTO"
            length = _Length(container, stream)
            begin = (stream.start_time or 0) * stream.time_base if stream.time_base else 0
            for frame in container.decode(stream):
                _check_size(name, frame.width, frame.height, max_pixels)
                length.add(frame)
                yield number, None if frame.time is None else max(float(frame.time - begin), 0.0), frame
                number += 1
            length.check(name)
    except InputError:
        raise
    except Exception as error:  # decoders of damaged files raise anything
        if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
            raise ImageTooLarge(f"{name}: not enough memory for frame {number}") from error
        raise UnreadableImage(f"{name}: the video breaks off after {number} frames ({error})") from error
    if number == 0:
        raise UnreadableImage(f"{name} has no frame that can be decoded")


class _Length:
    """Compares the decoded frames of a video with what its container declares: their number and their duration.

    If both are declared, both must fall short: some videos skip frames on purpose, and frames may have any duration.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self._frames = stream.frames or None
        self._seconds = _declared_seconds(container, stream)
        self._count, self._end = 0, 0.0
        self._begin = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
        self._frame_seconds = 1 / float(stream.average_rate) if stream.average_rate else 0.0

    def add(self, frame: Any) -> None:
        """Count a decoded frame."""
        self._count += 1
        if frame.time is not None:
            duration = getattr(frame, "duration", 0) or 0
            seconds = float(duration * frame.time_base) if duration and frame.time_base else self._frame_seconds
            self._end = max(self._end, frame.time - self._begin + seconds)

    def check(self, name: str) -> None:
        """Raise UnreadableImage if many of the declared frames are missing."""
        measures = ((self._count, self._frames, 1), (self._end, self._seconds, self._frame_seconds))
        short = [
            declared - found > max(MISSING_FRAMES * frame, MISSING_SHARE * declared)
            for found, declared, frame in measures
            if declared is not None
        ]
        if short and all(short):
            declared = f"{self._frames}" if self._frames is not None else f"{self._seconds:.3g} seconds"
            raise UnreadableImage(f"{name}: the video is cut off after {self._count} frames of {declared}")


def _declared_seconds(container: Any, stream: Any) -> float | None:
    """The declared duration of the frames. The container's own duration also covers its sound."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1:
        return float(container.duration) / _CONTAINER_SECOND
    return None


def _pages(source: str | bytes, max_pixels: int) -> Iterator[tuple[int, float | None, Any]]:
    number, seconds, name = 0, 0.0, source_name(source)
    try:
        with _opened(source) as image:
            _check_size(name, *image.size, max_pixels)
            timed = image.format not in _PAGED
            for page in ImageSequence.Iterator(image):
                _check_size(name, *page.size, max_pixels)
                page.load()  # some formats know a page's duration only after this
                yield number, seconds if timed else None, page
                seconds += page.info.get("duration", 0) / 1000
                number += 1
    except InputError:
        raise
    except (MemoryError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageTooLarge(f"{name}: frame {number} is too large ({error or 'not enough memory'})") from error
    except Exception as error:  # decoders of damaged files raise anything
        raise UnreadableImage(
            f"{name}: the clip breaks off after {number} frames ({error or type(error).__name__})"
        ) from error


def _upright(picture: Any) -> RGBFrame:
    """RGB pixels of a page, or of a video frame turned by its metadata."""
    if isinstance(picture, Image.Image):
        return np.asarray(to_rgb(picture.copy()))
    pixels: RGBFrame = picture.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(getattr(picture, "rotation", 0) / 90)))


def read_file_of_frame(path: str, *, max_pixels: int) -> PackedPixels:
    """The pixels of a frame that is its own file. Raises InputError."""
    return pack(np.asarray(read_frame(path, max_pixels=max_pixels).image))


class FrameReader:
    """Reads frames of clips by number. If the numbers rise, each clip is decoded once."""

    def __init__(self) -> None:
        self._path = ""
        self._next = 0
        self._frames: Iterator[PackedFrame] = iter(())

    def read(self, path: str, number: int) -> PackedPixels:
        """The pixels of a frame. Raises UnreadableImage if there is no such frame."""
        if path != self._path or number < self._next:
            if not may_hold_frames(path):
                raise UnreadableImage(f"{path} is missing or not a clip")
            self._path, self._frames = path, frames_of(path, ClipOptions())
        for frame in self._frames:
            self._next = frame.number + 1
            if frame.number == number:
                return frame.pixels
        raise UnreadableImage(f"{path} has no frame {number}")


def check_options(options: ClipOptions) -> ClipOptions:
    """Return the options if they are valid. Raises UsageError."""
    every, start, end, fps = options
    check_whole("every", every, 1)
    for name, value in (("start", start), ("end", end), ("fps", fps)):
        if value is not None and not (isinstance(value, int | float) and 0 <= value < inf):
            raise UsageError(f"{name} is {value!r}, not a number from 0")
    if fps == 0:
        raise UsageError("fps is 0: no frame would be taken")
    if end is not None and end <= start:
        raise UsageError(f"the end ({end:g} s) is not after the start ({start:g} s)")
    return options


def check_clip(source: str | bytes) -> None:
    """Raise InputError if a file cannot be opened, MissingExtra if it is a video and PyAV is not installed."""
    if isinstance(source, str) and is_remote(source):
        raise UnsupportedImage(f"{source}: clips are read from local files only (download it first)")
    if isinstance(source, str):
        try:
            with open(source, "rb"):
                pass
        except OSError as error:
            raise failed_to_open(source, error) from error
    if is_video(source):
        import_extra("av", extra="video")

"""Writes annotated clips: videos with PyAV (extra `video`), GIFs with Pillow."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from typing import IO, Any

import numpy as np
from PIL import Image
from PIL.GifImagePlugin import getdata

from posecli.extras import import_extra
from posecli.inputs.clips import FFMPEG_OPTIONS, ffmpeg_place, is_video

#: Milliseconds for which a page of a GIF is shown: the least, and the default if frames have no times.
LEAST_MILLISECONDS, UNTIMED_MILLISECONDS = 20, 100
_REPEAT_FOR_EVER = b"!\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"


class _GifWriter:
    """Writes a GIF page by page, with only one page in memory."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._page: Image.Image | None = None
        self._time: float | None = None
        self._milliseconds = UNTIMED_MILLISECONDS

    def add(self, picture: Image.Image, time: float | None) -> None:
        """Append a page. Its time determines the duration of the page before, which is written now."""
        if self._page is None:
            size = struct.pack("<HH", picture.width, picture.height)
            self._file.write(b"GIF89a" + size + b"\0\0\0" + _REPEAT_FOR_EVER)
        else:
            self._write_page(time)
        self._page, self._time = picture.convert("P", palette=Image.Palette.ADAPTIVE), time

    def close(self) -> None:
        """Write the last page, with the duration of the page before, and the trailer."""
        if self._page is not None:
            self._write_page(None)
            self._file.write(b";")

    def _write_page(self, until: float | None) -> None:
        assert self._page is not None
        if until is not None and self._time is not None:
            self._milliseconds = max(round(1000 * (until - self._time)), LEAST_MILLISECONDS)
        for data in getdata(self._page, duration=self._milliseconds, include_color_table=True):
            self._file.write(data)


class ClipWriter:
    """Writes an annotated clip with the times of its frames: MP4 (H.264, or MPEG-4 if PyAV has no H.264) or GIF.

    file: the output. kind: mp4 or gif. source: the original clip, for its sound and frame rate.
    """

    def __init__(self, file: IO[bytes], kind: str, source: str) -> None:
        self._file, self._kind, self._source = file, kind, source
        self._gif = _GifWriter(file)
        self._container: Any = None

    def add(self, picture: Image.Image, time: float | None) -> None:
        """Append a frame. All frames must have the same size."""
        if self._kind == "gif":
            self._gif.add(picture, time)
            return
        if self._container is None:
            self._open(picture)
        self._encode(picture, time)

    def close(self) -> None:
        """Write the remaining data. If no frame was added, nothing is written."""
        self._gif.close()
        if self._container is not None:
            self._mux(self._stream.encode(None))
            self._copy_sound()
            self._container.close()

    def _open(self, picture: Image.Image) -> None:
        av = import_extra("av", extra="video")
        self._av = av
        self._container = av.open(self._file, "w", format="mp4")
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        # Fast rather than small: the encoder shares the cores with the network.
        options = {"preset": "ultrafast", "crf": "23"} if codec == "libx264" else {"qscale": "3"}
        self._stream = self._container.add_stream(codec, rate=self._rate(), options=options)
        # Chroma has half the resolution, so sides must be even.
        self._stream.width, self._stream.height = picture.width // 2 * 2, picture.height // 2 * 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, 90_000)
        self._sound = self._sound_stream()
        self._last = -1

    def _rate(self) -> Any:
        if is_video(self._source):
            with self._av.open(ffmpeg_place(self._source), options=FFMPEG_OPTIONS) as source:
                return source.streams.video[0].average_rate or 25
        return 10

    def _sound_stream(self) -> Any:
        """A stream for the source's sound, which is copied without encoding. None if an MP4 cannot hold it."""
        self._source_container = None
        if not is_video(self._source):
            return None
        source = self._av.open(ffmpeg_place(self._source), options=FFMPEG_OPTIONS)
        if not source.streams.audio or source.streams.audio[0].codec_context.name not in ("aac", "mp3", "ac3", "alac"):
            source.close()
            return None
        self._source_container = source
        return self._container.add_stream_from_template(source.streams.audio[0])

    def _encode(self, picture: Image.Image, time: float | None) -> None:
        pixels = np.asarray(picture.convert("RGB"))[: self._stream.height, : self._stream.width]
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        stamp = round((time if time is not None else (self._last + 1) / 10) * 90_000)
        self._last = max(stamp, self._last + 1)
        frame.pts, frame.time_base = self._last, self._stream.codec_context.time_base
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: Iterable[Any]) -> None:
        for packet in packets:
            self._container.mux(packet)

    def _copy_sound(self) -> None:
        if self._source_container is None:
            return
        with self._source_container as source:
            for packet in source.demux(source.streams.audio[0]):
                if packet.dts is not None:
                    packet.stream = self._sound
                    self._container.mux(packet)

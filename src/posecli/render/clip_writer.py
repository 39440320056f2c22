"""Writing annotated clips: videos with PyAV (extra `video`), GIFs with Pillow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction
from typing import IO, Any

import numpy as np
from PIL import Image

from posecli.extras import need
from posecli.inputs.clips import FFMPEG_OPTIONS, ffmpeg_place, is_video


class ClipWriter:
    """An annotated clip: MP4 (H.264 where the build has it, else MPEG-4) or GIF, at the times of its frames.

    file: where to write. kind: mp4 or gif. source: the clip that it is made from, for its sound and frame rate.
    """

    def __init__(self, file: IO[bytes], kind: str, source: str) -> None:
        self._file, self._kind, self._source = file, kind, source
        self._pages: list[tuple[Image.Image, float | None]] = []
        self._container: Any = None

    def add(self, picture: Image.Image, time: float | None) -> None:
        """Append a frame; all must be of one size."""
        if self._kind == "gif":
            self._pages.append((picture.convert("P", palette=Image.Palette.ADAPTIVE), time))
            return
        if self._container is None:
            self._open(picture)
        self._encode(picture, time)

    def close(self) -> None:
        """Write what is left. Nothing was added: nothing is written."""
        if self._pages:
            self._save_gif()
        if self._container is not None:
            self._mux(self._stream.encode(None))
            self._copy_sound()
            self._container.close()

    def _save_gif(self) -> None:
        times = [time if time is not None else index / 10 for index, (_, time) in enumerate(self._pages)]
        steps = [max(round(1000 * (later - earlier)), 20) for earlier, later in itertools.pairwise(times)]
        first, *others = [page for page, _ in self._pages]
        durations = [*steps, steps[-1] if steps else 100]
        first.save(self._file, "GIF", save_all=True, append_images=others, duration=durations, loop=0)

    def _open(self, picture: Image.Image) -> None:
        av = need("av", extra="video")
        self._av = av
        self._container = av.open(self._file, "w", format="mp4")
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        # Quick rather than small: the encoder shares the processors with the network.
        options = {"preset": "ultrafast", "crf": "23"} if codec == "libx264" else {"qscale": "3"}
        self._stream = self._container.add_stream(codec, rate=self._rate(), options=options)
        # Chroma is stored at half the size: sides must be even.
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
        """A stream for the source's sound, copied as it is where an MP4 can hold it."""
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

"""Draws and writes one annotated clip: the file appears complete or not at all."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from posecli.files.atomic import atomic_file
from posecli.inputs.clips import unpack
from posecli.render.clip_writer import ClipWriter
from posecli.types import Drawing, ImageInput, Pose

if TYPE_CHECKING:
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from typing import IO

#: Most frames that wait to be drawn, and most bytes of their pixels.
FRAMES_AHEAD, FRAME_BYTES_AHEAD = 8, 24 << 20
#: Seconds for which a face stays hidden after its person was last found.
HIDDEN_SECONDS = 0.5


class ClipDrawing:
    """Draws people over the frames of a clip and writes the clip. Drawing and encoding have threads of their own, so
    that the thread that feeds the workers is not slowed down.

    name: the source clip. path: the annotated clip. kind: mp4 or gif.
    """

    def __init__(self, name: str, path: str, kind: str, drawing: Drawing) -> None:
        from concurrent.futures import ThreadPoolExecutor  # slow to import, only needed here

        self.name = name
        self._options = drawing
        self._before: deque[tuple[float, tuple[Pose, ...]]] = deque()  # times and people of the last frames
        self._size: tuple[int, int] | None = None  # of the first drawn frame; all have this size
        self._stack = ExitStack()
        file: AbstractContextManager[IO[bytes]] = atomic_file(path)
        self._drawing, self._encoding = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._ahead: deque[Future[None]] = deque()
        self._writer = ClipWriter(self._stack.enter_context(file), kind, name)

    def add(self, image: ImageInput, poses: tuple[Pose, ...]) -> None:
        """Queue the next frame for drawing."""
        drawn = self._drawing.submit(self._draw, image, poses)
        self._ahead.append(self._encoding.submit(lambda: self._writer.add(drawn.result(), image.time)))
        size = len(image.pixels[2]) if image.pixels is not None else 0
        while len(self._ahead) > max(min(FRAMES_AHEAD, FRAME_BYTES_AHEAD // max(size, 1)), 1):
            self._ahead.popleft().result()

    def _draw(self, image: ImageInput, poses: tuple[Pose, ...]) -> Image.Image:
        from posecli.render.draw import draw

        assert image.pixels is not None
        picture = Image.fromarray(unpack(image.pixels))
        missed = self._missed(image.time, poses) if self._options.faces is not None else []
        drawn = draw(picture, poses, self._options, missed=missed)
        self._size = self._size or drawn.size
        return drawn if drawn.size == self._size else ImageOps.pad(drawn, self._size)

    def _missed(self, time: float | None, poses: tuple[Pose, ...]) -> list[Pose]:
        """People of the last frames who are not found in this one. None for pages: they have no times."""
        from posecli.render.faces import missed_people

        if time is None:
            return []
        while self._before and time - self._before[0][0] > HIDDEN_SECONDS:
            self._before.popleft()
        missed = missed_people((pose for _, earlier in self._before for pose in earlier), poses)
        self._before.append((time, poses))
        return missed

    def finish(self) -> None:
        """Write the remaining frames and publish the file."""
        with self._stack, self._drawing, self._encoding:
            while self._ahead:
                self._ahead.popleft().result()
            self._writer.close()

    def abandon(self, error: BaseException) -> None:
        """Stop and delete the unfinished file."""
        for thread in (self._drawing, self._encoding):
            thread.shutdown(cancel_futures=True)
        self._stack.__exit__(type(error), error, error.__traceback__)

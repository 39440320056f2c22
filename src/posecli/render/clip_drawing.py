"""One annotated clip while it is being written: it appears whole, or not at all."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from posecli.files.atomic import whole_file
from posecli.inputs.clips import unpack
from posecli.render.clip_writer import ClipWriter
from posecli.types import Drawing, ImageInput, Pose

if TYPE_CHECKING:
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from typing import IO

#: Frames that may wait to be drawn, and bytes of their pixels.
FRAMES_AHEAD, FRAME_BYTES_AHEAD = 8, 24 << 20
#: Seconds for which a face stays hidden where its person is not found any more.
HIDDEN_SECONDS = 0.5


class ClipDrawing:
    """Frames with their people drawn over them, as a clip. Drawing and encoding run in threads of their own, beside
    the one that feeds the workers.

    name: the clip that the frames are from. path, kind: where the annotated one goes, and as what (mp4 or gif).
    """

    def __init__(self, name: str, path: str, kind: str, drawing: Drawing) -> None:
        from concurrent.futures import ThreadPoolExecutor  # only who draws a clip pays for loading it

        self.name = name
        self._look = drawing
        self._before: deque[tuple[float, tuple[Pose, ...]]] = deque()  # people of the last frames, with their times
        self._size: tuple[int, int] | None = None  # of the first frame, and so of all
        self._stack = ExitStack()
        whole: AbstractContextManager[IO[bytes]] = whole_file(path)
        self._drawing, self._encoding = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._ahead: deque[Future[None]] = deque()
        self._writer = ClipWriter(self._stack.enter_context(whole), kind, name)

    def add(self, image: ImageInput, poses: tuple[Pose, ...]) -> None:
        """Draw the next frame, soon."""
        drawn = self._drawing.submit(self._draw, image, poses)
        self._ahead.append(self._encoding.submit(lambda: self._writer.add(drawn.result(), image.time)))
        size = len(image.pixels[2]) if image.pixels is not None else 0
        while len(self._ahead) > max(min(FRAMES_AHEAD, FRAME_BYTES_AHEAD // max(size, 1)), 1):
            self._ahead.popleft().result()

    def _draw(self, image: ImageInput, poses: tuple[Pose, ...]) -> Image.Image:
        from posecli.render.draw import draw

        assert image.pixels is not None
        picture = Image.fromarray(unpack(image.pixels))
        missed = self._missed(image.time, poses) if self._look.faces is not None else []
        drawn = draw(picture, poses, self._look, missed=missed)
        self._size = self._size or drawn.size
        return drawn if drawn.size == self._size else ImageOps.pad(drawn, self._size)

    def _missed(self, time: float | None, poses: tuple[Pose, ...]) -> list[Pose]:
        """People of the last frames who are not found in this one. Pages have no times, and nobody stays on them."""
        from posecli.render.faces import unseen

        if time is None:
            return []
        while self._before and time - self._before[0][0] > HIDDEN_SECONDS:
            self._before.popleft()
        missed = unseen((pose for _, earlier in self._before for pose in earlier), poses)
        self._before.append((time, poses))
        return missed

    def finish(self) -> None:
        """Write what is left; the file appears."""
        with self._stack, self._drawing, self._encoding:
            while self._ahead:
                self._ahead.popleft().result()
            self._writer.close()

    def abandon(self, error: BaseException) -> None:
        """Leave nothing behind."""
        for thread in (self._drawing, self._encoding):
            thread.shutdown(cancel_futures=True)
        self._stack.__exit__(type(error), error, error.__traceback__)

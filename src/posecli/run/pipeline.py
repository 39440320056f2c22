"""What is done to records in the order of the inputs, behind the workers: tracking, smoothing, annotated clips."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from posecli.inputs.clips import frame_output, is_video, unpack
from posecli.records.formats.base import output_path, whole_file
from posecli.render.clip_writer import ClipWriter
from posecli.run.worker import DataOutput
from posecli.types import ImageInput, Pose, Record

if TYPE_CHECKING:
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from typing import IO

#: Of annotated clips that are named.
CLIP_EXTENSIONS = (".mp4", ".gif")
#: Frames that may wait to be drawn.
FRAMES_AHEAD = 8
Step = Callable[[Record], Record]


class ClipOutput(NamedTuple):
    """Annotated clips: into a folder (a/x.mp4 gives a/x.mp4.mp4), or (`is_file`) the one clip at `path`."""

    path: str
    is_file: bool
    extras: tuple[str, ...] = ()
    background: str = "picture"

    def kind_of(self, name: str) -> str:
        """mp4 or gif: what the file is called, else videos become videos and other clips GIFs."""
        named = os.path.splitext(self.path)[1].lower() if self.is_file else ""
        if named in CLIP_EXTENSIONS:
            return named[1:]
        return "mp4" if is_video(name) else "gif"

    def path_for(self, name: str, output: str) -> str:
        """Where the annotated clip of an input goes."""
        return self.path if self.is_file else output_path(self.path, output, "." + self.kind_of(name))


class Sequence:
    """Takes records through steps in their order, and writes what needs them so.

    steps: each makes a record into the next. data: a file an image or frame, written behind the steps. clips:
    annotated clips, which need the frames' pixels: they are held from `watch` until their record comes.
    finished: poses of frames that an earlier run has done, by key, for clips that must be drawn whole.
    """

    def __init__(
        self,
        steps: Iterable[Step] = (),
        *,
        data: DataOutput | None = None,
        clips: ClipOutput | None = None,
        finished: Mapping[str, tuple[Pose, ...]] | None = None,
    ) -> None:
        self._steps = tuple(steps)
        self._data = data
        self._clips = clips
        self._finished = finished or {}
        self._waiting: dict[str, _Waiting] = {}  # in the order of the inputs
        self._drawing: _Drawing | None = None

    def watch(self, images: Iterable[ImageInput]) -> Iterator[ImageInput]:
        """Inputs on their way to the workers."""
        for image in images:
            self.expect(image)
            yield image

    def expect(self, image: ImageInput) -> None:
        """Note an input whose record will come."""
        draws = self._clips is not None and image.frame is not None
        if draws or self._data is not None:
            self._waiting[image.key] = _Waiting(image if draws else image._replace(pixels=None, data=None))

    def skip(self, image: ImageInput) -> None:
        """A frame that an earlier run has finished: drawn, where the clip has still to be."""
        if self._clips is not None and image.key in self._finished:
            self._waiting[image.key] = _Waiting(image, done=True, poses=self._finished[image.key])
            self._draw_what_is_next()

    def follow(self, records: Iterable[Record]) -> Iterator[Record]:
        """Records on their way to the output."""
        try:
            for record in records:
                yield self._step(record)
            self._finish_clip()
        except BaseException as error:
            if self._drawing is not None:
                self._drawing.abandon(error)
            raise

    def _step(self, record: Record) -> Record:
        for step in self._steps:
            record = step(record)
        waiting = self._waiting.get(record.key)
        if waiting is not None:
            if self._data is not None:
                self._data.write(record, waiting.image)
            self._waiting[record.key] = waiting._replace(done=True, poses=record.poses if record.ok else None)
            self._draw_what_is_next()
        return record

    def _draw_what_is_next(self) -> None:
        """Frames are drawn in their order, each as soon as all before it are."""
        while self._waiting:
            key, waiting = next(iter(self._waiting.items()))
            if not waiting.done:
                return
            del self._waiting[key]
            if self._clips is not None and waiting.poses is not None and waiting.image.pixels is not None:
                self._draw(self._clips, waiting.image, waiting.poses)

    def _draw(self, clips: ClipOutput, image: ImageInput, poses: tuple[Pose, ...]) -> None:
        if self._drawing is None or self._drawing.name != image.name:
            self._finish_clip()
            self._drawing = _Drawing(clips, image)
        self._drawing.add(image, poses)

    def _finish_clip(self) -> None:
        if self._drawing is not None:
            drawing, self._drawing = self._drawing, None
            drawing.finish()


class _Waiting(NamedTuple):
    """An input whose record has not come, or not been drawn. poses: None where there is nothing to draw on."""

    image: ImageInput
    done: bool = False
    poses: tuple[Pose, ...] | None = None


class _Drawing:
    """One annotated clip while it is being written: it appears whole, or not at all. Drawing and encoding run in
    threads of their own, beside the one that feeds the workers."""

    def __init__(self, output: ClipOutput, image: ImageInput) -> None:
        from concurrent.futures import ThreadPoolExecutor  # only who draws a clip pays for loading it

        self.name = image.name
        self._output = output
        path = output.path_for(image.name, clip_output_name(image))
        self._stack = ExitStack()
        whole: AbstractContextManager[IO[bytes]] = whole_file(path)
        self._drawing, self._encoding = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._ahead: deque[Future[None]] = deque()
        self._writer = ClipWriter(self._stack.enter_context(whole), output.kind_of(image.name), image.name)

    def add(self, image: ImageInput, poses: tuple[Pose, ...]) -> None:
        """Draw the next frame, soon."""
        drawn = self._drawing.submit(self._draw, image, poses)
        self._ahead.append(self._encoding.submit(lambda: self._writer.add(drawn.result(), image.time)))
        while len(self._ahead) > FRAMES_AHEAD:
            self._ahead.popleft().result()

    def _draw(self, image: ImageInput, poses: tuple[Pose, ...]) -> Image.Image:
        from posecli.render.draw import draw_poses

        assert image.pixels is not None
        picture = Image.fromarray(unpack(image.pixels))
        return draw_poses(picture, poses, extras=self._output.extras, background=self._output.background)

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


def clip_output_name(image: ImageInput) -> str:
    """The name that outputs of a whole clip are named after: a frame's without the frame."""
    return image.output.removesuffix(frame_output("", image.frame)) if image.frame is not None else image.output

"""From inputs to final records, for a whole run and for a shard:

    inputs → clips are split into frames → finished inputs are skipped → inference → steps over time → files and clips

Inference may run in any order. After it, records are in the order of the inputs, and every step is a pure function of
them. Therefore a run that resumes an earlier run, and replays its records, has the same result as an uninterrupted run.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from posecli.errors import InputError
from posecli.inputs.clip_decoder import ReadLimits, expand
from posecli.inputs.clips import ClipOptions, read_file_of_frame
from posecli.poses.steps import finish_steps, steps_over_time, take_through
from posecli.run.destinations import AnnotatedClips, Destinations
from posecli.run.progress import InputState, Progress
from posecli.types import ImageInput, Pose, Record, Settings

if TYPE_CHECKING:
    from posecli.render.clip_drawing import ClipDrawing
    from posecli.run.engines import Estimate


class Skipped(Protocol):
    """Is called for inputs or frames for which nothing is left to do. whole: the clip ends with them."""

    def __call__(self, name: str, count: int = 1, *, whole: bool = False) -> None: ...


class Work(NamedTuple):
    """What is done with every input, in any process: plain data.

    timeout: seconds for one picture or frame.
    max_memory: bytes of the process that decodes clips; None: no limit.
    """

    settings: Settings
    clip_options: ClipOptions
    destinations: Destinations
    timeout: float
    max_memory: int | None = None

    @property
    def read_limits(self) -> ReadLimits:
        """The limits of the process that decodes clips."""
        return ReadLimits(self.timeout, self.settings.max_pixels, self.max_memory)

    @property
    def has_steps(self) -> bool:
        """Whether there are steps over time after inference."""
        return self.settings.track

    @property
    def steps_choose(self) -> bool:
        """Whether the steps over time leave people out."""
        return self.settings.track and self.settings.person is not None


class Done(NamedTuple):
    """A finished input.

    record: the final record. raw: the record after inference. replayed: raw is from an earlier run.
    failure: why a file of the input could not be written, although its record is known.
    """

    record: Record
    raw: Record
    replayed: bool = False
    failure: Record | None = None


class _Expected(NamedTuple):
    """An input whose record has not come yet; they come in the order of the inputs. draws: see `_Held`."""

    image: ImageInput
    state: InputState
    draws: bool = False


class _Held(NamedTuple):
    """An input whose steps over time are not finished.

    raw, replayed, failure: see `Done`. draws: it is a frame of a clip that is drawn.
    """

    image: ImageInput
    raw: Record
    replayed: bool
    failure: Record | None
    draws: bool


class Pipeline:
    """Turns inputs into final records. An instance is used once.

    skipped: called for inputs for which nothing is left to do: name, number of frames, whether the clip ends there.
    """

    def __init__(self, work: Work, progress: Progress, *, skipped: Skipped) -> None:
        self._work = work
        self._progress = progress
        self._skipped = skipped
        self._steps = steps_over_time(work.settings)
        self._expected: deque[_Expected] = deque()
        self._held: deque[_Held] = deque()
        self._clips = DrawnClips(work.destinations.clips)
        self._draws: dict[str, bool] = {}

    def records(self, images: Iterable[ImageInput], estimate: Estimate) -> Iterator[Done]:
        """Yield the finished inputs in order, after their files are written. Raises FatalError, UsageError."""
        unfinished = self._unfinished(images)
        try:
            # The engine starts only if it is needed: replayed records at the beginning do not pass through it, except
            # the last one, since the result for a frame may depend on the frame before.
            last: ImageInput | None = None
            for image in unfinished:
                if image.recorded is None or self._expected[-1].state.files_missing:
                    before = () if last is None else (last,)
                    last = None
                    for raw in estimate(itertools.chain(before, (image,), unfinished)):
                        yield from self._finish(raw)
                    break
                if last is not None and last.recorded is not None:
                    yield from self._finish(last.recorded)
                last = image
                if image.ends_group:  # do not wait for the next input, which may come much later
                    yield from self._finish(image.recorded)
                    last = None
            if last is not None and last.recorded is not None:
                yield from self._finish(last.recorded)
            yield from self._finish_steps()
            self._clips.finish()
        except BaseException as error:
            self._clips.abandon(error)
            raise

    def _unfinished(self, images: Iterable[ImageInput]) -> Iterator[ImageInput]:
        """Inputs for which something is left to do, with their records of an earlier run."""
        settings, clips = self._work.settings, self._work.destinations.clips
        frames = expand(
            images,
            self._work.clip_options,
            limits=self._work.read_limits,
            grouped=settings.track,  # second passes use the people of the frame before
            region=settings.region,
            is_finished=self._is_clip_finished,
        )
        for image in frames:
            state = self._progress.of(image)
            if state.complete:
                self._skipped(image.name)
                continue
            if image.frame is None:
                self._work.destinations.discard_earlier(image, picture=True, clip=image.failure is not None)
            draws = clips is not None and image.frame is not None and self._must_draw(image)
            bare = image._replace(data=None, pixels=image.pixels if draws else None)
            self._expected.append(_Expected(bare, state, draws))
            if state.record is not None:
                image = image._replace(recorded=state.record, pixels=None)  # noqa: PLW2901
            yield image

    def _is_clip_finished(self, clip: ImageInput, frames: Iterator[ImageInput]) -> bool:
        count = self._progress.examine_clip(frames)
        if count is not None:
            self._skipped(clip.name, count, whole=True)
        else:
            self._work.destinations.discard_earlier(clip, picture=False, clip=True)
        return count is not None

    def _must_draw(self, image: ImageInput) -> bool:
        """Whether the clip of a frame is drawn. Decided once per clip, since its file exists after it is drawn."""
        if image.name not in self._draws:
            self._draws = {image.name: self._progress.must_draw_clip(image)}
        return self._draws[image.name]

    def _finish(self, raw: Record) -> Iterator[Done]:
        """Accept the next record, in the order of the inputs; yield the inputs that are finished now."""
        image, state, draws = self._expected.popleft()
        failure = None
        if state.record is not None:
            failure, raw = None if raw.ok else raw, state.record
        if state.is_final:
            yield from self._finish_steps()
        self._held.append(_Held(image, raw, state.record is not None, failure, draws))
        yield from map(self._write, (raw,) if state.is_final else take_through(self._steps, raw))
        if image.ends_clip:  # do not wait for the next input, which may come much later
            yield from self._finish_steps()
            self._clips.finish()

    def _finish_steps(self) -> Iterator[Done]:
        """Finish all records that are held by steps over time."""
        yield from map(self._write, finish_steps(self._steps))

    def _write(self, record: Record) -> Done:
        """Write the files of the first held input."""
        image, raw, replayed, failure, draws = self._held.popleft()
        writers = (self._write_file, self._draw) if draws else (self._write_file,)
        failure = write_files(writers, record, image) or failure
        return Done(record, raw, replayed, failure)

    def _write_file(self, record: Record, image: ImageInput) -> None:
        files = self._work.destinations.image_files
        if files is not None and self._work.has_steps:  # without steps, the worker has written it
            files.write(record, image)

    def _draw(self, record: Record, image: ImageInput) -> None:
        """Draw a frame in its clip. Failed frames are left out."""
        if record.ok and image.file is not None:
            pixels = read_file_of_frame(image.file, max_pixels=self._work.settings.max_pixels)
            image = image._replace(pixels=pixels)
        if record.ok:
            self._clips.add(image, record.poses, image.name)


class DrawnClips:
    """Draws annotated clips, one after the other. clips: their destination; None: no clips are drawn."""

    def __init__(self, clips: AnnotatedClips | None) -> None:
        self._clips = clips
        self._source: str | None = None  # of the current clip, even if its file cannot exist
        self._drawing: ClipDrawing | None = None

    def wants(self, source: str) -> bool:
        """Whether frames of a source are drawn. False if the file of the clip cannot exist, which was reported."""
        return self._clips is not None and (source != self._source or self._drawing is not None)

    def add(self, image: ImageInput, poses: tuple[Pose, ...], source: str) -> None:
        """Draw the next frame, in the clip made from a source.

        Raises InputError for the first frame of a clip whose file cannot exist; OutputError.
        """
        if self._clips is None:
            return
        if source != self._source:
            self.finish()
            self._source = source
            self._drawing = self._clips.begin(image, source)
        if self._drawing is not None:
            self._drawing.add(image, poses)

    def finish(self) -> None:
        """Finish the current clip, if there is one: its file appears. Raises OutputError."""
        if self._drawing is not None:
            drawing, self._drawing = self._drawing, None
            drawing.finish()
            self._source = None

    def abandon(self, error: BaseException) -> None:
        """Discard the current clip, if there is one."""
        if self._drawing is not None:
            self._drawing.abandon(error)


def write_files(
    writers: Iterable[Callable[[Record, ImageInput], None]], record: Record, image: ImageInput
) -> Record | None:
    """Write the files of one input. Return a failed record if one of them failed, or None. Raises OutputError."""
    failure = None
    for write in writers:
        failure = _failure_of(write, record, image) or failure
    return failure


def _failure_of(write: Callable[[Record, ImageInput], None], record: Record, image: ImageInput) -> Record | None:
    try:
        write(record, image)
    except InputError as error:
        return image.failed(*error.reason)
    return None

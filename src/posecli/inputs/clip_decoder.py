"""Expands clips into their frames, so that all workers share the work.

A child process decodes the clips, one frame ahead of the consumer. If the decoder crashes or hangs, only that clip
fails, not the run. The frames of a broken clip up to the failure are used. One input then stands for the failure.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any, ClassVar, NamedTuple

from posecli.errors import TIMED_OUT, WORKER_CRASHED, InputError, PosecliError
from posecli.files.child_process import Child
from posecli.files.memory import limit_memory
from posecli.inputs.clips import (
    ClipOptions,
    PackedFrame,
    frame_count,
    frame_output,
    frames_of,
    holds_frames,
    may_hold_frames,
    source_name,
)
from posecli.inputs.folder_clips import clips_apart, frames_of_folder
from posecli.inputs.opening import check_region, limit_pillow
from posecli.region import Region
from posecli.types import ImageInput, Settings

#: Longest group of frames, in seconds and in frames: within it people move little.
GROUP_SECONDS, LONGEST_GROUP = 0.2, 8
#: Most bytes of pixels in a group, which is in memory at once: eight frames of 4K video take 200 MB.
GROUP_BYTES = 256 << 20
#: Seconds between two checks whether a thread has ended.
_POLL_SECONDS = 0.05


class DecodingFailed(InputError):
    """The process that decodes clips crashed or hung."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ReadLimits(NamedTuple):
    """Limits of the decoder. timeout: seconds for one frame; max_pixels: of one frame; max_memory: bytes, None for no
    limit."""

    timeout: float = 60.0
    max_pixels: int = Settings.max_pixels
    max_memory: int | None = None


def expand(
    images: Iterable[ImageInput],
    options: ClipOptions,
    *,
    limits: ReadLimits,
    grouped: bool = False,
    region: Region | None = None,
    is_finished: Callable[[ImageInput, Iterator[ImageInput]], bool] | None = None,
) -> Iterator[ImageInput]:
    """Yield the inputs, with each clip replaced by its frames. Frames are decoded on demand.

    grouped: frames come in groups, see `ImageInput`.
    region: the region to search. A clip ends with an error at a frame that does not overlap it.
    is_finished: called with each clip and its frames, all of which it reads. If it returns True, the clip is skipped.
    """
    decoder = ClipDecoder(limits)
    try:
        for image in _separate_clips(images, decoder):
            try:
                is_clip = bool(image.members) or decoder.holds_frames(source_of(image))
            except InputError as error:
                yield image._replace(failure=error.reason)
                continue
            if not is_clip:
                yield image
                continue
            frames = partial(_frames, image, decoder, options, grouped=grouped, region=region)
            if is_finished is None or not is_finished(image, frames()):
                yield from _with_end(frames())
    finally:
        decoder.close()


def is_clip(path: str) -> bool:
    """Whether a local file holds frames rather than one picture. False if there is no such file or the decoder
    fails."""
    if not may_hold_frames(path):
        return False
    decoder = ClipDecoder(ReadLimits())
    try:
        return decoder.holds_frames(path)
    except InputError:
        return False
    finally:
        decoder.keep_for_next()


def source_of(image: ImageInput) -> str | bytes:
    """What to read an input from: its bytes or its path."""
    return image.data if image.data is not None else image.name


def _frames(
    image: ImageInput, decoder: ClipDecoder, options: ClipOptions, *, grouped: bool, region: Region | None
) -> Iterator[ImageInput]:
    if not image.members:
        yield from frame_inputs(image, decoder.frames(source_of(image), options), grouped=grouped, region=region)
        return
    groups = Groups()
    for still in frames_of_folder(image, options):
        yield still._replace(group=groups.place(still.time, 0) if grouped and still.failure is None else None)


def frame_inputs(
    clip: ImageInput, frames: Iterable[PackedFrame], *, grouped: bool, region: Region | None
) -> Iterator[ImageInput]:
    """Turn the decoded frames of a clip into inputs. If the clip breaks off, the last input is its error.

    grouped, region: see `expand`.
    """
    last_number, groups = -1, Groups()
    try:
        for frame in frames:
            width, height, data = frame.pixels
            check_region(source_name(source_of(clip)), region, width, height)
            last_number = frame.number
            yield clip._replace(
                output=frame_output(clip.output, frame.number),
                data=None,
                frame=frame.number,
                time=None if frame.time is None else round(frame.time, 6),  # as records have it
                pixels=frame.pixels,
                group=groups.place(frame.time, len(data)) if grouped else None,
            )
    except InputError as error:
        # The error belongs to the clip, not to a frame: an earlier run may have finished the next frame.
        output = frame_output(clip.output, last_number + 1)
        yield clip._replace(output=output, data=None, failure=error.reason)


def _with_end(frames: Iterable[ImageInput]) -> Iterator[ImageInput]:
    """Yield the frames of a clip, the last one marked `ends_clip`. Each is held until the next arrives."""
    held: ImageInput | None = None
    for frame in frames:
        if held is not None:
            yield held
        held = frame
    if held is not None:
        yield held._replace(ends_clip=True)


def _separate_clips(images: Iterable[ImageInput], decoder: ClipDecoder) -> Iterator[ImageInput]:
    """Yield the inputs. Folders that are clips keep only their stills; clips in them become inputs of their own."""

    def holds_frames(member: ImageInput) -> bool:
        try:
            return decoder.holds_frames(member.name)
        except InputError:  # its own record reports the error
            return False

    for image in images:
        yield from clips_apart(image, holds_frames)


class Groups:
    """Numbers the groups of a clip's frames."""

    def __init__(self) -> None:
        self._number = self._length = 0
        self._start: float | None = None

    def place(self, time: float | None, size: int) -> int | None:
        """The group of the next frame, or None if it has no time. size: bytes of its pixels."""
        if time is None:
            return None
        longest = min(LONGEST_GROUP, GROUP_BYTES // max(size, 1))
        begins = self._start is None or time - self._start >= GROUP_SECONDS - 1e-6 or self._length >= longest
        if begins:
            self._number, self._length, self._start = self._number + 1, 0, time
        self._length += 1
        return self._number


class ClipDecoder:
    """A child process that inspects and decodes clips. It starts with the first clip, and again after it was ended."""

    #: A process that is not in use, and the lock for taking it.
    _idle: ClassVar[Child | None] = None
    _idle_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, limits: ReadLimits) -> None:
        self._limits = limits
        self._child: Child | None = None

    def holds_frames(self, source: str | bytes) -> bool:
        """Whether a file, or its bytes, hold frames rather than one picture. The process is asked only if the first
        bytes do not tell. Raises InputError if it fails."""
        if not may_hold_frames(source):
            return False
        with self._exchange(_Request(source, None, self._limits)) as child:
            return bool(self._receive(child, source))

    def frame_count(self, source: str | bytes, options: ClipOptions) -> int | None:
        """The number of frames of a clip that the options choose, by its container; None if the container does not say.
        No frame is decoded. Raises InputError if the process fails."""
        with self._exchange(_Request(source, options, self._limits, counts=True)) as child:
            count: int | None = self._receive(child, source)
            return count

    def frames(self, source: str | bytes, options: ClipOptions) -> Iterator[PackedFrame]:
        """Yield the frames of a clip that the options choose. Raises InputError if the clip breaks off."""
        with self._exchange(_Request(source, options, self._limits)) as child:
            while (message := self._receive(child, source)) is not None:
                number, time, width, height = message
                with self._named_failures(source):
                    data = child.connection.recv_bytes()
                yield PackedFrame(number, time, (width, height, data))

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def keep_for_next(self) -> None:
        """Keep the process, if it is sound, for the next decoder."""
        if ClipDecoder._idle is None:
            ClipDecoder._idle, self._child = self._child, None
        self.close()

    def interrupt(self) -> None:
        """Kill the process. The thread that waits for it gets the error of a crash."""
        if (child := self._child) is not None:
            child.kill()

    @contextmanager
    def _exchange(self, request: _Request) -> Iterator[Child]:
        """Send a request. If the answer is not read to its end, the process is ended."""
        answered = False
        try:
            with self._named_failures(request.source):
                child = self._start()
            child.send(request)
            yield child
            answered = True
        finally:
            if not answered:
                self.close()  # it may still be decoding a clip that is no longer needed

    def _start(self) -> Child:
        if self._child is None:
            with self._idle_lock:
                self._child, ClipDecoder._idle = ClipDecoder._idle, None
        if self._child is not None and self._child.has_ended:
            self.close()  # it ended between two clips, so neither of them has failed
        if self._child is None:
            self._child = Child(_decode, name="decoder")
        return self._child

    def _receive(self, child: Child, source: str | bytes) -> Any:
        """The next message. Raises InputError if it is an error or does not arrive in time."""
        with self._named_failures(source):
            if not child.wait_for_message(self._limits.timeout):
                seconds = f"{self._limits.timeout:g} seconds"
                message = f"{source_name(source)}: the next frame was not decoded within {seconds}"
                raise DecodingFailed(TIMED_OUT, message)
            answer = child.connection.recv()
        if isinstance(answer, PosecliError):
            raise answer
        return answer

    @contextmanager
    def _named_failures(self, source: str | bytes) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            how = self._child.exit_description() if self._child is not None else "could not be started"
            raise DecodingFailed(WORKER_CRASHED, f"{source_name(source)}: the process decoding it {how}") from error


class FrameCounter:
    """Counts the frames of the clips among inputs, with a decoder of its own."""

    def __init__(self, limits: ReadLimits) -> None:
        self._decoder = ClipDecoder(limits)
        self._stopped = False

    def count(self, images: Iterable[ImageInput], options: ClipOptions) -> Iterator[tuple[str, int | None]]:
        """Yield each input's name and the number of frames of a clip (1 if unknown), None for a picture."""
        try:
            for image in _separate_clips(images, self._decoder):
                yield image.name, self._count(image, options)
                if self._stopped:
                    return
        finally:
            self._decoder.close()

    def _count(self, image: ImageInput, options: ClipOptions) -> int | None:
        if image.members:
            return sum(1 for _ in frames_of_folder(image, options))
        source = source_of(image)
        try:
            if not self._decoder.holds_frames(source):
                return None
            count = self._decoder.frame_count(source, options)
        except InputError:
            return 1
        return 1 if count is None else count

    def stop(self, thread: threading.Thread, patience: float) -> None:
        """Stop a count that runs in another thread. patience: seconds to wait for the thread's end."""
        self._stopped = True
        end = monotonic() + patience
        while thread.is_alive() and monotonic() < end:
            self._decoder.interrupt()
            thread.join(_POLL_SECONDS)


class _Request(NamedTuple):
    """A request to the decoder: the frames of a clip, their number (counts) or, without options, whether it is a
    clip."""

    source: str | bytes
    options: ClipOptions | None
    limits: ReadLimits
    counts: bool = False


def _decode(connection: Connection) -> None:
    """The child's main loop. The answer to a clip is its frames, then None, or the error that ended it."""
    while True:
        request: _Request = connection.recv()
        limit_memory(request.limits.max_memory)
        limit_pillow(request.limits.max_pixels)
        try:
            if request.options is None:
                connection.send(holds_frames(request.source))
                continue
            if request.counts:
                connection.send(frame_count(request.source, request.options))
                continue
            for number, time, (width, height, data) in frames_of(
                request.source, request.options, max_pixels=request.limits.max_pixels
            ):
                connection.send((number, time, width, height))
                connection.send_bytes(data)
            connection.send(None)
        except PosecliError as error:
            connection.send(error)
        except Exception as error:  # damaged clips can raise anything; only the clip fails, as with pictures
            connection.send(InputError(f"{source_name(request.source)}: {type(error).__name__}: {error}"))


@atexit.register
def _stop_idle() -> None:
    if ClipDecoder._idle is not None:
        ClipDecoder._idle.stop()
        ClipDecoder._idle = None

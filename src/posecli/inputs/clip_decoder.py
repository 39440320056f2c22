"""Clips among the inputs: each becomes its frames, so that all workers take part.

Clips are decoded by a process beside this one, a frame ahead of who asks for it: a decoder that crashes or hangs costs
its clip, not the run. What a broken clip still gives is used; then comes one input that stands for the failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection

from posecli.errors import TIMED_OUT, WORKER_CRASHED, InputError, PosecliError
from posecli.files.child_process import Child
from posecli.inputs.clips import ClipFrame, ClipOptions, frame_output, frames_of, is_clip
from posecli.types import ImageInput

#: Seconds, and frames at most, in which people stay near enough to where they were: a group.
GROUP_SECONDS, LONGEST_GROUP = 0.2, 8


class DecodingFailed(InputError):
    """The process that decodes clips crashed or hung."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def expand(
    images: Iterable[ImageInput],
    options: ClipOptions,
    *,
    timeout: float,
    grouped: bool = False,
    is_finished: Callable[[Iterator[ImageInput]], bool] | None = None,
) -> Iterator[ImageInput]:
    """Inputs with each clip as its frames, decoded as they are asked for.

    timeout: seconds for one frame. grouped: frames come in groups, see `ImageInput`.
    is_finished: goes through all frames of each clip first, and says whether the clip is left out.
    """
    decoder = ClipDecoder(timeout=timeout)
    try:
        for image in images:
            if image.data is not None or not is_clip(image.name):
                yield image
            elif is_finished is None or not is_finished(_frames(image, decoder, options, grouped=grouped)):
                yield from _frames(image, decoder, options, grouped=grouped)
    finally:
        decoder.close()


def _frames(image: ImageInput, decoder: ClipDecoder, options: ClipOptions, *, grouped: bool) -> Iterator[ImageInput]:
    seen, groups = -1, _Groups()
    try:
        for frame in decoder.frames(image.name, options):
            seen = frame.number
            yield image._replace(
                output=frame_output(image.output, frame.number),
                frame=frame.number,
                time=None if frame.time is None else round(frame.time, 6),  # as records have it
                pixels=frame.pixels,
                group=groups.place(frame.time) if grouped else None,
            )
    except InputError as error:
        yield image._replace(frame=seen + 1, failure=(error.code, str(error)))


class _Groups:
    """Numbers the groups of a clip's frames."""

    def __init__(self) -> None:
        self._number = self._length = 0
        self._start: float | None = None

    def place(self, time: float | None) -> int | None:
        """The group of the next frame; None where it has no time."""
        if time is None:
            return None
        begins = self._start is None or time - self._start >= GROUP_SECONDS - 1e-6 or self._length >= LONGEST_GROUP
        if begins:
            self._number, self._length, self._start = self._number + 1, 0, time
        self._length += 1
        return self._number


class ClipDecoder:
    """A process that decodes clips, started for the first and again where it had to be given up.

    timeout: seconds that it may take over one frame.
    """

    def __init__(self, *, timeout: float) -> None:
        self._timeout = timeout
        self._child: Child | None = None

    def frames(self, path: str, options: ClipOptions) -> Iterator[ClipFrame]:
        """The frames of a clip that the options ask for. Raises InputError where it breaks off."""
        connection = self._start()
        connection.send((path, options))
        whole = False
        try:
            while (frame := self._receive(connection, path)) is not None:
                yield frame
            whole = True
        finally:
            if not whole:
                self.close()  # it may be in the midst of a clip that nobody wants any more

    def close(self) -> None:
        """End the process."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def _start(self) -> Connection:
        if self._child is None:
            self._child = Child(_decode, name="decoder")
        return self._child.connection

    def _receive(self, connection: Connection, path: str) -> ClipFrame | None:
        try:
            if not connection.poll(self._timeout):
                raise DecodingFailed(TIMED_OUT, f"{path}: its next frame was not there after {self._timeout:g} seconds")
            message = connection.recv()
            if isinstance(message, PosecliError):
                raise message
            if message is None:
                return None
            number, time, width, height = message
            return ClipFrame(number, time, (width, height, connection.recv_bytes()))
        except (EOFError, OSError) as error:
            assert self._child is not None
            how = self._child.how_it_ended()
            raise DecodingFailed(WORKER_CRASHED, f"{path}: the process decoding it {how}") from error


def _decode(connection: Connection) -> None:
    """The decoder's life: for every clip asked for, its frames, then None, or the error that ended it."""
    while True:
        path, options = connection.recv()
        try:
            for number, time, (width, height, data) in frames_of(path, options):
                connection.send((number, time, width, height))
                connection.send_bytes(data)
            connection.send(None)
        except PosecliError as error:
            connection.send(error)

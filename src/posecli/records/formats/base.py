"""What all formats share: how files appear whole or not at all, and how they are named."""

from __future__ import annotations

import io
import json
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, NamedTuple, Protocol

from posecli.errors import OutputError
from posecli.files import storage
from posecli.types import Record


class ByteSink(Protocol):
    """What formats write to: a file, a pipe, or bytes in memory."""

    @property
    def closed(self) -> bool: ...

    def write(self, data: bytes, /) -> int: ...

    def flush(self) -> None: ...


class TextSink:
    """Text into a `ByteSink`, as UTF-8. Each piece is passed on at once."""

    def __init__(self, file: ByteSink) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write all of a text; raises OSError."""
        self._file.write(text.encode("utf-8"))
        return len(text)

    def flush(self) -> None:
        """Flush the bytes."""
        self._file.flush()


class WriteOptions(NamedTuple):
    """What formats may be told. path: the file that is written, None for standard output; coco_images: a COCO
    annotation file that gives image ids; body25: OpenPose's 25 points instead of 18."""

    path: str | None = None
    coco_images: str | None = None
    body25: bool = False


class Format(NamedTuple):
    """A way to write records, and for some formats to read them.

    write: the records of a run into one file, as they come.
    image_suffix: what the full input name gets for the file of one image.
    write_one: the record of one image into a file of its own; None: as a run of one.
    needs_all: `write` goes through the records more than once, so they must be at hand.
    one_file_a_run: False where there is no such file.
    keeps_failures: an image that failed has a file too.
    read: the records in a file, of a run or of one image, as they were. None: the format does not keep all of a record.
        Raises OSError, ValueError, KeyError or TypeError where the file holds something else.
    """

    name: str
    write: Callable[[Iterable[Record], ByteSink, WriteOptions], None]
    image_suffix: str
    write_one: Callable[[Record, ByteSink, WriteOptions], None] | None = None
    needs_all: bool = False
    one_file_a_run: bool = True
    keeps_failures: bool = False
    read: Callable[[IO[bytes]], Iterator[Record]] | None = None

    def write_image(self, record: Record, path: str, options: WriteOptions) -> None:
        """Write the file of one image, whole, unless it failed and the format has no place for that. Raises
        OutputError."""
        if not record.ok and not self.keeps_failures:
            return
        with whole_file(path) as file:
            if self.write_one is not None:
                self.write_one(record, file, options)
            else:
                self.write((record,), file, options)


def to_json(data: Any) -> str:
    """Compact JSON on one line. Never NaN. Characters that are no text (undecodable file names) become \\udcXX."""
    return text_name(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(", ", ": ")))


def text_name(name: str) -> str:
    """A name as text: undecodable bytes become \\udcXX."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def output_path(folder: str, relative: str, suffix: str) -> str:
    """Where the file of one image goes: its tree mirrored, its full name kept, so that nothing collides."""
    return os.path.join(folder, relative + suffix)


@contextmanager
def whole_file(path: str) -> Iterator[IO[bytes]]:
    """A file that appears under its name when the block ends well, and leaves nothing behind when it does not.

    Raises OutputError where it cannot be written. Devices and pipes are written directly.
    """
    with output_errors(path):
        if storage.is_remote(path):
            whole = io.BytesIO()
            yield whole
            storage.write_bytes(path, whole.getvalue())
            return
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "wb") as file:
                yield file
            return
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        temporary = os.path.join(os.path.dirname(path), f".posecli-{os.getpid()}-{uuid.uuid4().hex}.tmp")
        try:
            with open(temporary, "xb") as file:
                yield file
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise


@contextmanager
def whole_text(path: str) -> Iterator[IO[str]]:
    """As `whole_file`, for text."""
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="\n")
        yield text
        text.flush()
        text.detach()


@contextmanager
def output_errors(path: str) -> Iterator[None]:
    """Name the path in what the system says when it cannot be written."""
    try:
        yield
    except BrokenPipeError:
        raise  # whoever read us has seen enough: not an error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


class LineFile:
    """A `ByteSink` that passes each piece on at once and whole, so that a reader never sees half a line and a crash
    leaves at most one torn one."""

    closed = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> int:
        """Write all of the data; raises OSError."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

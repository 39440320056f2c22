"""What all formats share: what a format is, what it writes to, JSON and names as text, names of files of one image."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, NamedTuple, Protocol

from posecli.files.atomic import whole_file
from posecli.files.storage import inside
from posecli.types import Record


class ByteSink(Protocol):
    """What formats write to: a file, a pipe, or bytes in memory."""

    @property
    def closed(self) -> bool: ...

    def write(self, data: bytes, /) -> object: ...

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
    """What formats may be told. path: the file that is written, None for standard output and devices; coco_images: a
    COCO annotation file that gives image ids; body25: OpenPose's 25 points instead of 18."""

    path: str | None = None
    coco_images: str | None = None
    body25: bool = False


class Format(NamedTuple):
    """A way to write records, and for some formats to read them.

    write: the records of a run into one file, as they come.
    image_suffix: what the full input name gets for the file of one image.
    summary: what the file of a run contains, for the documentation.
    write_one: the record of one image into a file of its own; None: as a run of one.
    needs_all: `write` goes through the records more than once, so they must be at hand.
    one_file_a_run: False where there is no such file.
    one_clip: `write` takes the records of one clip, with tracks where frames have several people; there are no files of
        one image.
    keeps_failures: an image that failed has a file too.
    read: the records in a file, of a run or of one image, as they were. None: the format does not keep all of a record.
        Raises OSError or ValueError where the file holds something else.
    """

    name: str
    write: Callable[[Iterable[Record], ByteSink, WriteOptions], None]
    image_suffix: str
    summary: str
    write_one: Callable[[Record, ByteSink, WriteOptions], None] | None = None
    needs_all: bool = False
    one_file_a_run: bool = True
    one_clip: bool = False
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


def parse_json(data: bytes) -> Any:
    """The value in JSON. Raises ValueError for anything else, NaN, and what is nested too deep."""
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def records_of(values: Iterable[Any], unit: str) -> Iterator[Record]:
    """The records of values in the JSON form. unit: what a message calls one (line, record, row), with its number.

    Raises ValueError for the first that is none.
    """
    for number, value in enumerate(values, 1):
        try:
            record = Record.from_dict(value)
        except ValueError as error:
            raise ValueError(f"{unit} {number}: {error}") from None
        yield record


def text_name(name: str) -> str:
    """A name as text: undecodable bytes become \\udcXX."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def output_path(folder: str, relative: str, suffix: str) -> str:
    """Where the file of one image goes: its tree mirrored, its full name kept, so that nothing collides; always below
    the folder."""
    return os.path.join(folder, inside(relative) + suffix)

"""Shared by all formats: the `Format` type, output sinks, JSON, names as text, paths of files of one image."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, NamedTuple, Protocol

from posecli.files.atomic import atomic_file
from posecli.files.storage import confined_path
from posecli.types import Record


class ByteSink(Protocol):
    """The output of a format: a file, a pipe, or bytes in memory."""

    @property
    def closed(self) -> bool: ...

    def write(self, data: bytes, /) -> object: ...

    def flush(self) -> None: ...


class TextSink:
    """Writes text to a `ByteSink` as UTF-8, without a buffer of its own."""

    def __init__(self, file: ByteSink) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write all of a text. Raises OSError."""
        self._file.write(text.encode("utf-8"))
        return len(text)

    def flush(self) -> None:
        """Flush the bytes."""
        self._file.flush()


class WriteOptions(NamedTuple):
    """Options of formats. path: the output file, None for standard output and devices; coco_images: a COCO annotation
    file that gives image ids; body25: OpenPose's 25 points instead of 18."""

    path: str | None = None
    coco_images: str | None = None
    body25: bool = False


class Format(NamedTuple):
    """How records are written in a format and, for some formats, read.

    write: writes the records of a run to one file, as they arrive.
    image_suffix: appended to the full input name for the file of one image.
    summary: what the file of a run contains, for the documentation.
    write_one: writes the record of one image to a file of its own; None: `write` is used.
    needs_all: `write` iterates over the records more than once, so they must be stored.
    one_file_a_run: False if the format has no file of a whole run.
    one_clip: `write` takes the records of one clip, which needs tracks if frames have several people. There are no
        files of one image.
    keeps_failures: images that failed have files too.
    read: yields the records in a file of a run or of one image, unchanged. None: the format does not keep all data.
        Raises OSError or ValueError if the file holds something else.
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
        """Write the file of one image, complete or not at all. Failed images are skipped unless `keeps_failures`.

        Raises OutputError.
        """
        if not record.ok and not self.keeps_failures:
            return
        with atomic_file(path) as file:
            if self.write_one is not None:
                self.write_one(record, file, options)
            else:
                self.write((record,), file, options)


def to_json(data: Any) -> str:
    """JSON on one line. NaN is refused. Undecodable bytes of file names become \\udcXX."""
    return text_name(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(", ", ": ")))


def parse_json(data: bytes) -> Any:
    """Parse JSON. Raises ValueError if it is not valid, has NaN or is nested too deep."""
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def records_of(values: Iterable[Any], unit: str) -> Iterator[Record]:
    """Yield the records of values in the JSON form. unit: the word for a value in messages (line, record, row).

    Raises ValueError, with its number, for the first value that is not a record.
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
    """The path of the file of one image: always below the folder, with the input's folders and full name, so that paths
    do not collide."""
    return os.path.join(folder, confined_path(relative) + suffix)

"""Journals: records that are appended during a run, and read back after an interruption.

A journal holds one raw record per line: the result of inference for an input, with all digits. Later steps are
replayed from these records. Every line is complete, except that the last one may be torn. If no step follows inference,
an output of JSON Lines is its own journal. Every other output has a journal beside it, `NAME.partial.jsonl`.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from posecli.errors import OutputError, UsageError
from posecli.files import storage
from posecli.files.atomic import LineFile, check_not_replaced, move, output_errors, remove, temporary_name
from posecli.inputs.name_set import NameMap
from posecli.records.formats import get_format, read_file
from posecli.records.formats.base import parse_json, to_json
from posecli.records.identity import RunIdentity
from posecli.records.parts import read_parts
from posecli.types import SCHEMA, ImageInput, Record

JOURNAL_SUFFIX = ".partial.jsonl"
_STANDARD_INPUT = 0
#: The beginning of every line of a journal.
_LINE_START = f'{{"schema": "{SCHEMA}", '.encode()


class Journal:
    """A file of record lines to append to. It is opened with the first record.

    anew: replace the file at `path`, and `stale`, another file that an earlier run left. Both are kept until the first
    ok record, or `finish`; until then the new file has a temporary name.
    raw: write all digits.
    """

    def __init__(self, path: str, *, anew: bool = False, stale: str | None = None, raw: bool = True) -> None:
        self.path = path
        self._stale = stale if stale != path else None
        replaces = anew and any(old is not None and os.path.isfile(old) for old in (path, self._stale))
        self._place = temporary_name(path) if replaces else path
        self._raw = raw
        self._file: IO[bytes] | None = None

    def add(self, record: Record) -> None:
        """Append a record with one write. Raises OutputError."""
        file = self._file or self._open()
        LineFile(file.fileno(), self.path).write(f"{to_json(record.to_dict(raw=self._raw))}\n".encode())
        if record.ok:
            self._replace()

    def check_not_replaced(self) -> None:
        """Raise OutputError if the file was deleted after it was opened."""
        if self._file is not None:
            check_not_replaced(self._place, self._file.fileno())

    def is_kept(self) -> bool:
        """Whether the file at `path` holds the added records. Call it before `close`."""
        try:
            self.check_not_replaced()
        except OutputError:
            return False
        return self._place == self.path and os.path.exists(self.path)

    def finish(self) -> None:
        """Replace the old files, even if no record was added. Raises OutputError."""
        if self._place != self.path:
            if self._file is None:
                self._open()
            self._replace()

    def close(self) -> None:
        """Close the file. If it has not replaced the old one, delete it."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._place != self.path:
            with suppress(OutputError):
                remove(self._place)

    def _open(self) -> IO[bytes]:
        with output_errors(self.path):
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            self._file = open(self._place, "ab", buffering=0)  # noqa: SIM115 (closed by close)
        return self._file

    def _replace(self) -> None:
        if self._place != self.path and self._file is not None:
            self._file.close()  # some systems cannot rename an open file
            if self._stale is not None:
                remove(self._stale)
            move(self._place, self.path)
            self._place = self.path
            self._open()


class RecordedLines:
    """The finished records in a file of JSON Lines, by input, and the names of failed inputs.

    If an input has two records, the later one counts. A torn last line is left out.
    Raises UsageError if the file does not hold records, or if their model or settings differ from `identity`.
    """

    def __init__(self, path: str, identity: RunIdentity) -> None:
        self.path = path
        self.names_that_failed: set[str] = set()
        self.is_clean = True  # the file holds only finished records, one per input
        self.size = 0  # bytes of complete lines
        self._offsets = NameMap()
        with open(path, "rb") as file:
            self._scan(file, identity)

    def get(self, image: ImageInput) -> Record | None:
        """The finished record of an input, or None. Raises OutputError if the file was changed or deleted."""
        offset = self._offsets.get(image.key)
        if offset is None:
            return None
        try:
            with open(self.path, "rb") as file:
                file.seek(offset)
                record = Record.from_dict(parse_json(file.readline()))
        except (OSError, ValueError) as error:  # it was valid when the run began
            raise OutputError(f"{self.path} was deleted or changed during the run: {error}") from error
        return record if record.key == image.key else None

    def lines(self) -> Iterator[tuple[bytes, Record, bool]]:
        """Yield each complete line, its record, and whether that is the record of a finished input that counts."""
        with open(self.path, "rb") as file:
            offset = 0
            while offset < self.size and (line := file.readline()):
                record = Record.from_dict(parse_json(line))
                yield line, record, record.ok and self._offsets.get(record.key) == offset
                offset += len(line)

    def _scan(self, file: IO[bytes], identity: RunIdentity) -> None:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                self._check_torn(line, number)
                break
            try:
                record = Record.from_dict(parse_json(line))
            except ValueError as error:
                raise self._foreign(f"line {number}: {error}") from error
            if record.ok:
                identity.check(record, self.path)
                self.is_clean &= record.key not in self._offsets
                self._offsets[record.key] = self.size
            else:
                self.is_clean = False
                self.names_that_failed.add(record.image)
            self.size += len(line)

    def _check_torn(self, line: bytes, number: int) -> None:
        """Check that a torn line, which will be cut off, is posecli's: the beginning of a record, or the zeros that a
        file system writes for data lost in a power cut. Raises UsageError."""
        start = line.rstrip(b"\0")[: len(_LINE_START)]
        if not _LINE_START.startswith(start):
            raise self._foreign(f"line {number} is not the beginning of a record")

    def _foreign(self, why: str) -> UsageError:
        return UsageError(f"{self.path} does not hold posecli records: {why}", "--overwrite replaces it")

    def cut_torn_line(self) -> None:
        """Truncate the file to its complete lines, so that it can be appended to. Raises OutputError."""
        with output_errors(self.path):
            if os.path.getsize(self.path) != self.size:
                os.truncate(self.path, self.size)


def read_lines(file: IO[bytes]) -> Iterator[Record]:
    """Yield the records of a stream of JSON Lines that this process has written."""
    for line in file:
        yield Record.from_dict(parse_json(line))


def read_records(path: str) -> Iterator[Record]:
    """Yield the records of JSON Lines, JSON, Parquet, COCO annotations or a folder of parts; `-`: standard input.

    Raises UsageError for anything else, MissingExtra if Parquet's extra is not installed.
    """
    if storage.is_folder(path):
        yield from read_parts(path)
        return
    name = "standard input" if path == "-" else path
    try:
        file = _standard_input() if path == "-" else storage.open_file(path)
    except OSError as error:
        raise UsageError(f"cannot read {name}: {error.strerror or error}") from error
    with file:
        try:
            yield from read_file(file, name)
        except (OSError, ValueError) as error:
            raise UsageError(f"{name} does not hold posecli records: {error}") from error


def _standard_input() -> io.BufferedReader:
    return open(_STANDARD_INPUT, "rb", closefd=False)


def read_image_record(path: str, format_name: str) -> Record | None:
    """The record in the file of one image, or None if there is none."""
    read = get_format(format_name).read
    try:
        with storage.open_file(path) as file:
            return next(read(file), None) if read is not None else None
    except (OSError, ValueError):
        return None

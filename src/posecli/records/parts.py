"""Parts: the records of a run of any size as many files in one folder, each complete or absent.

A part's name identifies its content, so that a restarted run needs only the folder's listing:

    part-000012.3f9ac11e.80b5d6a2.jsonl             number, model and settings, names of the inputs
    part-000012.3f9ac11e.80b5d6a2.failed-3.jsonl    three of its records are errors
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from posecli.errors import UsageError
from posecli.files import storage
from posecli.files.atomic import atomic_file, output_errors
from posecli.records.formats import PART_FORMATS, get_format, read_file
from posecli.records.formats.base import ByteSink, WriteOptions
from posecli.types import Record

#: Most bytes of a part that are held in memory while it is written; a larger one goes to a temporary file.
_IN_MEMORY = 16 << 20
_NAME = re.compile(r"part-(\d{6,})\.([0-9a-f]{8})\.([0-9a-f]{8})(?:\.failed-(\d+))?\.(" + "|".join(PART_FORMATS) + ")")


class Part(NamedTuple):
    """A part's name. made_with: digest of model and settings; holds: digest of the inputs' names; kind: file extension;
    failed: number of error records."""

    number: int
    made_with: str
    holds: str
    kind: str
    failed: int = 0

    @property
    def name(self) -> str:
        """The file name."""
        failed = f".failed-{self.failed}" if self.failed else ""
        return f"part-{self.number:06d}.{self.made_with}.{self.holds}{failed}.{self.kind}"

    @classmethod
    def parse(cls, name: str) -> Part | None:
        """The part of a file name, or None if it is not the name of a part."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        number, made_with, holds, failed, kind = match.groups()
        return cls(int(number), made_with, holds, kind, int(failed or 0))


def list_parts(folder: str) -> Iterator[Part]:
    """Yield the parts in a folder, unordered; none if there is no folder."""
    yield from (part for name in storage.names_in(folder) if (part := Part.parse(name)) is not None)


def best_parts(folder: str) -> dict[int, Part]:
    """For each part number in a folder, in rising order, the part with the fewest failures."""
    best: dict[int, Part] = {}
    for part in sorted(list_parts(folder)):
        if part.number not in best or part.failed < best[part.number].failed:
            best[part.number] = part
    return best


def read_parts(folder: str) -> Iterator[Record]:
    """Yield all records of a folder of parts. Raises UsageError if it has no parts, or if a part cannot be read."""
    parts = best_parts(folder)
    if not parts:
        raise UsageError(f"{folder} holds no parts of a run", "name a file of records, or a folder that --shards wrote")
    for part in parts.values():
        yield from read_part(os.path.join(folder, part.name))


def read_part(path: str) -> Iterator[Record]:
    """Yield the records of one part. Raises UsageError if it does not hold records."""
    try:
        with storage.open_file(path) as file:
            yield from read_file(file, path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} does not hold posecli records: {error}") from error


class _Temporary:
    """A temporary file whose write errors are OutputErrors."""

    closed = False

    def __init__(self, file: ByteSink) -> None:
        self._file = file

    def write(self, data: bytes) -> int:
        with output_errors("a temporary file"):
            self._file.write(data)
        return len(data)

    def flush(self) -> None:
        with output_errors("a temporary file"):
            self._file.flush()


def write_part(folder: str, part: Part, records: Iterable[Record]) -> Part:
    """Write records as they arrive to a part, which appears when it is complete. Return its name, with the failures.

    Raises OutputError.
    """
    failed = 0

    def counted() -> Iterator[Record]:
        nonlocal failed
        for record in records:
            failed += not record.ok
            yield record

    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spooled:
        get_format(part.kind).write(counted(), _Temporary(spooled), WriteOptions())
        spooled.seek(0)
        named = part._replace(failed=failed)
        with atomic_file(os.path.join(folder, named.name)) as file:
            shutil.copyfileobj(spooled, file)
    return named


def remove_part(folder: str, part: Part) -> None:
    """Delete a part that was replaced by another. Raises OutputError."""
    path = os.path.join(folder, part.name)
    with output_errors(path):
        storage.remove(path)

"""Records on disk: read back whatever state a run left them in, and carry on from there.

JSON Lines is its own journal: a line is whole or, at the very end, torn. Formats that must be written in one go are
made from a journal beside them, `NAME.partial.jsonl`, which goes when they are whole and nothing failed.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, NamedTuple

from posecli.errors import UsageError
from posecli.files import storage
from posecli.inputs.name_set import Seen
from posecli.records.formats import read_file
from posecli.records.formats.base import output_errors, whole_file
from posecli.records.parts import digest, read_parts
from posecli.types import Record, Settings

JOURNAL_SUFFIX = ".partial.jsonl"
_STANDARD_INPUT = 0


class RunIdentity(NamedTuple):
    """What records of one run have in common: results under another model or other settings do not mix."""

    model_sha256: str
    settings: Settings

    def digest(self) -> str:
        """What stands for it in names of files."""
        return digest([self.model_sha256, json.dumps(self.settings.to_dict(), sort_keys=True)])

    def check(self, record: Record, path: str) -> None:
        """Raise UsageError unless a finished record was made in the same way."""
        if record.model is not None and record.model.sha256 != self.model_sha256:
            self._refuse(path, f"the model {record.model.name} ({record.model.sha256[:12]}…)")
        ours = self.settings.to_dict()
        theirs = dict(record.settings or {})
        for name in sorted(ours.keys() | theirs.keys()):
            if record.settings is not None and ours.get(name) != theirs.get(name):
                self._refuse(path, f"{name.replace('_', '-')} {theirs.get(name)}, not {ours.get(name)}")

    def _refuse(self, path: str, difference: str) -> None:
        raise UsageError(f"cannot resume {path}: it was made with {difference}", "--overwrite begins anew")


class Journal:
    """The records of a file of JSON Lines, each time it is gone through. Torn and foreign lines are left out."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __iter__(self) -> Iterator[Record]:
        with open(self.path, "rb") as file:
            for _, record in _whole_lines(file):
                yield record


def take_up(path: str, identity: RunIdentity) -> Seen:
    """Make a journal fit to be appended to: finished records stay; failed ones, doubles and a torn line go.

    The file is replaced only where something goes, and then whole. Raises UsageError where another model or other
    settings made it, OutputError where it cannot be written.
    """
    done = Seen()
    if not os.path.exists(path):
        return done
    kept_bytes = 0
    with open(path, "rb") as file:
        for line, record in _whole_lines(file):
            if record.ok and record.key not in done:
                identity.check(record, path)
                done.add(record.key)
                kept_bytes += len(line)
    if kept_bytes != os.path.getsize(path):
        _keep_finished(path)
    return done


def _keep_finished(path: str) -> None:
    kept = Seen()
    with open(path, "rb") as old, whole_file(path) as new:
        for line, record in _whole_lines(old):
            if record.ok and record.key not in kept:
                kept.add(record.key)
                new.write(line)


def read_records(path: str) -> Iterator[Record]:
    """Records from JSON Lines, JSON, Parquet or a folder of parts, `-` for standard input. Raises UsageError for
    anything else, MissingExtra for Parquet without its extra."""
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
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{name} does not hold posecli records: {error!r}") from error


def _standard_input() -> io.BufferedReader:
    return open(_STANDARD_INPUT, "rb", closefd=False)


def _whole_lines(file: IO[bytes]) -> Iterator[tuple[bytes, Record]]:
    for line in file:
        record = _parse_line(line) if line.endswith(b"\n") else None
        if record is not None:
            yield line, record


def _parse_line(line: bytes) -> Record | None:
    try:
        return Record.from_dict(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return None


def finished_image(path: str, identity: RunIdentity) -> bool:
    """Whether the file of one image holds its finished record. Raises UsageError as `take_up` does."""
    try:
        with storage.open_file(path) as file:
            (record,) = read_file(file, path)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if record.ok:
        identity.check(record, path)
    return record.ok


def remove(path: str) -> None:
    """Delete a journal that has served."""
    with output_errors(path), suppress(FileNotFoundError):
        os.unlink(path)

"""JSON Lines: one record per line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

from posecli.records.formats.base import ByteSink, Format, TextSink, WriteOptions, parse_json, to_json
from posecli.types import Record


def write(records: Iterable[Record], file: ByteSink, options: WriteOptions) -> None:
    """Write each record as it arrives, in complete lines."""
    text = TextSink(file)
    for record in records:
        text.write(to_json(record.to_dict()) + "\n")
        text.flush()


def read(file: IO[bytes]) -> Iterator[Record]:
    """Yield each line's record as it arrives. Empty lines are skipped. Raises ValueError with the line's number."""
    for number, line in enumerate(file, 1):
        if line.strip():
            try:
                record = Record.from_dict(parse_json(line))
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            yield record


FORMAT = Format(
    "jsonl", write, ".jsonl", "one record on each line, written during the run", keeps_failures=True, read=read
)

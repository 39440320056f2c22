"""JSON Lines: one record a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO

from posecli.records.formats.base import ByteSink, Format, TextSink, WriteOptions, to_json
from posecli.types import Record


def write(records: Iterable[Record], file: ByteSink, options: WriteOptions) -> None:
    """Write each record as it comes, whole lines only."""
    text = TextSink(file)
    for record in records:
        text.write(to_json(record.to_dict()) + "\n")
        text.flush()


def read(file: IO[bytes]) -> Iterator[Record]:
    """The record of each line as it comes. Empty lines are left out."""
    return (Record.from_dict(json.loads(line)) for line in file if line.strip())


FORMAT = Format("jsonl", write, ".jsonl", keeps_failures=True, read=read)

"""JSON Lines: one record a line."""

from __future__ import annotations

from collections.abc import Iterable

from posecli.records.formats.base import Format, TextSink, WriteOptions, to_json
from posecli.types import Record


def write(records: Iterable[Record], file: TextSink, options: WriteOptions) -> None:
    """Write each record as it comes, whole lines only."""
    for record in records:
        file.write(to_json(record.to_dict()) + "\n")
        file.flush()


FORMAT = Format("jsonl", write, ".jsonl", keeps_failures=True)

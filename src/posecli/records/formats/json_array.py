"""JSON: an array of records for a run, the one record for an image."""

from __future__ import annotations

from collections.abc import Iterable

from posecli.records.formats.base import Format, TextSink, WriteOptions, to_json
from posecli.types import Record


def write(records: Iterable[Record], file: TextSink, options: WriteOptions) -> None:
    """Write one array, a record a line."""
    separator = "[\n"
    for record in records:
        file.write(separator + to_json(record.to_dict()))
        separator = ",\n"
    file.write("[]\n" if separator == "[\n" else "\n]\n")


def write_one(record: Record, file: TextSink, options: WriteOptions) -> None:
    """Write the file of one image: the record itself."""
    file.write(to_json(record.to_dict()) + "\n")


FORMAT = Format("json", write, ".json", write_one, keeps_failures=True)

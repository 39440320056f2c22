"""JSON: an array of records for a run, a single record for one image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

from posecli.records.formats.base import ByteSink, Format, TextSink, WriteOptions, parse_json, records_of, to_json
from posecli.types import Record


def write(records: Iterable[Record], file: ByteSink, options: WriteOptions) -> None:
    """Write one array, one record per line."""
    text, separator = TextSink(file), "[\n"
    for record in records:
        text.write(separator + to_json(record.to_dict()))
        separator = ",\n"
    text.write("[]\n" if separator == "[\n" else "\n]\n")


def write_one(record: Record, file: ByteSink, options: WriteOptions) -> None:
    """Write the file of one image: the record itself."""
    TextSink(file).write(to_json(record.to_dict()) + "\n")


def read(file: IO[bytes]) -> Iterator[Record]:
    """Yield the records of an array, or a single record. Raises ValueError, with the record's number from 1."""
    data = parse_json(file.read())
    return records_of(data if isinstance(data, list) else (data,), "record")


FORMAT = Format("json", write, ".json", "an array of all records", write_one, keeps_failures=True, read=read)

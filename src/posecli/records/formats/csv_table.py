"""CSV: one row per keypoint. A picture without people, or a failed one, has one row with empty cells."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Any

from posecli.records.formats.base import ByteSink, Format, TextSink, WriteOptions, text_name
from posecli.types import TABLE_COLUMNS, Record

#: First characters of a formula in spreadsheets, and characters that they skip before one.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def write(records: Iterable[Record], file: ByteSink, options: WriteOptions) -> None:
    """Write a header and the rows of each record. People are numbered from 0 in falling score."""
    writer = csv_writer(TextSink(file))
    writer.writerow(TABLE_COLUMNS)
    for record in records:
        writer.writerows(_rows(record))
        file.flush()


def _rows(record: Record) -> Iterator[tuple[object, ...]]:
    for image, *cells, message in record.table_rows():
        yield (cell_text(image), *cells, None if message is None else cell_text(message))


class _LineFeedRows:
    """Ends the rows of a csv writer with a line feed alone. The writer itself must use `\\r\\n`: csv quotes only the
    characters of its own line end, and an unquoted carriage return in a name would split its row."""

    def __init__(self, file: TextSink) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


def csv_writer(file: TextSink) -> Any:
    """A `csv.writer` whose rows end with a line feed."""
    return csv.writer(_LineFeedRows(file), lineterminator="\r\n")


def cell_text(text: str) -> str:
    """A name or message as a cell of a table. A cell that a spreadsheet would run as a formula gets the prefix `./`: a
    path still names the same file."""
    return "./" * text.startswith(_FORMULA_STARTS) + text_name(text)


_SUMMARY = "one row for each keypoint, and one for a picture without people or with an error"
FORMAT = Format("csv", write, ".csv", _SUMMARY)

"""Parquet: one row per record, with nested poses (extra `parquet`).

The columns are the fields of the JSON form. Model and settings are JSON text. As in all tables, `person` is a pose's
index in the record, from 0, and `track` is the `id` of the JSON form.
"""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any

from posecli.extras import import_extra
from posecli.records.formats.base import ByteSink, Format, WriteOptions, parse_json, records_of, text_name
from posecli.types import Record

# Imported with this module: `get_format` then raises MissingExtra before the run starts.
pa: Any = import_extra("pyarrow", extra="parquet")
parquet: Any = import_extra("pyarrow.parquet", extra="parquet")

#: Records in one row group.
_ROWS = 256
#: An undecodable byte as `text_name` writes it, or an escaped backslash (see `_to_text`).
_ESCAPE = re.compile(r"\\u(d[89a-f][0-9a-f]{2}|005c)")
_ESCAPED_BACKSLASH = r"\u005c"
#: Columns that hold names of files.
_NAMES = ("image", "file")


def _schema() -> Any:
    keypoint = pa.struct([("id", pa.int8()), ("part", pa.string()), *((n, pa.float64()) for n in ("x", "y", "score"))])
    pose = pa.struct(
        [
            ("person", pa.int64()), ("track", pa.int64()), ("score", pa.float64()), ("box", pa.list_(pa.float64())),
            ("keypoints", pa.list_(keypoint)),
        ]
    )  # fmt: skip
    return pa.schema(
        [
            ("schema", pa.string()), ("image", pa.string()), ("status", pa.string()), ("frame", pa.int64()),
            ("time", pa.float64()), ("file", pa.string()), ("width", pa.int64()), ("height", pa.int64()),
            ("model", pa.string()), ("settings", pa.string()),
            ("error", pa.struct([("code", pa.string()), ("message", pa.string())])), ("poses", pa.list_(pose)),
        ]
    )  # fmt: skip


def write(records: Iterable[Record], file: ByteSink, options: WriteOptions) -> None:
    """Write one table, in row groups."""
    schema, rows = _schema(), (_to_row(record) for record in records)
    with parquet.ParquetWriter(file, schema) as writer:
        while group := list(itertools.islice(rows, _ROWS)):
            writer.write_table(pa.Table.from_pylist(group, schema))


def read(file: IO[bytes]) -> Iterator[Record]:
    """Yield the record of each row. A pipe is first read to its end, because the file's index is there.

    Raises ValueError with the row's number, from 1.
    """
    return records_of(_rows(file if file.seekable() else io.BytesIO(file.read())), "row")


def _rows(file: IO[bytes]) -> Iterator[dict[str, Any]]:
    try:
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=_ROWS):
                yield from map(_from_row, batch.to_pylist())
    except pa.ArrowException as error:  # has many subclasses, not all of them ValueErrors
        raise ValueError(f"it cannot be read as Parquet: {error}") from error


def _to_row(record: Record) -> dict[str, Any]:
    row = record.to_dict()
    row |= {name: _to_text(row[name]) for name in _NAMES if name in row}
    if "poses" in row:
        row["poses"] = [
            {"person": person, "track": pose.pop("id", None), **pose} for person, pose in enumerate(row["poses"])
        ]
    if "error" in row:
        row["error"] = {name: _to_text(text) for name, text in row["error"].items()}
    return row | {name: json.dumps(row[name]) for name in ("model", "settings") if name in row}


def _from_row(row: dict[str, Any]) -> dict[str, Any]:
    """Convert a row to the JSON form, without checks: `Record.from_dict` checks it."""
    data = {name: value for name, value in row.items() if value is not None}
    data |= {name: _from_text(data[name]) for name in _NAMES if isinstance(data.get(name), str)}
    if isinstance(error := data.get("error"), dict):
        data["error"] = {name: _from_text(text) if isinstance(text, str) else text for name, text in error.items()}
    if isinstance(poses := data.get("poses"), list):
        data["poses"] = [_from_pose(pose) if isinstance(pose, dict) else pose for pose in poses]
    for name in ("model", "settings"):
        if isinstance(text := data.get(name), str):
            data[name] = parse_json(text.encode("utf-8", "surrogatepass"))
    return data


def _from_pose(pose: dict[str, Any]) -> dict[str, Any]:
    """Convert a pose to the JSON form, where its track is `id`. Files of earlier versions already have `id`."""
    rest = {name: value for name, value in pose.items() if name not in ("person", "track", "id")}
    return {"id": pose.get("track", pose.get("id")), **rest}


def _to_text(name: str) -> str:
    """Like `text_name`, but the backslash of an escape in the name itself is escaped, so `_from_text` is exact."""
    return text_name(_ESCAPE.sub(lambda match: _ESCAPED_BACKSLASH + match[0][1:], name))


def _from_text(text: str) -> str:
    """The inverse of `_to_text`."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)


_SUMMARY = "one row for each record, with nested poses (extra `parquet`)"
FORMAT = Format("parquet", write, ".parquet", _SUMMARY, keeps_failures=True, read=read)

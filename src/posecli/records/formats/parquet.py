"""Parquet files of records, for engines that read tables: a row a record, poses nested in it (extra `parquet`).

Columns are those of the JSON form; model and settings, which are alike in all rows, are flat and as JSON text.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from posecli.extras import need
from posecli.records.formats.base import text_name
from posecli.types import Record

EXTRA = "parquet"
#: Records in one group of rows.
_ROWS = 256


def _schema(pa: Any) -> Any:
    keypoint = pa.struct([("id", pa.int8()), ("part", pa.string()), *((n, pa.float64()) for n in ("x", "y", "score"))])
    pose = pa.struct(
        [
            ("id", pa.int64()), ("score", pa.float64()), ("box", pa.list_(pa.float64())),
            ("keypoints", pa.list_(keypoint)),
        ]
    )  # fmt: skip
    return pa.schema(
        [
            ("schema", pa.string()), ("image", pa.string()), ("status", pa.string()), ("frame", pa.int64()),
            ("time", pa.float64()), ("width", pa.int64()), ("height", pa.int64()), ("model", pa.string()),
            ("settings", pa.string()), ("error", pa.struct([("code", pa.string()), ("message", pa.string())])),
            ("poses", pa.list_(pose)),
        ]
    )  # fmt: skip


def write_parquet(records: Iterable[Record], file: IO[bytes]) -> None:
    """Write records, some hundred at a time. Raises MissingExtra."""
    pa, parquet = need("pyarrow", extra=EXTRA), need("pyarrow.parquet", extra=EXTRA)
    schema, rows = _schema(pa), (_to_row(record) for record in records)
    with parquet.ParquetWriter(file, schema) as writer:
        while some := list(itertools.islice(rows, _ROWS)):
            writer.write_table(pa.Table.from_pylist(some, schema))


def read_parquet(file: IO[bytes]) -> Iterator[Record]:
    """Read records back. Raises MissingExtra, OSError, ValueError, KeyError, TypeError."""
    parquet = need("pyarrow.parquet", extra=EXTRA)
    with parquet.ParquetFile(file) as table:
        for batch in table.iter_batches(batch_size=_ROWS):
            yield from (Record.from_dict(_from_row(row)) for row in batch.to_pylist())


def _to_row(record: Record) -> dict[str, Any]:
    row = record.to_dict()
    row["image"] = text_name(row["image"])
    if "error" in row:
        row["error"] = {name: text_name(text) for name, text in row["error"].items()}
    return row | {name: json.dumps(row[name]) for name in ("model", "settings") if name in row}


def _from_row(row: dict[str, Any]) -> dict[str, Any]:
    data = {name: value for name, value in row.items() if value is not None}
    return data | {name: json.loads(data[name]) for name in ("model", "settings") if name in data}

"""Data formats, one module each. To add a format, write its module and list it in `_MODULES`."""

from __future__ import annotations

import importlib
import io
import os
import re
from codecs import BOM_UTF8
from collections.abc import Iterator

from posecli.errors import UsageError
from posecli.records.formats.base import Format
from posecli.types import Record

#: Format name → module, which is imported on use.
_MODULES = {
    "jsonl": "jsonl",
    "json": "json_array",
    "csv": "csv_table",
    "parquet": "parquet",
    "coco": "coco",
    "coco-annotations": "coco_annotations",
    "openpose": "openpose",
    "dlc": "dlc",
}
FORMAT_NAMES = tuple(_MODULES)
#: Formats of sharded runs. They can be read back.
PART_FORMATS = ("jsonl", "parquet")
#: First bytes of a Parquet file.
_PARQUET_MAGIC = b"PAR1"
#: The beginning of COCO annotations: a key that no record has.
_ANNOTATIONS_START = re.compile(rb'\{\s*"(annotations|categories|images|info|licenses|type|videos)"')


def get_format(name: str) -> Format:
    """The format with a name of `FORMAT_NAMES`. Raises MissingExtra if its package is not installed."""
    module = importlib.import_module(f"posecli.records.formats.{_MODULES[name]}")
    found: Format = module.FORMAT
    return found


def choose_format(name: str | None, output: str | None, *, folder: bool) -> Format:
    """The format to write: by `name`, otherwise by the extension of `output`, otherwise the default.

    output: a file's path, or None for standard output. folder: whether the output is a folder.
    Raises UsageError if the extension is not that of a format, MissingExtra like `get_format`.
    """
    if name is not None:
        return get_format(name)
    if folder:
        return get_format("json")
    if output is None:
        return get_format("jsonl")
    extension = os.path.splitext(output)[1].lower().removeprefix(".")
    if extension in _MODULES:
        return get_format(extension)
    choices = ", ".join(FORMAT_NAMES)
    raise UsageError(f"the extension of {output} is not that of a format", f"choose one with --format: {choices}")


def read_file(file: io.BufferedReader, name: str) -> Iterator[Record]:
    """Yield the records in an open file of JSON Lines, JSON, Parquet or COCO annotations, of a run or of one image.

    name: the file's path.
    Raises OSError or ValueError if the file holds something else, MissingExtra like `get_format`.
    """
    kind = _format_of(file, name)
    if kind == "coco-annotations":  # no `Format.read`: labels lack data of records, so runs do not resume from them
        from posecli.records.formats.coco_annotations import read as read_annotations

        return read_annotations(file)
    read = get_format(kind).read
    assert read is not None
    return read(file)


def _format_of(file: io.BufferedReader, name: str) -> str:
    """The name of a file's format, by its first bytes or its extension. Only leading white space and a byte order mark
    are consumed."""
    start = file.peek(len(_PARQUET_MAGIC))
    if start.startswith(BOM_UTF8):
        file.read(len(BOM_UTF8))
        start = file.peek(len(_PARQUET_MAGIC))
    while start and not start.strip():
        file.read(len(start))
        start = file.peek(len(_PARQUET_MAGIC))
    if start.startswith(_PARQUET_MAGIC) or name.lower().endswith(".parquet"):
        return "parquet"
    if _ANNOTATIONS_START.match(start.lstrip()):
        return "coco-annotations"
    return "json" if start.lstrip().startswith((b"[", b"{\n", b"{\r\n")) else "jsonl"

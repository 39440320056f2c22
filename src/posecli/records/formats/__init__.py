"""Formats of the data: one file each. To add one, write its file and name it in `_MODULES`."""

from __future__ import annotations

import importlib
import os

from posecli.errors import UsageError
from posecli.records.formats.base import Format

#: Format name → module; imported on use.
_MODULES = {"jsonl": "jsonl", "json": "json_array", "csv": "csv_table", "coco": "coco", "openpose": "openpose"}
FORMAT_NAMES = tuple(_MODULES)
#: Those that a sharded run may be written in.
PART_FORMATS = ("jsonl", "parquet")


def get_format(name: str) -> Format:
    """The format of a name of `FORMAT_NAMES`."""
    module = importlib.import_module(f"posecli.records.formats.{_MODULES[name]}")
    found: Format = module.FORMAT
    return found


def choose_format(name: str | None, output: str | None, *, folder: bool) -> Format:
    """The named format, else the one that an output's extension stands for, else the usual one.

    output: a file's path, or None for standard output. Raises UsageError for an extension that stands for none.
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
    raise UsageError(f"the extension of {output} names no format", f"choose one with --format: {choices}")

"""What all formats share: what a format is, JSON and names as text, how files of one image are named."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol

from posecli.files.atomic import whole_text
from posecli.types import Record


class TextSink(Protocol):
    """What formats write to."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> None: ...


class WriteOptions(NamedTuple):
    """What formats may be told. path: the file that is written, None for standard output; coco_images: a COCO
    annotation file that gives image ids; body25: OpenPose's 25 points instead of 18."""

    path: str | None = None
    coco_images: str | None = None
    body25: bool = False


class Format(NamedTuple):
    """A way to write records.

    write: the records of a run into one text stream, as they come.
    image_suffix: what the full input name gets for the file of one image.
    write_one: the record of one image into a file of its own; None: as a run of one.
    needs_all: `write` goes through the records more than once, so they must be at hand.
    one_file_a_run: False where there is no such file.
    keeps_failures: an image that failed has a file too.
    """

    name: str
    write: Callable[[Iterable[Record], TextSink, WriteOptions], None]
    image_suffix: str
    write_one: Callable[[Record, TextSink, WriteOptions], None] | None = None
    needs_all: bool = False
    one_file_a_run: bool = True
    keeps_failures: bool = False

    def write_image(self, record: Record, path: str, options: WriteOptions) -> None:
        """Write the file of one image, whole, unless it failed and the format has no place for that. Raises
        OutputError."""
        if not record.ok and not self.keeps_failures:
            return
        with whole_text(path) as file:
            if self.write_one is not None:
                self.write_one(record, file, options)
            else:
                self.write((record,), file, options)


def to_json(data: Any) -> str:
    """Compact JSON on one line. Never NaN. Characters that are no text (undecodable file names) become \\udcXX."""
    return text_name(json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(", ", ": ")))


def text_name(name: str) -> str:
    """A name as text: undecodable bytes become \\udcXX."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def output_path(folder: str, relative: str, suffix: str) -> str:
    """Where the file of one image goes: its tree mirrored, its full name kept, so that nothing collides."""
    return os.path.join(folder, relative + suffix)

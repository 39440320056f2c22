"""The loop: inputs → engine → records → output and report."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from posecli.errors import UsageError
from posecli.report import Report
from posecli.types import ImageInput, Record
from posecli.writers.base import Format, LineFile, output_errors, whole_file

_STANDARD_OUTPUT = 1


class RunOutput(NamedTuple):
    """Where the records of a run go as a whole. path: a file; None: standard output."""

    format: Format
    path: str | None = None

    def write(self, records: Iterable[Record]) -> None:
        """Write records until they end. Lines as they come where that is the format; otherwise the file appears
        when it is whole. Raises OutputError."""
        if self.path is None:
            with output_errors("standard output"):
                self.format.write(records, LineFile(_STANDARD_OUTPUT))
        elif self.format.name == "jsonl":
            with output_errors(self.path):
                os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
                with open(self.path, "wb", buffering=0) as lines:
                    self.format.write(records, LineFile(lines.fileno()))
        else:
            with whole_file(self.path) as file:
                text = io.TextIOWrapper(file, "utf-8", newline="\n")
                self.format.write(records, text)
                text.flush()
                text.detach()


def at_least_one(inputs: Iterable[ImageInput]) -> Iterator[ImageInput]:
    """The inputs, once it is known that there is one. Raises UsageError."""
    iterator = iter(inputs)
    first = next(iterator, None)
    if first is None:
        raise UsageError("there is no picture to read", "name files, folders, or - for standard input")
    return chain((first,), iterator)


def run(records: Iterable[Record], output: RunOutput | None, report: Report, *, fail_fast: bool = False) -> int:
    """Send records to the output and the report; return the exit status.

    output: None where the workers write all there is to write.
    """
    interrupted = True
    try:
        watched = report.watch(records, fail_fast=fail_fast)
        if output is not None:
            output.write(watched)
        else:
            for _ in watched:
                pass
        interrupted = False
    finally:
        if not interrupted or report.found:
            report.close(interrupted=interrupted)
    return report.exit_status()

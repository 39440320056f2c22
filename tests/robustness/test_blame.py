"""An error of an input or an engine is not reported as an error of the output that is being written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from posecli.errors import OutputError
from posecli.records.formats import get_format
from posecli.records.formats.base import WriteOptions
from posecli.records.parts import Part, write_part
from posecli.run.batch import write_run_file
from posecli.run.destinations import RunFile
from posecli.types import Record


def broken_input() -> Iterator[Record]:
    yield Record.failed("a.jpg", "not_found", "a.jpg is not there")
    raise OSError(24, "Too many open files")


@pytest.mark.parametrize("name", ["jsonl", "json", "csv", "coco"])
@pytest.mark.parametrize("to_file", [True, False])
def test_an_error_of_an_input_is_not_blamed_on_a_run_file(name: str, to_file: bool, tmp_path: Path) -> None:
    path = str(tmp_path / "out") if to_file else None
    with pytest.raises(OSError, match="Too many open files"):
        write_run_file(broken_input(), RunFile(get_format(name), path, WriteOptions(path)))


@pytest.mark.skipif(os.name != "posix", reason="no such device here")
def test_an_error_of_an_input_is_not_blamed_on_a_device() -> None:
    with pytest.raises(OSError, match="Too many open files"):
        write_run_file(broken_input(), RunFile(get_format("jsonl"), os.devnull, WriteOptions()))


def test_an_error_of_an_input_is_not_blamed_on_a_part(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Too many open files"):
        write_part(str(tmp_path), Part(0, "0" * 8, "0" * 8, "jsonl"), broken_input())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_the_error_of_a_full_output_names_it() -> None:
    records = (Record.failed("a.jpg", "not_found", "a.jpg is not there") for _ in range(3))
    with pytest.raises(OutputError, match="cannot write /dev/full"):
        write_run_file(records, RunFile(get_format("jsonl"), "/dev/full", WriteOptions()))

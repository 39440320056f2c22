"""Names that are special to a terminal, a locale or a spreadsheet: nothing fails, and tables keep their rows."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from posecli.commands import cli
from posecli.records.formats import get_format
from posecli.records.formats.base import WriteOptions
from posecli.types import Record

from ..test_types import make_record

NAMES = ["a\rb.jpg", "a\nb.jpg", 'a"b,\r\n.jpg', "é.jpg", "a\udcff.jpg", " a\t.jpg", "a\x85b\u2028.jpg"]
FORMULAS = ["=1+1.jpg", "+a.jpg", "-a.jpg", "@SUM(A1).jpg", '=HYPERLINK("http://h";"x")', "\t=1.jpg", "\r=1.jpg"]


def table_of(records: list[Record]) -> bytes:
    file = io.BytesIO()
    get_format("csv").write(records, file, WriteOptions())
    return file.getvalue()


def measured(records: list[Record], folder: Path) -> bytes:
    (folder / "r.jsonl").write_text("".join(json.dumps(record.to_dict()) + "\n" for record in records))
    cli.main(["measure", str(folder / "r.jsonl"), "-o", str(folder / "x.csv"), "--overwrite"], standalone_mode=False)
    return (folder / "x.csv").read_bytes()


def rows_of(table: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.decode(), newline="")))


def shown(name: str) -> str:
    return name.replace("\udcff", "\\udcff")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_cell_and_a_record_keeps_its_rows(name: str, tmp_path: Path) -> None:
    records = [make_record(name), Record.failed(name, "not_found", f"{name}: no such file")]
    rows = rows_of(table_of(records))
    assert [row["image"] for row in rows] == [shown(name)] * 18
    assert rows[-1]["message"] == f"{shown(name)}: no such file"
    assert [row["image"] for row in rows_of(measured(records, tmp_path))] == [shown(name)]


def test_pandas_reads_the_names() -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(io.BytesIO(table_of([make_record(name) for name in NAMES])), keep_default_na=False)
    assert list(dict.fromkeys(table["image"])) == [shown(name) for name in NAMES]


@pytest.mark.parametrize("name", FORMULAS)
def test_no_cell_is_a_formula_and_paths_are_unchanged(name: str, tmp_path: Path) -> None:
    records = [make_record(name), Record.failed(name, "not_found", f"{name}: no such file")]
    rows = [*rows_of(table_of(records)), *rows_of(measured(records, tmp_path))]
    assert {row["image"] for row in rows} == {f"./{name}"}
    assert {row.get("message") for row in rows} == {"", None, f"./{name}: no such file"}
    assert os.path.normpath(f"./{name}") == os.path.normpath(name)


#: Commands that print names. They run one after the other in a process with the encoding of the test.
COMMANDS = """
import sys
from posecli.files import descriptors
descriptors.open_standard_streams()
from posecli.commands import cli
for arguments in {commands!r}:
    try:
        cli.main(arguments, standalone_mode=False)
    except SystemExit as end:
        assert end.code in (None, 0, 1, 3), (arguments, end.code)
sys.stdout.flush()
"""


@pytest.mark.skipif(os.name != "posix", reason="names are bytes only there")
@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "utf-8:strict"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "latin-1:strict"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["utf-8", "ascii", "latin-1", "ascii-locale"],
)
def test_output_can_be_printed_in_every_encoding(environment: dict[str, str], tmp_path: Path, tiny_model: Path) -> None:
    """With names that are not valid text, and characters that the encoding does not have."""
    pytest.importorskip("jinja2")
    records = [make_record(name) for name in ("a\udcff é\u20ac.jpg", "=b\u20ac.jpg")]
    for name, people in (("r.jsonl", records), ("s.jsonl", [replace(record, poses=()) for record in records])):
        (tmp_path / name).write_text("".join(json.dumps(record.to_dict()) + "\n" for record in people))
    with open(bytes(tmp_path) + "/a\udcff é\u20ac.jpg".encode("utf-8", "surrogateescape"), "wb") as file:
        Image.new("RGB", (640, 480)).save(file, "JPEG")
    model = bytes(tmp_path) + b"/m\xff\xc3\xa9.tflite"
    with open(model, "wb") as file:
        file.write(tiny_model.read_bytes())
    commands = [
        ["measure", "r.jsonl"], ["measure", "r.jsonl", "-f", "json"], ["schema"], ["compare", "r.jsonl", "s.jsonl"],
        ["compare", "r.jsonl", "s.jsonl", "--json"], ["compare", "r.jsonl", "s.jsonl", "--github"],
        *(["convert", "r.jsonl", "-f", name] for name in ("csv", "json", "jsonl", "coco")),
        ["convert", "r.jsonl", "-o", "d/", "-f", "coco", "-a", "d/"], ["report", "r.jsonl", "-o", "p.html", "--link"],
        ["estimate", "d/\udcff\udcc3\udca9.jpg", "--dry-run", "-o", "e/"], ["model", "path"], ["model", "list"],
        ["model", "info"], ["model", "verify"], ["--help"], ["help", "estimate"],
    ]  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", COMMANDS.format(commands=commands)],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=120,
        env={**os.environb, b"POSECLI_MODEL": model, **{k.encode(): v.encode() for k, v in environment.items()}},
    )
    assert result.returncode == 0, result.stderr.decode(errors="replace")
    assert b"a%FF%20%C3%A9%E2%82%AC.jpg" in (tmp_path / "p.html").read_bytes()
    table = "a\\udcff é\u20ac.jpg,,,0,,".encode()
    assert table in result.stdout  # tables are always UTF-8

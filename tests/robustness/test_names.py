"""Hostile names: printed text is safe for a terminal."""

from __future__ import annotations

import io
import json
from pathlib import Path

import click
import pytest

from posecli.checks.compare import Limits, compare
from posecli.commands import cli
from posecli.files.terminal import print_line
from posecli.types import Record

from ..test_types import make_record

HOSTILE = "a\x1b[2J\r\nb\udcff\u202ec.jpg"


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_a_line_is_one_line_in_every_encoding(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding, errors="strict", newline="\n")
    print_line(f"posecli: ä {HOSTILE}", stream)
    shown = raw.getvalue()
    assert shown.count(b"\n") == 1
    assert shown.decode(encoding).rstrip("\n").isprintable()
    assert b"\\x1b[2J\\r\\nb\\udcff\\u202ec.jpg" in shown


def test_output_of_compare_is_safe_for_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, record in (("a", make_record(HOSTILE)), ("b", Record.failed(HOSTILE, "not_found", HOSTILE))):
        (tmp_path / name).write_text(json.dumps(record.to_dict()) + "\n")
    with pytest.raises(SystemExit) as end:
        cli.main(["compare", str(tmp_path / "a"), str(tmp_path / "b")], standalone_mode=False)
    out = capsys.readouterr().out
    assert end.value.code == 3
    assert all(line.isprintable() for line in out.split("\n"))


def test_dry_run_prints_one_line_per_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "a\x1b[2J\tb\udcff.jpg"
    picture.write_bytes(b"")
    with pytest.raises(SystemExit) as end:
        cli.main(["estimate", str(picture), "--dry-run", "-a", f"{tmp_path}/out/"], standalone_mode=False)
    out = capsys.readouterr().out
    assert end.value.code == 0
    assert [line.count("\t") for line in out.splitlines()] == [1]
    assert "a\\x1b[2J\\tb\\udcff.jpg" in out


def frames(image: str, *numbers: int, people: int = 1) -> list[Record]:
    from dataclasses import replace

    return [replace(make_record(image, people), frame=number, time=number / 10) for number in numbers]


def test_clips_with_the_same_base_name_are_not_confused() -> None:
    expected = [*frames("a/x.mp4", 0, 1), *frames("b/x.mp4", 0, 1, people=2)]
    assert list(compare(expected, expected, Limits())) == []
    elsewhere = list(compare(expected, frames("c/x.mp4", 0), Limits(), ignore_missing=True))
    assert [(found.kind, found.place) for found in elsewhere] == [("new_picture", "c/x.mp4 frame 0")]
    assert list(compare(frames("a/x.mp4", 0, 1), frames("c/x.mp4", 0, 1), Limits())) == []


def test_differences_name_the_frame() -> None:
    found = list(compare(frames("x.gif", 0, 1, 2), frames("x.gif", 0, 1, people=0), Limits()))
    assert [(one.kind, one.place, one.to_dict()["frame"]) for one in found] == [
        ("missing_person", "x.gif frame 0", 0),
        ("missing_person", "x.gif frame 1", 1),
        ("missing_picture", "x.gif frame 2", 2),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        *(["estimate", "x.jpg", "--timeout", value] for value in ("nan", "inf", "1e18", "-1", "0")),
        *(["estimate", "x.jpg", name, str(10**value)] for name in ("--workers", "--threads") for value in (6, 30)),
        *(["compare", "a", "b", name, "nan"] for name in ("--max-distance", "--max-score-change")),
        *(["estimate", "x.gif", name, "nan"] for name in ("--from", "--to", "--fps")),
        *(["measure", "a", name, "nan"] for name in ("--smooth", "--keypoint-threshold")),
    ],
)
def test_invalid_numbers_are_refused(arguments: list[str]) -> None:
    with pytest.raises(click.UsageError):
        cli.main(arguments, standalone_mode=False)

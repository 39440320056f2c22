"""`posecli benchmark`: the form of its output. No test depends on the speed."""

from __future__ import annotations

import json
from pathlib import Path

from ..conftest import Posecli
from ..tiny_model import draw_discs, person_at


def test_the_table_and_the_json_output(posecli: Posecli, tmp_path: Path) -> None:
    draw_discs([person_at(60, 60)]).save(tmp_path / "a.png")
    result = posecli("benchmark", tmp_path, "--count", "3", "--threads", "1", "--workers", "1")
    assert result.returncode == 0, result.stderr
    header, row, *_ = result.stdout.decode().splitlines()
    assert header.split()[:2] == ["input", "stride"]
    assert row.split()[:5] == ["257", "x", "257", "32", "1"]
    sizes = ("--input-size", "257", "--input-size", "513")
    data = json.loads(posecli("benchmark", "--count", "2", *sizes, "--threads", "1", "--workers", "1", "--json").stdout)
    assert [row["input"] for row in data["stages"]] == [[225, 289], [449, 577]]
    assert set(data["stages"][0]["milliseconds"]) == {"read", "prepare", "infer", "decode", "zoom", "write"}
    assert data["workers"][0]["pictures_per_second"] > 0


def test_no_readable_picture_is_a_usage_error(posecli: Posecli, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"bad")
    assert posecli("benchmark", tmp_path / "bad.png", "--workers", "1").returncode == 2

"""The self-test: all well is 0, anything wrong is 3 and says what to do."""

from __future__ import annotations

import json
from pathlib import Path

from .conftest import Posecli


def test_all_is_well(posecli: Posecli) -> None:
    result = posecli("doctor")
    assert result.returncode == 0, result.stdout
    assert all(line.startswith(b"ok ") for line in result.stdout.splitlines())
    assert {finding["what"] for finding in json.loads(posecli("doctor", "--json").stdout)} >= {"model", "inference"}


def test_no_model(posecli: Posecli, tmp_path: Path) -> None:
    result = posecli("doctor", model=tmp_path / "none.tflite")
    assert result.returncode == 3
    assert b"FAIL  model" in result.stdout
    assert b"ok    runtime" in result.stdout


def test_a_damaged_model(posecli: Posecli, tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(b"\0" * 100)
    result = posecli("doctor", "--model", tmp_path / "m.tflite")
    assert (result.returncode, b"FAIL  inference" in result.stdout) == (3, True)


def test_a_runtime_that_is_not_there(posecli: Posecli) -> None:
    result = posecli("doctor", env={"POSECLI_RUNTIME": "nonsense"})
    assert (result.returncode, b"FAIL  runtime" in result.stdout) == (3, True)

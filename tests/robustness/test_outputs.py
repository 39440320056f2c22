"""Odd outputs, and two runs into one: what is there is kept until something whole replaces it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from filelock import FileLock

from posecli.commands import cli
from posecli.errors import EngineError, UsageError
from posecli.files.lock import locked
from posecli.run import start

from ..test_types import make_record
from ..tiny_model import draw_discs, person_at


def estimate(*arguments: object) -> int:
    """The exit status of a run in this process."""
    with pytest.raises(SystemExit) as end:
        cli.main(["estimate", *map(str, arguments)], prog_name="posecli", standalone_mode=False)
    return int(end.value.code or 0)


@pytest.fixture
def picture(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("POSECLI_MODEL", str(tiny_model))
    path = tmp_path / "a.png"
    draw_discs([person_at(62, 41)]).save(path)
    return path


@pytest.fixture
def records(tmp_path: Path) -> Path:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(make_record("a.png").to_dict()) + "\n")
    return path


OUTPUTS = [["-o", "x.jsonl"], ["-o", "x.csv"], ["-o", "d/"], ["-a", "d/"], ["-a", "x.png"], ["-o", "d/", "--shards"]]


@pytest.mark.parametrize("policy", [[], ["--resume"], ["--overwrite"]])
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_a_second_run_into_one_output_is_refused_and_no_lock_stays(
    outputs: list[str], policy: list[str], picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(picture.parent)
    began = []

    def second_run(*_: object) -> None:
        began.append(1)
        cli.main(["estimate", "a.png", *outputs, *policy], standalone_mode=False)

    monkeypatch.setattr(start, "choose_runtime", second_run)  # the first thing that a run does
    with pytest.raises(UsageError, match="another run writes"):
        cli.main(["estimate", "a.png", *outputs, *policy], standalone_mode=False)
    assert len(began) == 1
    assert os.listdir() == ["a.png"]


def test_convert_is_refused_too(records: Path, tmp_path: Path) -> None:
    from posecli.records.formats import get_format
    from posecli.run.destinations import Destinations, RunFile

    output = tmp_path / "x.csv"
    held = Destinations(RunFile(get_format("csv"), str(output))).locked()
    with held, pytest.raises(UsageError, match=r"another run writes .*x\.csv"):
        cli.main(["convert", str(records), "-o", str(output)], standalone_mode=False)
    assert os.listdir(tmp_path) == ["r.jsonl"]


def test_one_folder_for_all_is_locked_once(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(picture.parent)
    assert estimate("a.png", "-o", "d/", "-a", f"{picture.parent}/d", "-q", "--engine", "serial") == 0
    assert sorted(os.listdir("d")) == ["a.png.json", "a.png.png"]


def test_a_lock_file_that_a_killed_run_left_is_no_lock(tmp_path: Path) -> None:
    path = str(tmp_path / "x.lock")
    Path(path).touch()
    with locked([(path, "x")]):
        assert not FileLock(path).is_locked
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.jsonl.partial.jsonl"])
def test_what_is_there_stays_until_there_is_a_record(name: str, picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(picture.parent)
    Path(name).write_text("what was there")
    output = name.removesuffix(".partial.jsonl")

    def fail(*_: object, **__: object) -> None:
        raise EngineError("no engine")

    monkeypatch.setattr(start, "get_engine", fail)
    with pytest.raises(EngineError):
        cli.main(["estimate", "a.png", "-o", output, "--overwrite", "-q"], standalone_mode=False)
    assert Path(name).read_text() == "what was there"


@pytest.mark.parametrize("steps", [[], ["--track"]])
def test_overwrite_replaces_what_was_there(steps: list[str], picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(picture.parent)
    for name in ("x.jsonl", "x.jsonl.partial.jsonl"):
        Path(name).write_text("what was there\n")
    assert estimate("a.png", "-o", "x.jsonl", "--overwrite", "-q", "--engine", "serial", *steps) == 0
    (line,) = Path("x.jsonl").read_text().splitlines()
    assert json.loads(line)["image"] == "a.png"
    assert sorted(os.listdir()) == ["a.png", "x.jsonl"]


@pytest.mark.parametrize("output", ["x.csv", "x.json", "x.jsonl", "d/"])
def test_convert_of_no_file_leaves_nothing(output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"cannot read nothere\.jsonl"):
        cli.main(["convert", "nothere.jsonl", "-o", output], standalone_mode=False)
    assert os.listdir() == []

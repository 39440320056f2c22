"""If a file of one input cannot be written, that input fails, and the run continues."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from posecli.commands import cli
from posecli.errors import OutputError
from posecli.types import Record

from ..test_types import make_record
from ..tiny_model import draw_discs, person_at

#: The longest name on common file systems: with a suffix it is too long.
LONG = "a" * 251 + ".png"


def run(*arguments: object) -> int:
    """Run a command in this process; return its exit status."""
    with pytest.raises(SystemExit) as end:
        cli.main([*map(str, arguments)], prog_name="posecli", standalone_mode=False)
    return int(end.value.code or 0)


def nothing_there() -> None:
    """Create nothing: the name itself is too long."""


def a_folder() -> None:
    for suffix in ("json", "csv", "png", "coco.json", "gif"):
        Path(f"d/a.png.{suffix}").mkdir(parents=True)


def a_file_for_a_folder() -> None:
    Path("d").mkdir()
    Path("d/sub").touch()


#: The name of an input whose files cannot be written, and a function that creates the obstacle.
OBSTACLES: list[tuple[str, Callable[[], None]]] = [
    (LONG, nothing_there),
    ("a.png", a_folder),
    ("sub/a.png", a_file_for_a_folder),
]
OUTPUTS = [["-o", "d/"], ["-o", "d/", "-f", "coco"], ["-a", "d/"], ["-o", "r.jsonl", "-a", "d/"]]


@pytest.fixture(params=OBSTACLES, ids=["long", "folder", "file"])
def obstructed(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the picture whose files cannot be written. Its folder has another picture too."""
    name: str
    name, obstruct = request.param
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / name, tmp_path / "b.png"):
        path.parent.mkdir(exist_ok=True)
        draw_discs([person_at(62, 41)]).save(path)
    obstruct()
    return name


@pytest.mark.skipif(os.name != "posix", reason="names may be longer there")
@pytest.mark.parametrize(
    "options",
    [
        ["-o", "d/"],
        ["-o", "d/", "--track", "--overwrite"],
        ["-o", "d/", "-f", "csv", "--resume"],
        ["-a", "d/", "--overwrite"],
        ["-o", "r.jsonl", "-a", "d/", "--resume"],
    ],
)
def test_estimate_fails_only_the_input_whose_file_cannot_be_written(
    options: list[str],
    obstructed: str,
    tiny_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("POSECLI_MODEL", str(tiny_model))
    assert run("estimate", obstructed, "b.png", *options, "--engine", "serial") == 1
    assert "2 pictures = 1 ok + 1 failed + 0 skipped" in capsys.readouterr().err
    assert {"b.png.json", "b.png.csv", "b.png.png"} & set(os.listdir("d"))
    if Path("r.jsonl").exists():
        statuses = [json.loads(line)["status"] for line in Path("r.jsonl").read_text().splitlines()]
        assert statuses == ["error", "ok"]


@pytest.mark.skipif(os.name != "posix", reason="names may be longer there")
@pytest.mark.parametrize("outputs", OUTPUTS)
def test_convert_fails_only_the_input_whose_file_cannot_be_written(
    outputs: list[str], obstructed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [replace(make_record(name), width=257, height=257) for name in (obstructed, "b.png")]
    Path("given.jsonl").write_text("".join(json.dumps(record.to_dict()) + "\n" for record in records))
    assert run("convert", "given.jsonl", *outputs) == 1
    assert "2 pictures = 1 ok + 1 failed + 0 skipped" in capsys.readouterr().err
    assert any(name.startswith("b.png.") for name in os.listdir("d"))


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two clips. The annotated clip of the first cannot be written."""
    monkeypatch.chdir(tmp_path)
    names = ["a" * 251 + ".gif", "b.gif"]
    pages = [draw_discs([person_at(62 + page, 41)]) for page in range(3)]
    for name in names:
        pages[0].save(name, save_all=True, append_images=pages[1:], duration=100)
    return names


@pytest.mark.skipif(os.name != "posix", reason="names may be longer there")
def test_an_annotated_clip_that_cannot_be_written_is_one_failure(
    clips: list[str], tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSECLI_MODEL", str(tiny_model))
    assert run("estimate", *clips, "-a", "d/", "-o", "r.jsonl", "--engine", "serial") == 1
    assert "6 pictures = 5 ok + 1 failed" in capsys.readouterr().err
    assert os.listdir("d") == ["b.gif.gif"]
    records = [Record.from_dict(json.loads(line)) for line in Path("r.jsonl").read_text().splitlines()]
    assert [record.ok for record in records] == [True] * 6  # the poses are kept

    assert run("estimate", *clips, "-a", "d/", "-o", "r.jsonl", "--engine", "serial", "--resume") == 1
    assert "6 pictures = 0 ok + 1 failed + 5 skipped" in capsys.readouterr().err

    Path("d/b.gif.gif").unlink()
    assert run("convert", "r.jsonl", "-a", "d/") == 1
    assert "6 pictures = 5 ok + 1 failed" in capsys.readouterr().err
    with Image.open("d/b.gif.gif") as drawn:
        assert drawn.n_frames == 3


@pytest.mark.skipif(os.name != "posix", reason="names may be longer there")
@pytest.mark.parametrize("place", ["a" * 300 + "/", "file/sub/"])
def test_an_output_folder_that_cannot_be_written_ends_the_run(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("given.jsonl").write_text(json.dumps(make_record("b.png").to_dict()) + "\n")
    with pytest.raises(OutputError, match="cannot write"):
        cli.main(["convert", "given.jsonl", "-o", place], standalone_mode=False)

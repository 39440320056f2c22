"""A watched folder: every file once, as soon as it is whole."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from posecli.inputs import walk, watch
from posecli.inputs.walk import Found
from posecli.inputs.watch import LOOK_SECONDS, PAUSE_FOR_A_LOOK, Watch

Step = Callable[[], object]


def nothing() -> None:
    """A pause in which nothing changes."""


class _NoMoreSteps(Exception):
    pass


class Looks:
    """A watched folder, and something that is done in each pause between two looks; no step is left, no look is."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, *written: tuple[str, str]) -> None:
        self.watch = Watch(str(folder), written)
        self.told: list[str] = []
        self.watch.tell = self.told.append
        self.pauses: list[float] = []
        self.steps: Iterator[Step] = iter(())
        self._folder = folder
        monkeypatch.setattr(watch.time, "sleep", self._pause)

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        step = next(self.steps, None)
        if step is None:
            raise _NoMoreSteps
        step()

    def found(self, *steps: Step) -> list[Found]:
        """What arrives until all steps are done and looked at."""
        self.steps = iter(steps)
        found: list[Found] = []
        with suppress(_NoMoreSteps):
            found.extend(self.watch)
        return found

    def names(self, *steps: Step) -> list[str]:
        """The same, as names in the folder."""
        return [Path(os.path.relpath(one.path, self._folder)).as_posix() for one in self.found(*steps)]


def write(path: Path, data: bytes = b"x") -> Step:
    """A step that writes a file, with a time of its own."""

    def step() -> None:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data)
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + len(data)))

    return step


def test_files_at_rest_are_taken_once_in_natural_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("10.png", "9.jpg", "sub/1.png", ".hidden.png", "notes.txt"):
        write(tmp_path / name)()
    looks = Looks(tmp_path, monkeypatch)
    assert looks.names(nothing, nothing, nothing) == ["9.jpg", "10.png", "sub/1.png"]
    assert str(looks.watch.passed_over) == "1 .txt"  # not once more with each look
    assert not looks.told


def test_one_look_is_not_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.png")()
    assert Looks(tmp_path, monkeypatch).names() == []


def test_a_file_that_grows_or_is_touched_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write(path)()
    changes = [write(path, b"xx"), lambda: os.utime(path, ns=(1, 1))]
    assert Looks(tmp_path, monkeypatch).names(*changes) == []
    write(path)()
    assert Looks(tmp_path, monkeypatch).names(*changes, nothing) == ["a.png"]


def test_empty_files_and_what_is_no_file_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    looks = Looks(tmp_path, monkeypatch)
    assert looks.names(nothing, write(tmp_path / "empty.png"), nothing) == ["empty.png"]


def test_a_file_that_is_renamed_into_place_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / ".a.png.part")()
    rename = (tmp_path / ".a.png.part").rename
    assert Looks(tmp_path, monkeypatch).names(nothing, lambda: rename(tmp_path / "a.png"), nothing) == ["a.png"]


def test_folders_that_come_later_are_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Looks(tmp_path, monkeypatch).names(write(tmp_path / "sub/deep/a.png"), nothing) == ["sub/deep/a.png"]


def test_files_and_folders_that_go_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gone.png", "sub/gone.png"):
        write(tmp_path / name)()

    def go() -> None:
        (tmp_path / "gone.png").unlink()
        (tmp_path / "sub" / "gone.png").unlink()
        (tmp_path / "sub").rmdir()

    looks = Looks(tmp_path, monkeypatch)
    assert looks.names(go, write(tmp_path / "b.png"), nothing) == ["b.png"]
    assert not looks.told


def test_another_content_under_the_same_name_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write(path)()
    looks = Looks(tmp_path, monkeypatch)
    steps = [nothing, write(path, b"xx"), nothing, nothing, write(path, b"xxx"), nothing, nothing]
    assert looks.names(*steps) == ["a.png"]
    assert looks.told == [f"{path} has changed after it was taken; it is not taken again"] * 2


def test_what_failed_is_taken_again_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy paused so long that its half was taken for a whole file; the failure may be known late."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        write(path)()
    looks = Looks(tmp_path, monkeypatch)
    failed = looks.watch.failed
    early = [lambda: failed(str(paths[0])), nothing, write(paths[0], b"xx"), nothing, nothing]
    late = [write(paths[1], b"xx"), nothing, nothing, lambda: failed(str(paths[1])), nothing]
    assert looks.names(nothing, *early, *late) == ["a.png", "b.png", "a.png", "b.png"]
    assert looks.told == [f"{paths[1]} has changed after it was taken; it is not taken again"]


def test_a_folder_that_goes_is_an_error_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is watched on. One that cannot be listed in one look only, since it goes just then, is none."""
    folder = tmp_path / "in"
    away = lambda: folder.rename(tmp_path / "away")  # noqa: E731
    back = lambda: (tmp_path / "away").rename(folder)  # noqa: E731
    write(folder / "a.png")()
    steps = [nothing, away, back, away, nothing, nothing, nothing, back, write(folder / "b.png"), nothing]
    found = Looks(folder, monkeypatch).found(*steps, away, nothing)
    assert [(Path(one.path).name, one.error and one.error.code) for one in found] == [
        ("a.png", None),
        ("in", "not_found"),
        ("b.png", None),
        ("in", "not_found"),
    ]


def test_a_folder_that_may_not_be_listed_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "sub/a.png")()
    write(tmp_path / "b.png")()
    real, refused = walk._visible_entries, [str(tmp_path / "sub")]

    def entries(folder: str) -> list[os.DirEntry[str]]:
        if folder in refused:
            raise PermissionError
        return real(folder)

    monkeypatch.setattr(walk, "_visible_entries", entries)
    looks = Looks(tmp_path, monkeypatch)
    found = looks.names(nothing, nothing, nothing, refused.clear, nothing, nothing)
    assert found == ["b.png", "sub", "sub/a.png"]


def test_outputs_in_the_folder_are_no_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are they where they are named through a link."""
    for name in ("in/a.png", "in/drawn/a.png.png"):
        write(tmp_path / name)()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for drawn in ("in/drawn", "link/drawn"):
        looks = Looks(tmp_path / "in", monkeypatch, (str(tmp_path / drawn), ".png"))
        assert looks.names(nothing, nothing) == ["a.png"]


def test_long_looks_are_followed_by_long_pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But it is no look while somebody else is at work on what has arrived."""
    clock = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: clock[0])
    for name in ("a.png", "b.png"):
        write(tmp_path / name)()
    real = watch._state_of

    def slowly(path: str) -> int | None:
        clock[0] += 1
        return real(path)

    monkeypatch.setattr(watch, "_state_of", slowly)
    looks = Looks(tmp_path, monkeypatch)
    looks.steps = iter([nothing, lambda: monkeypatch.setattr(watch, "_state_of", real)])
    with suppress(_NoMoreSteps):
        for _ in looks.watch:
            clock[0] += 1000
    assert looks.pauses == [2 * PAUSE_FOR_A_LOOK, 2 * PAUSE_FOR_A_LOOK, LOOK_SECONDS]

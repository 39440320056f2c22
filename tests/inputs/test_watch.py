"""A watched folder yields every file once, when it is complete."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from posecli.inputs import walk, watch
from posecli.inputs.walk import Found
from posecli.inputs.watch import PAUSE_FACTOR, SHORTEST_PAUSE, Watch

Step = Callable[[], object]


def nothing() -> None:
    """A step that changes nothing."""


class _NoMoreSteps(Exception):
    pass


class Listings:
    """A watched folder. One step runs in each pause between two listings; after the last step the watch ends."""

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
        """What the watch yields until all steps have run and the folder was listed again."""
        self.steps = iter(steps)
        found: list[Found] = []
        with suppress(_NoMoreSteps):
            found.extend(self.watch)
        return found

    def names(self, *steps: Step) -> list[str]:
        """As `found`, but paths relative to the folder."""
        return [Path(os.path.relpath(file.path, self._folder)).as_posix() for file in self.found(*steps)]


def write(path: Path, data: bytes = b"x") -> Step:
    """A step that writes a file, with a time that depends on its size."""

    def step() -> None:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data)
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + len(data)))

    return step


def test_unchanged_files_are_yielded_once_in_natural_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("10.png", "9.jpg", "sub/1.png", ".hidden.png", "notes.txt"):
        write(tmp_path / name)()
    listings = Listings(tmp_path, monkeypatch)
    assert listings.names(nothing, nothing, nothing) == ["9.jpg", "10.png", "sub/1.png"]
    assert str(listings.watch.passed_over) == "1 .txt"  # not counted again in each listing
    assert not listings.told


def test_one_listing_does_not_suffice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.png")()
    assert Listings(tmp_path, monkeypatch).names() == []


def test_a_file_that_grows_or_is_touched_is_not_yet_yielded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write(path)()
    changes = [write(path, b"xx"), lambda: os.utime(path, ns=(1, 1))]
    assert Listings(tmp_path, monkeypatch).names(*changes) == []
    write(path)()
    assert Listings(tmp_path, monkeypatch).names(*changes, nothing) == ["a.png"]


def test_empty_files_broken_links_and_pipes_are_not_yielded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
    listings = Listings(tmp_path, monkeypatch)
    assert listings.names(nothing, write(tmp_path / "empty.png"), nothing) == ["empty.png"]


def test_a_file_that_is_renamed_into_place_is_yielded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / ".a.png.part")()
    rename = (tmp_path / ".a.png.part").rename
    assert Listings(tmp_path, monkeypatch).names(nothing, lambda: rename(tmp_path / "a.png"), nothing) == ["a.png"]


def test_folders_that_are_created_later_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Listings(tmp_path, monkeypatch).names(write(tmp_path / "sub/deep/a.png"), nothing) == ["sub/deep/a.png"]


def test_deleted_files_and_folders_are_not_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gone.png", "sub/gone.png"):
        write(tmp_path / name)()

    def delete() -> None:
        (tmp_path / "gone.png").unlink()
        (tmp_path / "sub" / "gone.png").unlink()
        (tmp_path / "sub").rmdir()

    listings = Listings(tmp_path, monkeypatch)
    assert listings.names(delete, write(tmp_path / "b.png"), nothing) == ["b.png"]
    assert not listings.told


def test_the_user_is_told_once_of_each_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write(path)()
    listings = Listings(tmp_path, monkeypatch)
    steps = [nothing, write(path, b"xx"), nothing, nothing, write(path, b"xxx"), nothing, nothing]
    assert listings.names(*steps) == ["a.png"]
    assert listings.told == [f"{path} was changed after it was processed; it is not processed again"] * 2


def test_a_failed_file_is_yielded_again_after_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a copy pauses and its half is taken for a complete file. The failure may be reported late."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in paths:
        write(path)()
    listings = Listings(tmp_path, monkeypatch)
    failed = listings.watch.failed
    early = [lambda: failed(str(paths[0])), nothing, write(paths[0], b"xx"), nothing, nothing]
    late = [write(paths[1], b"xx"), nothing, nothing, lambda: failed(str(paths[1])), nothing]
    assert listings.names(nothing, *early, *late) == ["a.png", "b.png", "a.png", "b.png"]
    assert listings.told == [f"{paths[1]} was changed after it was processed; it is not processed again"]


def test_a_folder_that_disappears_is_an_error_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is still watched afterwards. A folder that cannot be listed only once is not an error."""
    folder = tmp_path / "in"
    away = lambda: folder.rename(tmp_path / "away")  # noqa: E731
    back = lambda: (tmp_path / "away").rename(folder)  # noqa: E731
    write(folder / "a.png")()
    steps = [nothing, away, back, away, nothing, nothing, nothing, back, write(folder / "b.png"), nothing]
    found = Listings(folder, monkeypatch).found(*steps, away, nothing)
    assert [(Path(file.path).name, file.error and file.error.code) for file in found] == [
        ("a.png", None),
        ("in", "not_found"),
        ("b.png", None),
        ("in", "not_found"),
    ]


def test_a_folder_without_permission_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "sub/a.png")()
    write(tmp_path / "b.png")()
    real, refused = walk._visible_entries, [str(tmp_path / "sub")]

    def entries(folder: str) -> list[os.DirEntry[str]]:
        if folder in refused:
            raise PermissionError
        return real(folder)

    monkeypatch.setattr(walk, "_visible_entries", entries)
    listings = Listings(tmp_path, monkeypatch)
    found = listings.names(nothing, nothing, nothing, refused.clear, nothing, nothing)
    assert found == ["b.png", "sub", "sub/a.png"]


def test_outputs_in_the_folder_are_not_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the output folder is named through a link."""
    for name in ("in/a.png", "in/drawn/a.png.png"):
        write(tmp_path / name)()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    for drawn in ("in/drawn", "link/drawn"):
        listings = Listings(tmp_path / "in", monkeypatch, (str(tmp_path / drawn), ".png"))
        assert listings.names(nothing, nothing) == ["a.png"]


def test_long_listings_are_followed_by_long_pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that the consumer spends on the files does not count."""
    clock = [0.0]
    monkeypatch.setattr(watch.time, "monotonic", lambda: clock[0])
    for name in ("a.png", "b.png"):
        write(tmp_path / name)()
    real = watch._state_of

    def slowly(path: str) -> int | None:
        clock[0] += 1
        return real(path)

    monkeypatch.setattr(watch, "_state_of", slowly)
    listings = Listings(tmp_path, monkeypatch)
    listings.steps = iter([nothing, lambda: monkeypatch.setattr(watch, "_state_of", real)])
    with suppress(_NoMoreSteps):
        for _ in listings.watch:
            clock[0] += 1000
    assert listings.pauses == [2 * PAUSE_FACTOR, 2 * PAUSE_FACTOR, SHORTEST_PAUSE]

"""Errors while folders are searched fail one input, never the run."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from posecli.inputs.arguments import Inputs
from posecli.types import ImageInput, Record

from ..conftest import Posecli, records_of
from ..tiny_model import draw_discs, person_at

DEPTH = 1200


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a picture, a link to itself, a broken link, and a second picture."""
    draw_discs([person_at(80, 80)]).save(tmp_path / "a.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "nowhere.png").symlink_to("nothing/at/all.png")
    draw_discs([person_at(80, 80)]).save(tmp_path / "z.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def codes(records: list[Record]) -> dict[str, str]:
    return {record.image: record.error.code if record.error else "ok" for record in records}


FOUND = {"./a.png": "ok", "./loop.png": "unreadable_image", "./nowhere.png": "not_found", "./z.png": "ok"}


def test_a_link_to_itself_is_one_error_record(folder: Path, posecli: Posecli) -> None:
    result = posecli("estimate", ".", "--engine", "serial")
    assert result.returncode == 1, result.stderr
    assert codes(records_of(result.stdout)) == FOUND
    assert b"Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "status", "made"),
    [
        (["-o", "out/"], 1, "out/z.png.json"),
        (["-o", "out/", "--shards"], 1, "out"),
        (["-a", "out/"], 1, "out/z.png.png"),
        (["-o", "out/", "--dry-run"], 0, "z.png"),
    ],
    ids=["files", "shards", "drawn", "dry run"],
)
def test_other_pictures_are_processed_with_all_kinds_of_output(
    options: list[str], status: int, made: str, folder: Path, posecli: Posecli
) -> None:
    result = posecli("estimate", ".", "--engine", "serial", *options)
    assert result.returncode == status, result.stderr
    assert b"Traceback" not in result.stderr
    assert (folder / made).exists()


class _Entry:
    """An entry of a folder whose type cannot be determined."""

    def __init__(self, path: str, error: OSError) -> None:
        self.path, self.name, self._error = path, os.path.basename(path), error

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        raise self._error


class _Listing:
    """A result of os.scandir: some entries, then an error if there is one."""

    def __init__(self, entries: list[Any], error: OSError | None = None) -> None:
        self._entries, self._error = entries, error

    def __enter__(self) -> _Listing:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        yield from self._entries
        if self._error is not None:
            raise self._error


def walk_with(monkeypatch: pytest.MonkeyPatch, listings: dict[str, _Listing | OSError]) -> list[ImageInput]:
    real = os.scandir

    def scandir(path: str) -> Any:
        listing = listings.get(os.path.basename(path)) or real(path)
        if isinstance(listing, OSError):
            raise listing
        return listing

    monkeypatch.setattr(os, "scandir", scandir)
    return list(Inputs(["."]))


@pytest.mark.parametrize("number", [errno.EACCES, errno.ELOOP, errno.ENOENT, errno.EIO, errno.ENAMETOOLONG])
def test_an_entry_of_unknown_type_is_an_input_and_others_follow(
    number: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub").mkdir()
    error = OSError(number, os.strerror(number))
    listing = _Listing([_Entry("./sub/locked.png", error), _Entry("./sub/locked", error)])
    images = walk_with(monkeypatch, {"sub": listing})
    names = [image.name for image in images]
    assert names == ["./a.png", "./loop.png", "./nowhere.png", "./sub/locked.png", "./z.png"]


@pytest.mark.parametrize(
    ("number", "code"),
    [(errno.EACCES, "permission_denied"), (errno.ENOENT, "not_found"), (errno.EIO, "unreadable_image")],
)
@pytest.mark.parametrize("midway", [False, True])
def test_a_folder_that_cannot_be_listed_is_one_error_with_the_reason(
    number: int, code: str, midway: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sub").mkdir()
    error = OSError(number, os.strerror(number))
    images = walk_with(monkeypatch, {"sub": _Listing([], error) if midway else error})
    failures = {image.name: image.failure[0] for image in images if image.failure is not None}
    assert failures == {"./sub": code}
    assert images[-1].name == "./z.png"


def test_a_tree_deeper_than_the_stack_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "d").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "scandir", _Deep)
    images = list(Inputs(["d"]))
    assert [(image.name.count("/"), os.path.basename(image.name)) for image in images] == [(DEPTH, "x.png")]


class _Deep(_Listing):
    """Nested folders, with a picture in the innermost."""

    def __init__(self, path: str) -> None:
        is_last = path.count("/") == DEPTH - 1
        super().__init__([_Plain(f"{path}/x.png", folder=False) if is_last else _Plain(f"{path}/d", folder=True)])


class _Plain(_Entry):
    def __init__(self, path: str, *, folder: bool) -> None:
        super().__init__(path, OSError())
        self._folder = folder

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return self._folder

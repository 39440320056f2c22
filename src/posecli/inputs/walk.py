"""Walking through folders, of this machine and of remote stores: the pictures in them, in natural order."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from posecli.errors import InputError
from posecli.files import storage
from posecli.inputs.opening import NOT_DECODED
from posecli.inputs.pictures import failed_to_open
from posecli.inputs.signature import HEIF_EXTENSIONS, VIDEO_EXTENSIONS, begins_as_text

#: Kinds of files that are counted one by one, and that are named, at most.
_MOST_EXTENSIONS, _MOST_SHOWN = 100, 8
_OTHER = "other"
#: Extensions of MPEG transport streams that TypeScript uses too.
_AMBIGUOUS_EXTENSIONS = frozenset((".ts", ".mts"))


class Found(NamedTuple):
    """What a walk found. error: why it could not be looked into."""

    path: str
    error: InputError | None = None


class PassedOver:
    """Counts files that are no pictures by their extension."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, name: str) -> None:
        """Account for one file."""
        extension = os.path.splitext(name)[1].lower()
        if extension not in self._counts and len(self._counts) >= _MOST_EXTENSIONS:
            extension = _OTHER  # names that count, such as `run.17`, are no kinds
        self._counts[extension] += 1

    def replace(self, counted: PassedOver) -> None:
        """Hold what another one has counted."""
        self._counts = counted._counts

    @property
    def total(self) -> int:
        """How many there are of all kinds."""
        return self._counts.total()

    def __str__(self) -> str:
        """As `12 .txt, 3 .xmp, 1 without extension`: the most frequent first."""
        listed = [(kind, count) for kind, count in self._counts.most_common() if kind != _OTHER]
        shown = [f"{count} {kind or 'without extension'}" for kind, count in listed[:_MOST_SHOWN]]
        rest = self.total - sum(count for _, count in listed[:_MOST_SHOWN])
        return ", ".join([*shown, *([f"{rest} others"] if rest else [])])


class Walker:
    """Walks through folders. `passed_over` counts what lies in them besides pictures.

    written: folders that outputs go to, and the suffixes that they get: what lies there is no input.
    """

    def __init__(self, written: Sequence[tuple[str, str]] = ()) -> None:
        self._written = [(os.path.abspath(folder), suffix) for folder, suffix in written]
        self.passed_over = PassedOver()

    def local(self, folder: str) -> Iterator[Found]:
        """Files below a folder, natural order; hidden entries are skipped, links to folders not followed.

        A folder that cannot be listed comes with the reason. The levels are on a list of their own: a tree may be
        deeper than the stack.
        """
        levels: list[Iterator[os.DirEntry[str]]] = []
        entering: str | None = folder
        while levels or entering is not None:
            if entering is not None:
                try:
                    levels.append(iter(_visible_entries(entering)))
                except OSError as error:
                    yield Found(entering, failed_to_open(entering, error))
                entering = None
                continue
            entry = next(levels[-1], None)
            if entry is None:
                levels.pop()
            elif _is_folder(entry, follow_symlinks=False):
                if not any(_is_same_folder(entry.path, written) for written, _ in self._written):
                    entering = entry.path
            elif (
                _looks_readable(entry.path)
                and not _is_folder(entry, follow_symlinks=True)
                and not self._is_ours(entry.path)
            ):
                yield Found(entry.path)
            else:
                self.passed_over.count(entry.name)

    def remote(self, folder: str) -> Iterator[str]:
        """Pictures below a remote folder; the folder itself where it cannot be listed: reading it says why."""
        try:
            for place, folders, files in storage.walk(folder):
                folders[:] = sorted((name for name in folders if not _is_hidden(name)), key=natural_key)
                for name in sorted(files, key=natural_key):
                    if os.path.splitext(name)[1].lower() in picture_extensions() and not _is_hidden(name):
                        yield f"{place.rstrip('/')}/{name}"
                    else:
                        self.passed_over.count(name)
        except Exception:  # every store has its own; the folder becomes an error record that says why
            yield folder

    def _is_ours(self, path: str) -> bool:
        """Whether a file is an earlier run's output: it lies where outputs go, and its name is another file's plus
        their suffix."""
        return any(
            path.endswith(suffix)
            and os.path.abspath(path).startswith(os.path.join(folder, ""))
            and os.path.lexists(path.removesuffix(suffix))
            for folder, suffix in self._written
        )


def _is_hidden(name: str) -> bool:
    """Whether a part of a key is hidden. Dots alone are names there as any other."""
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


@cache
def picture_extensions() -> frozenset[str]:
    """Extensions, in lower case with their dot, of the pictures and clips that can be read, those that need an extra
    among them: where it is not installed, each gives an error that names it."""
    from PIL import Image

    registered = Image.registered_extensions()
    readable = {*Image.OPEN, "MPO"} - NOT_DECODED  # MPO is opened as JPEG
    pictures = frozenset(ext for ext, kind in registered.items() if kind in readable)
    return pictures | HEIF_EXTENSIONS | VIDEO_EXTENSIONS


def _looks_readable(path: str) -> bool:
    """Whether a local file has the extension of a picture or clip, and is not source code in TypeScript."""
    extension = os.path.splitext(path)[1].lower()
    return extension in picture_extensions() and not (extension in _AMBIGUOUS_EXTENSIONS and begins_as_text(path))


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sort key that puts `2.jpg` before `10.jpg`."""
    return [
        (0, int(word)) if word.isdecimal() and word.isascii() else (1, word) for word in re.split(r"([0-9]+)", name)
    ]


def _visible_entries(folder: str) -> list[os.DirEntry[str]]:
    """Entries of a folder in natural order, hidden ones left out. Raises OSError."""
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: natural_key(e.name))


def _is_folder(entry: os.DirEntry[str], *, follow_symlinks: bool) -> bool:
    """Whether an entry is a folder; what cannot be asked, such as a link that leads to itself, is tried as a file."""
    try:
        return entry.is_dir(follow_symlinks=follow_symlinks)
    except OSError:
        return False


def _is_same_folder(one: str, other: str) -> bool:
    """Whether two names are of one folder, through whatever links they lead."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def reaches(folder: str, path: str) -> bool:
    """Whether walking a folder gives a path: below it, nothing hidden, no link to a folder on the way."""
    if not path.startswith(os.path.join(folder, "")):
        return False
    parts = os.path.relpath(path, folder).split(os.sep)
    visible = not any(part.startswith(".") for part in parts) and not through_a_link(path, folder)
    return visible and _looks_readable(path)


def through_a_link(path: str, folder: str) -> bool:
    """Whether a link to a folder lies between a folder and a path below it: such a link may lead in circles."""
    parts = os.path.relpath(path, folder or ".").split(os.sep)
    return any(os.path.islink(os.path.join(folder, *parts[:depth])) for depth in range(1, len(parts)))

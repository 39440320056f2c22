"""Walks through local and remote folders: yields the pictures in them, in natural order."""

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

#: The most extensions that are counted separately, and that are shown.
_MOST_EXTENSIONS, _MOST_SHOWN = 100, 8
_OTHER = "other"
#: Extensions of MPEG transport streams that TypeScript uses too.
_AMBIGUOUS_EXTENSIONS = frozenset((".ts", ".mts"))


class Found(NamedTuple):
    """A file that a walk found, or a folder with the error why it could not be listed."""

    path: str
    error: InputError | None = None


class PassedOver:
    """Counts files that are not pictures, by extension."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def count(self, name: str) -> None:
        """Count one file."""
        extension = os.path.splitext(name)[1].lower()
        if extension not in self._counts and len(self._counts) >= _MOST_EXTENSIONS:
            extension = _OTHER  # numbers, as in `run.17`, are not kinds of files
        self._counts[extension] += 1

    def replace(self, counted: PassedOver) -> None:
        """Take over the counts of another object."""
        self._counts = counted._counts

    @property
    def total(self) -> int:
        """The number of files of all kinds."""
        return self._counts.total()

    def __str__(self) -> str:
        """The counts, such as `12 .txt, 3 .xmp, 1 without extension`: the most frequent first."""
        listed = [(kind, count) for kind, count in self._counts.most_common() if kind != _OTHER]
        shown = [f"{count} {kind or 'without extension'}" for kind, count in listed[:_MOST_SHOWN]]
        rest = self.total - sum(count for _, count in listed[:_MOST_SHOWN])
        return ", ".join([*shown, *([f"{rest} others"] if rest else [])])


class Walker:
    """Walks through folders. `passed_over` counts the files in them that are not pictures.

    written: (folder, suffix) of each kind of output. Outputs are not inputs.
    """

    def __init__(self, written: Sequence[tuple[str, str]] = ()) -> None:
        self._written = [(os.path.abspath(folder), suffix) for folder, suffix in written]
        self.passed_over = PassedOver()

    def local(self, folder: str) -> Iterator[Found]:
        """Yield the pictures below a folder in natural order. Hidden entries and links to folders are skipped.

        A folder that cannot be listed is yielded with its error. The levels are kept in a list, not by recursion: a
        tree may be deeper than the stack.
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
                if not any(storage.is_same(entry.path, written) for written, _ in self._written):
                    entering = entry.path
            elif (
                _is_picture(entry.path)
                and not _is_folder(entry, follow_symlinks=True)
                and not self._is_ours(entry.path)
            ):
                yield Found(entry.path)
            else:
                self.passed_over.count(entry.name)

    def remote(self, folder: str) -> Iterator[str]:
        """Yield the pictures below a remote folder. If it cannot be listed, yield it: reading it gives the error."""
        try:
            for place, folders, files in storage.walk(folder):
                folders[:] = sorted((name for name in folders if not _is_hidden(name)), key=natural_key)
                for name in sorted(files, key=natural_key):
                    if os.path.splitext(name)[1].lower() in picture_extensions() and not _is_hidden(name):
                        yield f"{place.rstrip('/')}/{name}"
                    else:
                        self.passed_over.count(name)
        except Exception:  # stores raise different errors; the folder becomes an error record with the reason
            yield folder

    def _is_ours(self, path: str) -> bool:
        """Whether a file is the output of an earlier run: it lies in an output folder, and its name is that of
        another file plus the suffix of outputs."""
        return any(
            path.endswith(suffix)
            and os.path.abspath(path).startswith(os.path.join(folder, ""))
            and os.path.lexists(path.removesuffix(suffix))
            for folder, suffix in self._written
        )


def _is_hidden(name: str) -> bool:
    """Whether a part of a remote key is hidden. `.` and `..` are ordinary names in keys."""
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


@cache
def picture_extensions() -> frozenset[str]:
    """Extensions of the pictures and clips that can be read, in lower case with the dot. Those that need an extra are
    included: if it is not installed, each such file gives an error that names the extra."""
    from PIL import Image

    registered = Image.registered_extensions()
    readable = {*Image.OPEN, "MPO"} - NOT_DECODED  # MPO is opened as JPEG
    pictures = frozenset(ext for ext, kind in registered.items() if kind in readable)
    return pictures | HEIF_EXTENSIONS | VIDEO_EXTENSIONS


def _is_picture(path: str) -> bool:
    """Whether a local file has the extension of a picture or clip, and is not source code in TypeScript."""
    extension = os.path.splitext(path)[1].lower()
    return extension in picture_extensions() and not (extension in _AMBIGUOUS_EXTENSIONS and begins_as_text(path))


def natural_key(name: str) -> list[tuple[int, int | str]]:
    """Sort key of the natural order: `2.jpg` comes before `10.jpg`."""
    return [
        (0, int(word)) if word.isdecimal() and word.isascii() else (1, word) for word in re.split(r"([0-9]+)", name)
    ]


def _visible_entries(folder: str) -> list[os.DirEntry[str]]:
    """The entries of a folder in natural order, without hidden ones. Raises OSError."""
    with os.scandir(folder) as entries:
        return sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: natural_key(e.name))


def _is_folder(entry: os.DirEntry[str], *, follow_symlinks: bool) -> bool:
    """Whether an entry is a folder. If that is unknown, as for a link to itself, the entry is tried as a file."""
    try:
        return entry.is_dir(follow_symlinks=follow_symlinks)
    except OSError:
        return False


def reaches(folder: str, path: str) -> bool:
    """Whether walking a folder yields a path: it lies below the folder, without hidden parts or links to folders."""
    if not path.startswith(os.path.join(folder, "")):
        return False
    parts = os.path.relpath(path, folder).split(os.sep)
    visible = not any(part.startswith(".") for part in parts) and not through_a_link(path, folder)
    return visible and _is_picture(path)


def through_a_link(path: str, folder: str) -> bool:
    """Whether the way from a folder to a path below it has a link to a folder. Such links may form circles."""
    parts = os.path.relpath(path, folder or ".").split(os.sep)
    return any(os.path.islink(os.path.join(folder, *parts[:depth])) for depth in range(1, len(parts)))

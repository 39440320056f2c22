"""Expands arguments into one `ImageInput` per picture: lazily, in natural order, without duplicates."""

from __future__ import annotations

import glob
import itertools
import os
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePath
from typing import IO

from posecli.errors import UsageError
from posecli.files import storage
from posecli.inputs.clips import may_hold_frames
from posecli.inputs.folder_clips import as_clips
from posecli.inputs.name_set import NameSet
from posecli.inputs.pictures import failed_to_open
from posecli.inputs.walk import PassedOver, Walker, natural_key, reaches, through_a_link
from posecli.inputs.watch import Watch
from posecli.types import ImageInput, Record

STDIN = "-"
STDIN_NAME = "stdin"
#: Folder for the outputs of listed files whose names are absolute or contain `..`.
OUTSIDE = "_outside"
#: Longest entry of a list, in characters. A longer one cannot be a path.
_LONGEST_NAME = 1 << 16


class Inputs:
    """The pictures that a command line names. Iterate once. `passed_over` counts the other files in folders.

    arguments: files, folders, glob patterns, `-` for the bytes of one picture on standard input.
    files_from: a file that lists more, one per line (`-`: standard input). null: entries are separated by NUL.
    as_clip: the pictures of each folder are the frames of one clip.
    watch: a folder whose pictures are taken as they arrive, without end. There are no other arguments then.
    written: (folder, suffix) of each kind of output. Outputs are not inputs.
    remote_folders: remote name → whether the store says it is a folder. All listings of a run share it, so that each
        store is asked once.
    Raises UsageError if arguments exclude each other, MissingExtra if one needs a package that is not installed.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        files_from: str | None = None,
        null: bool = False,
        as_clip: bool = False,
        watch: str | None = None,
        written: Sequence[tuple[str, str]] = (),
        remote_folders: dict[str, bool] | None = None,
    ) -> None:
        if files_from == STDIN and STDIN in arguments:
            raise UsageError("standard input cannot be both a picture and the list of files")
        self._arguments = list(dict.fromkeys(arguments))
        self._files_from = files_from
        self._separator = b"\0" if null else b"\n"
        self._as_clip = as_clip
        #: The watched folder, or None.
        self.watch = Watch(watch, written) if watch is not None else None
        self._anchor = _common_folder([name for name in self._arguments if _leads_outside(name)])
        self._only_folder = files_from is None and len(self._arguments) == 1
        self._written = written
        self._walker = Walker(written)
        self._remote_folders = {} if remote_folders is None else remote_folders
        self._names = NameSet()
        self._walked: list[str] = []
        self._check_collisions()
        for name in filter(storage.is_remote, [*self._arguments, *([files_from] if files_from is not None else [])]):
            storage.check_packages(name)

    @property
    def passed_over(self) -> PassedOver:
        """The files in folders that are not inputs, so far. For a watched folder: in its last listing."""
        return self._walker.passed_over if self.watch is None else self.watch.passed_over

    def __iter__(self) -> Iterator[ImageInput]:
        return as_clips(self._pictures()) if self._as_clip else self._pictures()

    def _pictures(self) -> Iterator[ImageInput]:
        if self.watch is not None:
            for path, error in self.watch:
                output = os.path.relpath(path, self.watch.folder)
                yield ImageInput(path, output, failure=error.reason if error is not None else None)
        for name in self._arguments:
            yield from self._expand(name)
        if self._files_from is not None:
            yield from self._listed(self._files_from)

    def can_be_listed_again(self) -> bool:
        """Whether the inputs can be listed twice. A stream, such as standard input, can be read only once."""
        return STDIN not in self._arguments and self._files_from != STDIN and not self.is_stream()

    def is_stream(self) -> bool:
        """Whether the next input may have to be waited for: a folder is watched, or the list of files comes from a
        pipe or a terminal."""
        if self.watch is not None:
            return True
        try:
            status = os.fstat(sys.stdin.fileno()) if self._files_from == STDIN else os.stat(self._files_from or "")
        except (OSError, ValueError):
            return False
        return any(kind(status.st_mode) for kind in (stat.S_ISFIFO, stat.S_ISSOCK, stat.S_ISCHR))

    def is_one_file(self) -> bool:
        """Whether the arguments name exactly one picture. Folders and lists are not opened to decide this.

        With as_clip: whether the inputs are one clip of pictures. This lists all inputs.
        """
        if self.watch is not None:
            return False
        if self._as_clip:
            return self.can_be_listed_again() and _is_one_clip(self._copy())
        return self._files_from is None and len(self._arguments) == 1 and not self._is_many(self._arguments[0])

    def _copy(self) -> Inputs:
        """The same inputs, unused: iterating over the copy does not change this object."""
        return Inputs(
            self._arguments,
            files_from=self._files_from,
            null=self._separator == b"\0",
            as_clip=self._as_clip,
            written=self._written,
            remote_folders=self._remote_folders,
        )

    def may_collide(self) -> bool:
        """Whether two inputs could have outputs of the same name. Inputs from a single folder cannot."""
        return not (self._only_folder and not _is_pattern(self._arguments[0]))

    def _is_many(self, name: str) -> bool:
        if storage.is_remote(name):
            return _is_remote_pattern(name) or self._is_remote_folder(name)
        return os.path.isdir(name) or _is_pattern(name)

    def _is_remote_folder(self, name: str) -> bool:
        """Whether a remote name is a folder. If the store does not answer, the name is read as a file.

        A key may be readable although listing is not permitted. If it is not readable, reading it gives the error.
        """
        if name not in self._remote_folders:
            try:
                self._remote_folders[name] = storage.is_folder(name)
            except OSError:
                self._remote_folders[name] = False
        return self._remote_folders[name]

    def _expand(self, name: str) -> Iterator[ImageInput]:
        if name == STDIN:
            yield ImageInput(STDIN_NAME, STDIN_NAME, data=sys.stdin.buffer.read())
        elif storage.is_remote(name):
            yield from self._remote(name)
        elif os.path.isdir(name):
            yield from self._folder(name)
        elif _is_pattern(name):
            yield from self._pattern(name)
        elif self._is_new(name):
            yield ImageInput(name, self._output_name(name))

    def _folder(self, folder: str) -> Iterator[ImageInput]:
        base = folder if self._only_folder else None
        for path, error in self._walker.local(folder):
            if not self._is_duplicate(path):
                output = os.path.relpath(path, base) if base is not None else self._output_name(path)
                yield ImageInput(path, output, failure=error.reason if error is not None else None)
        self._walked.append(os.path.abspath(folder))

    def _remote(self, name: str) -> Iterator[ImageInput]:
        """A remote file, all pictures below a remote folder, or all matches of a remote pattern."""
        names: Iterable[str] = [name]
        base = None
        if _is_remote_pattern(name):
            try:
                names = sorted(storage.matches(name), key=natural_key) or names
            except OSError as error:
                yield ImageInput(name, storage.without_scheme(name), failure=failed_to_open(name, error).reason)
                return
        elif self._is_remote_folder(name):
            names = self._walker.remote(name)
            base = storage.without_scheme(name) if self._only_folder else None
        for found in names:
            if self._is_new(found):
                output = storage.without_scheme(found)
                yield ImageInput(found, os.path.relpath(output, base) if base is not None else output)

    def _pattern(self, pattern: str) -> Iterator[ImageInput]:
        start = os.path.dirname(_static_part(pattern))
        found = glob.iglob(pattern, recursive=True)
        matches = sorted((path for path in found if not through_a_link(path, start)), key=natural_key)
        for path in matches:
            if os.path.isdir(path):
                continue
            if self._is_new(path):
                yield ImageInput(path, self._output_name(path))
        if not matches:
            yield ImageInput(pattern, self._output_name(pattern))  # becomes a not_found record

    def _listed(self, list_name: str) -> Iterator[ImageInput]:
        if list_name == STDIN:
            # Unbuffered: a thread that waits in a buffered read holds a lock that Python needs when it exits.
            yield from self._entries(getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))
            return
        try:
            file = storage.open_file(list_name)
        except OSError as error:
            raise UsageError(f"cannot read the list of files {list_name}: {error.strerror or error}") from error
        with file:
            yield from self._entries(file)

    def _entries(self, file: IO[bytes]) -> Iterator[ImageInput]:
        for entry in _split(file, self._separator):
            name = os.fsdecode(entry)
            if storage.is_remote(name):
                if self._is_new(name):
                    yield ImageInput(name, output_name(name))
            elif os.path.isdir(name):
                yield from self._folder(name)
            elif self._is_new(name):
                yield ImageInput(name, output_name(name))

    def _output_name(self, name: str) -> str:
        """The relative path from which outputs of a file are named: as given, or relative to the common folder."""
        if storage.is_remote(name):
            return output_name(name)
        if not _leads_outside(name):
            return os.path.normpath(name)
        path = os.path.abspath(name)
        return storage.confined_path(path) if self._anchor is None else os.path.relpath(path, self._anchor)

    def _is_new(self, name: str) -> bool:
        if self._is_duplicate(name):
            return False
        self._names.add(_identity(name))
        return True

    def _is_duplicate(self, name: str) -> bool:
        """Whether an earlier argument gave this file. Of a walked folder only its own name is stored: a folder of a
        million pictures takes no memory."""
        if not self._names and not self._walked:
            return False
        path = _identity(name)
        return path in self._names or any(reaches(folder, path) for folder in self._walked)

    def _check_collisions(self) -> None:
        """Refuse arguments whose outputs have the same name: a relative and an absolute one with the same ending."""
        if self._only_folder:
            return
        owners: dict[str, str] = {}
        for name in self._arguments:
            if name == STDIN or _is_pattern(name):
                continue
            output = os.path.normpath(self._output_name(name))
            owner = owners.setdefault(output, name)
            if _identity(owner) != _identity(name):
                raise UsageError(
                    f"{owner} and {name} would both be written as {output}",
                    "give both as relative or both as absolute paths",
                )


def _is_one_clip(inputs: Iterable[ImageInput]) -> bool:
    found = list(itertools.islice(inputs, 2))
    return len(found) == 1 and not any(may_hold_frames(member.name) for member in found[0].members)


def output_name(name: str) -> str:
    """The relative path from which outputs of a file are named, by its name alone."""
    if storage.is_remote(name):
        return storage.without_scheme(name)
    return (
        os.path.join(OUTSIDE, storage.confined_path(os.path.abspath(name)))
        if _leads_outside(name)
        else os.path.normpath(name)
    )


def picture_path(record: Record, root: str | None) -> str:
    """The path of a record's picture: relative to `root` if it is given, otherwise as in the record."""
    name = record.image if record.file is None else record.file
    return os.path.join(root, name) if root and not storage.is_remote(name) else name


def _is_pattern(name: str) -> bool:
    return glob.has_magic(name) and not storage.is_remote(name) and not os.path.lexists(name)


def _is_remote_pattern(name: str) -> bool:
    return glob.has_magic(name) and storage.is_remote(name) and not storage.is_web(name)


def _identity(name: str) -> str:
    """A name that is equal for all names of a file. Keys of remote stores are not paths: `a//b` differs from `a/b`."""
    return name if storage.is_remote(name) else os.path.abspath(name)


def _leads_outside(name: str) -> bool:
    return os.path.isabs(name) or ".." in PurePath(name).parts


def _common_folder(names: Iterable[str]) -> str | None:
    """The folder to which the outputs of these names, absolute or with `..`, are relative. None if the files are on
    several drives."""
    parents = [os.path.dirname(os.path.abspath(name)) for name in names if not _is_pattern(name)]
    parents += [os.path.dirname(os.path.abspath(_static_part(name))) for name in names if _is_pattern(name)]
    try:
        return os.path.commonpath(parents) if parents else os.getcwd()
    except ValueError:
        return None


def _static_part(pattern: str) -> str:
    """A pattern up to and including its first part with a wildcard."""
    parts: list[str] = []
    for part in PurePath(pattern).parts:
        parts.append(part)
        if glob.has_magic(part):
            break
    return os.path.join(*parts)


def _split(file: IO[bytes], separator: bytes) -> Iterator[bytes]:
    """Yield the entries of a list as they arrive. Empty entries and the \\r of Windows line ends are dropped."""
    end = b"\r" if separator == b"\n" else b""
    rest = b""
    while chunk := file.read1(1 << 16) if hasattr(file, "read1") else file.read(1 << 16):
        *entries, rest = (rest + chunk).split(separator)
        yield from (entry for entry in (entry.removesuffix(end) for entry in entries) if entry)
        if len(rest) > _LONGEST_NAME:
            raise UsageError("the list of files has an entry of more than 65,536 characters: is it NUL-separated (-0)?")
    if rest := rest.removesuffix(end):
        yield rest

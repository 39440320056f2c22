"""Files that appear whole or not at all: written under a temporary name beside their target, then renamed.

A rename says "finished", so what was written is on the disk before it, and the rename itself after it: a file that a
power cut left is whole. Temporary names tell which process of which machine made them, so that what a dead one left
can be removed.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import socket
import stat
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import IO

from posecli.errors import InputError, OutputError, ReaderLeft
from posecli.files import storage

_TEMPORARY = re.compile(r"\.posecli-([0-9a-f]{8})-(\d+)-[0-9a-f]{32}\.tmp")
#: A name that no file can have in its folder, whatever is written.
_ERRORS_OF_A_NAME = (
    errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.EINVAL, errno.EILSEQ,
)  # fmt: skip


@contextmanager
def whole_file(path: str) -> Iterator[IO[bytes]]:
    """A file that appears under its name when the block ends well, and leaves nothing behind when it does not.

    Raises OutputError where it cannot be written. Devices and pipes are written directly.
    """
    with output_errors(path):
        if storage.is_remote(path):
            whole = io.BytesIO()
            yield whole
            storage.write_bytes(path, whole.getvalue())
            return
        if _is_no_file(path):
            with open(path, "wb") as file:
                yield file
            return
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        temporary = temporary_name(path)
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(os.path.dirname(path))
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise


def _is_no_file(path: str) -> bool:
    """Whether something else than a file is at a path. Raises OSError for a name that is too long, which the temporary
    one is not: it is found out before anything is written."""
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise
        return False


@contextmanager
def errors_of_one_file(path: str, folder: str) -> Iterator[None]:
    """Tell a file of one input that cannot be there from a folder that takes none. Raises InputError for a name that is
    too long or has characters that the locale lacks, or something else in its place; OutputError for all else."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise InputError(f"cannot write {path}: the locale's encoding of names, {error.encoding}, lacks it") from error
    except OutputError as error:
        cause = error.__cause__
        of_name = isinstance(cause, OSError) and cause.errno in _ERRORS_OF_A_NAME
        if os.path.isdir(folder) and (of_name or os.path.isdir(path)):
            raise InputError(error.message) from error
        raise


@contextmanager
def whole_text(path: str) -> Iterator[IO[str]]:
    """As `whole_file`, for text."""
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="\n")
        yield text
        text.flush()
        text.detach()


@contextmanager
def output_errors(path: str) -> Iterator[None]:
    """Name the path in what the system says when it cannot be written. Only writing belongs into it. Raises
    OutputError, or ReaderLeft where the path is a pipe without a reader."""
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderLeft from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def output_exists(path: str) -> bool:
    """Whether an output is there. Raises OutputError where a remote store does not say."""
    with output_errors(path):
        return storage.exists(path)


def move(source: str, target: str) -> None:
    """Give a file another name in its folder, for good. Raises OutputError."""
    with output_errors(target):
        os.replace(source, target)
        _sync_folder(os.path.dirname(target))


def check_is_there(path: str, descriptor: int) -> None:
    """Raise OutputError where a file that is open to be written has been deleted, or another one put in its place.

    Some file systems change the numbers that tell files apart: another number is a sign only of a file without a name.
    """
    with output_errors(path):
        opened = os.fstat(descriptor)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), opened) or opened.st_nlink:
                return
    raise OutputError(f"cannot write {path}: it was deleted or replaced while it was written")


def remove(path: str) -> None:
    """Delete a file; nothing where there is none. Raises OutputError."""
    with output_errors(path):
        storage.remove(path)


def temporary_name(path: str) -> str:
    """A name beside a file for the time in which it is made."""
    return os.path.join(os.path.dirname(path), f".posecli-{_this_machine()}-{os.getpid()}-{uuid.uuid4().hex}.tmp")


def remove_dead_temporaries(folder: str) -> None:
    """Delete temporary files, in a folder and below, of processes of this machine that are no more."""
    for place, _, names in os.walk(folder):
        _remove_dead(place, names)


def remove_dead_temporaries_beside(path: str) -> None:
    """As `remove_dead_temporaries`, in the folder of a file only."""
    with suppress(OSError):
        folder = os.path.dirname(path)
        _remove_dead(folder, os.listdir(folder or "."))


def _remove_dead(folder: str, names: Iterable[str]) -> None:
    for name in names:
        match = _TEMPORARY.fullmatch(name)
        if match is not None and match[1] == _this_machine() and not _is_alive(int(match[2])):
            with suppress(OSError):
                os.unlink(os.path.join(folder, name))


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # there, signal 0 is no question: what is left stays
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it is somebody else's
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended, and nobody has asked how: as in containers whose first process does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False


@cache
def _this_machine() -> str:
    return hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()


def _sync_folder(folder: str) -> None:
    """Put a folder's list of names on the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class LineFile:
    """A file that passes each piece on at once and whole, so that a reader never sees half a line and a crash leaves at
    most one torn one. name: what errors call it."""

    closed = False

    def __init__(self, descriptor: int, name: str) -> None:
        self._descriptor = descriptor
        self._name = name

    def write(self, data: bytes) -> int:
        """Write all of the data. Raises OutputError."""
        rest = memoryview(data)
        with output_errors(self._name):
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

"""Atomic writing: a file is written under a temporary name in the folder of its target, and then renamed.

The data are synced to the disk before the rename, and the folder after it. A file under its final name is therefore
complete even after a power failure. A temporary name contains the machine and the process that made it: files that a
dead process left behind can be removed.
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

from posecli.errors import InputError, OutputError, PipeClosed
from posecli.files import storage

_TEMPORARY = re.compile(r"\.posecli-([0-9a-f]{8})-(\d+)-[0-9a-f]{32}\.tmp")
#: Errors of a name that no file in its folder can have. They do not depend on the data.
_NAME_ERRORS = (
    errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ELOOP, errno.EINVAL, errno.EILSEQ,
)  # fmt: skip


@contextmanager
def atomic_file(path: str) -> Iterator[IO[bytes]]:
    """Open a file for atomic writing: it appears when the block ends, and nothing is left if the block raises.

    Devices and pipes are written directly. Raises OutputError if the file cannot be written.
    """
    with output_errors(path):
        if storage.is_remote(path):
            buffer = io.BytesIO()
            yield buffer
            storage.write_bytes(path, buffer.getvalue())
            return
        if _is_special_file(path):
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


def _is_special_file(path: str) -> bool:
    """Whether a path exists and is not a regular file.

    Raises OSError for a name that is too long. The temporary name may be short enough, so that the error would appear
    only after writing.
    """
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise
        return False


@contextmanager
def name_errors_of_one_file(path: str, folder: str) -> Iterator[None]:
    """Separate errors of one file's name from errors of the output folder.

    Raises InputError if the name is too long, has characters that the locale cannot encode, or is taken by something
    that is not a file. Raises OutputError otherwise.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        reason = f"the locale's file name encoding, {error.encoding}, cannot encode the name"
        raise InputError(f"cannot write {path}: {reason}") from error
    except OutputError as error:
        cause = error.__cause__
        is_name_error = isinstance(cause, OSError) and cause.errno in _NAME_ERRORS
        if os.path.isdir(folder) and (is_name_error or os.path.isdir(path)):
            raise InputError(error.message) from error
        raise


@contextmanager
def atomic_text(path: str) -> Iterator[IO[str]]:
    """Like `atomic_file`, for UTF-8 text with line ends \\n."""
    with atomic_file(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="\n")
        yield text
        text.flush()
        text.detach()


@contextmanager
def output_errors(path: str) -> Iterator[None]:
    """Turn an OSError of the block into an OutputError that names the path. The block must only write.

    Raises PipeClosed if the path is a pipe without a reader.
    """
    try:
        yield
    except BrokenPipeError as error:
        raise PipeClosed from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error


def output_exists(path: str) -> bool:
    """Whether an output exists. Raises OutputError if a remote store does not answer."""
    with output_errors(path):
        return storage.exists(path)


def move(source: str, target: str) -> None:
    """Rename a file within its folder, and sync the folder. Raises OutputError."""
    with output_errors(target):
        os.replace(source, target)
        _sync_folder(os.path.dirname(target))


def check_not_replaced(path: str, descriptor: int) -> None:
    """Raise OutputError if a file that is open for writing has been deleted or replaced.

    Some file systems change inode numbers. A different inode number counts only if the open file has no name left.
    """
    with output_errors(path):
        opened = os.fstat(descriptor)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), opened) or opened.st_nlink:
                return
    raise OutputError(f"cannot write {path}: it was deleted or replaced while it was open for writing")


def remove(path: str) -> None:
    """Delete a file if it exists. Raises OutputError."""
    with output_errors(path):
        storage.remove(path)


def temporary_name(path: str) -> str:
    """A unique temporary name in the folder of a file."""
    return os.path.join(os.path.dirname(path), f".posecli-{_this_machine()}-{os.getpid()}-{uuid.uuid4().hex}.tmp")


def remove_dead_temporaries(folder: str) -> None:
    """Delete the temporary files, in a folder and its subfolders, of processes of this machine that have ended."""
    for subfolder, _, names in os.walk(folder):
        _remove_dead(subfolder, names)


def remove_dead_temporaries_beside(path: str) -> None:
    """Like `remove_dead_temporaries`, but only in the folder of a file."""
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
        return True  # on Windows, signal 0 does not test for a process: temporary files are kept
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # the process belongs to another user
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Whether a process has ended and was not reaped, as in containers whose init process does not reap."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except (OSError, IndexError):
        return False


@cache
def _this_machine() -> str:
    return hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()


def _sync_folder(folder: str) -> None:
    """Sync a folder's entries to the disk, if the system supports it."""
    with suppress(OSError):
        descriptor = os.open(folder or ".", os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class LineFile:
    """An unbuffered file. Each write is complete, so a crash leaves at most one torn line.

    descriptor: the open file. name: its name in error messages.
    """

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
        """Do nothing: there is no buffer."""

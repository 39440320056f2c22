"""Locks of outputs: only one run may write an output.

The lock file is beside the output. The system releases the lock when the process ends, even after a crash.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from posecli.errors import UsageError

LOCK_SUFFIX = ".lock"
_DESCRIPTORS = "/proc/self/fd"
#: Real paths of the lock files that this process holds.
_held: set[str] = set()


@contextmanager
def locked(outputs: Iterable[tuple[str, str]]) -> Iterator[None]:
    """Hold the locks of outputs while the block runs.

    outputs: the path of each lock file, and the name of the output for messages.
    If a lock file cannot be locked (no write permission, a file system without locks), the run continues without it:
    writing the output will then raise the error. Folders that are made for a lock are removed if they are empty.
    Raises UsageError, without waiting, if another process holds a lock.
    """
    with ExitStack() as held:
        for path, output in dict(outputs).items():
            held.enter_context(_locked_output(path, output))
        yield


@contextmanager
def _locked_output(path: str, output: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    made = _make_folders(os.path.dirname(path))
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"another run is writing {output}", "wait until it has ended, or name another output"
        ) from None
    except (OSError, NotImplementedError):
        pass
    _held.add(os.path.realpath(path))
    try:
        yield
    finally:
        _held.discard(os.path.realpath(path))
        if lock.is_locked:
            # Unlink before the release: a process that has already opened this file then sees that it has no name.
            with suppress(OSError):
                os.unlink(path)
            lock.release()
        for folder in reversed(made):
            with suppress(OSError):
                os.rmdir(folder)


def close_inherited() -> None:
    """In a process forked on Linux, close the lock files of the parent, which may end first.

    The parent keeps its locks. Older versions of filelock would keep the files open here, and the locks would outlive
    the parent.
    """
    descriptors: list[str] = []
    with suppress(OSError):  # there is no /proc
        descriptors = os.listdir(_DESCRIPTORS)
    for descriptor in descriptors:
        with suppress(OSError):
            if os.readlink(os.path.join(_DESCRIPTORS, descriptor)) in _held:
                os.close(int(descriptor))


def _make_folders(folder: str) -> list[str]:
    """Make a folder and its missing parents; return the folders that were made, outermost first."""
    missing = []
    while folder and not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    with suppress(OSError):
        for path in reversed(missing):
            os.mkdir(path)
    return missing[::-1]

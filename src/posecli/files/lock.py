"""One run an output: a lock beside it, which the system lifts when its process ends, however that ends."""

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

    outputs: the path of each lock file, and what a message calls the output. Where the place does not take a lock
    (no right to write, a file system without locks), the run goes on without: what it writes says what is wrong.
    Folders that are made for a lock go again if nothing else is in them. Raises UsageError at once where another
    process holds one.
    """
    with ExitStack() as held:
        for path, output in dict(outputs).items():
            held.enter_context(_one(path, output))
        yield


@contextmanager
def _one(path: str, output: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    made = _make_folders(os.path.dirname(path))
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(f"another run writes {output}", "wait until it has ended, or name another output") from None
    except (OSError, NotImplementedError):
        pass
    _held.add(os.path.realpath(path))
    try:
        yield
    finally:
        _held.discard(os.path.realpath(path))
        if lock.is_locked:
            # Before the release: whoever has opened the file meanwhile finds that the one it locks has no name.
            with suppress(OSError):
                os.unlink(path)
            lock.release()
        for folder in reversed(made):
            with suppress(OSError):
                os.rmdir(folder)


def close_inherited() -> None:
    """In a process forked on Linux: let go of the locks of the process that it was forked from, which may end first.
    Nothing but the end of that process lifts them; older versions of filelock would keep them open here."""
    descriptors: list[str] = []
    with suppress(OSError):  # without /proc they go when the parent does
        descriptors = os.listdir(_DESCRIPTORS)
    for descriptor in descriptors:
        with suppress(OSError):
            if os.readlink(os.path.join(_DESCRIPTORS, descriptor)) in _held:
                os.close(int(descriptor))


def _make_folders(folder: str) -> list[str]:
    """Make a folder and those around it; those that were not there, from the top."""
    missing = []
    while folder and not os.path.lexists(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    with suppress(OSError):
        for one in reversed(missing):
            os.mkdir(one)
    return missing[::-1]

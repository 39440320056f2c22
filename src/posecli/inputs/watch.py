"""A folder that is watched: its pictures and clips are taken as they arrive."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from posecli.inputs.name_set import NameMap
from posecli.inputs.walk import Found, PassedOver, Walker

#: Seconds between two looks, at least. FAT, which memory cards have, keeps times to two seconds.
LOOK_SECONDS = 2.0
#: A pause lasts so many times as long as the look before it: large folders do not keep a processor busy.
PAUSE_FOR_A_LOOK = 19
#: Looks in a row in which a folder cannot be listed before that is an error: it may just be on its way out.
_LOOKS_IN_VAIN = 2
_STATE_BITS = 63


class Watch:
    """Pictures and clips below a folder, each name once, as soon as the file is whole. To be gone through once; it
    never ends.

    A file is whole where its size and the time of its last change are the same in two looks. An empty one is not. A
    file that failed is taken again when it has changed. A folder that cannot be listed is one error, until it can be.
    Some bytes are kept for each name, and no name.

    written: as in `Walker`. tell: is given what the user should know. passed_over: what the folder held besides in the
    last look.
    """

    def __init__(
        self, folder: str, written: Sequence[tuple[str, str]] = (), *, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self.folder = folder
        self.tell: Callable[[str], None] | None = None
        self.passed_over = PassedOver()
        self._written = written
        self._look_seconds = look_seconds
        self._taken = NameMap()  # how files were when they were taken, and in the last bit whether they failed
        self._before, self._now = NameMap(), NameMap()  # how others were in the look before, and are
        self._told = NameMap()  # how files had changed when that was told
        self._unlisted: dict[str, int] = {}  # folders that cannot be listed: for how many looks
        self._failures: deque[str] = deque()

    def __iter__(self) -> Iterator[Found]:
        while True:
            start, waited = time.monotonic(), 0.0
            for found in self._look():
                passed_on = time.monotonic()
                yield found
                waited += time.monotonic() - passed_on
            looked = time.monotonic() - start - waited
            time.sleep(max(self._look_seconds, PAUSE_FOR_A_LOOK * looked))

    def failed(self, name: str) -> None:
        """A file could not be read. May be called by another thread than the one that goes through this."""
        self._failures.append(name)

    def _look(self) -> Iterator[Found]:
        """What is ready now."""
        while self._failures:
            name = self._failures.popleft()
            if (taken := self._taken.get(name)) is not None:
                self._taken[name] = taken | 1
        walker, unlisted = Walker(self._written), dict[str, int]()
        self._before, self._now = self._now, NameMap()
        for found in walker.local(self.folder):
            if found.error is not None:
                unlisted[found.path] = self._unlisted.get(found.path, 0) + 1
                is_ready = unlisted[found.path] == _LOOKS_IN_VAIN
            else:
                is_ready = self._is_ready(found.path)
            if is_ready:
                yield found
        self._unlisted = unlisted
        self.passed_over.replace(walker.passed_over)

    def _is_ready(self, path: str) -> bool:
        """Whether a file is whole, and new or to be tried again."""
        state, taken = _state_of(path), self._taken.get(path)
        if state is None or (taken is not None and taken >> 1 == state):
            return False
        self._now[path] = state
        if self._before.get(path) != state:
            return False
        if taken is not None and not taken & 1:
            self._tell_of_change(path, state)
            return False
        self._taken[path] = state << 1
        return True

    def _tell_of_change(self, path: str, state: int) -> None:
        if self._told.get(path) != state:
            self._told[path] = state
            if self.tell is not None:
                self.tell(f"{path} has changed after it was taken; it is not taken again")


def _state_of(path: str) -> int | None:
    """What changes when a file does; None where there is nothing to read yet."""
    try:
        status = os.stat(path)
    except OSError:  # it is gone, or a link that leads nowhere
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return None
    return hash((status.st_size, status.st_mtime_ns)) & ((1 << _STATE_BITS) - 1)

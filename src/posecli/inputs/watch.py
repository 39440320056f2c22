"""Watches a folder: yields its pictures and clips as they arrive."""

from __future__ import annotations

import os
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from posecli.inputs.name_set import NameMap
from posecli.inputs.walk import Found, PassedOver, Walker

#: Shortest pause between two listings, in seconds. FAT, the file system of memory cards, stores times in steps of two
#: seconds.
SHORTEST_PAUSE = 2.0
#: A pause lasts at least this many times as long as the listing before it, so that large folders keep no core busy.
PAUSE_FACTOR = 19
#: A folder that cannot be listed this many times in a row is an error. Once is not: it may be about to be deleted.
_FAILED_LISTINGS = 2
_STATE_BITS = 63


class Watch:
    """Yields the pictures and clips below a folder, each name once, when the file is complete. Iterate once; it never
    ends.

    A file is complete if it is not empty and its size and time of last change are equal in two listings. A file that
    failed is yielded again after it has changed. A folder that cannot be listed gives one error until it can be listed
    again. A few bytes are stored per name, not the name.

    written: as in `Walker`. tell: called with messages for the user. passed_over: the other files in the last listing.
    """

    def __init__(self, folder: str, written: Sequence[tuple[str, str]] = ()) -> None:
        self.folder = folder
        self.tell: Callable[[str], None] | None = None
        self.passed_over = PassedOver()
        self._written = written
        self._taken = NameMap()  # state of a file when it was taken; last bit: whether it failed
        self._before, self._now = NameMap(), NameMap()  # states of the other files in the last two listings
        self._reported = NameMap()  # states of changed files that were reported
        self._unlisted: dict[str, int] = {}  # folder that cannot be listed → failed listings in a row
        self._failures: deque[str] = deque()

    def __iter__(self) -> Iterator[Found]:
        while True:
            start, waited = time.monotonic(), 0.0
            for found in self._list():
                yielded_at = time.monotonic()
                yield found
                waited += time.monotonic() - yielded_at
            listing_time = time.monotonic() - start - waited
            time.sleep(max(SHORTEST_PAUSE, PAUSE_FACTOR * listing_time))

    def failed(self, name: str) -> None:
        """Note that a file could not be read. May be called from any thread."""
        self._failures.append(name)

    def _list(self) -> Iterator[Found]:
        """List the folder; yield the files that are ready now."""
        while self._failures:
            name = self._failures.popleft()
            if (taken := self._taken.get(name)) is not None:
                self._taken[name] = taken | 1
        walker, unlisted = Walker(self._written), dict[str, int]()
        self._before, self._now = self._now, NameMap()
        for found in walker.local(self.folder):
            if found.error is not None:
                unlisted[found.path] = self._unlisted.get(found.path, 0) + 1
                is_ready = unlisted[found.path] == _FAILED_LISTINGS
            else:
                is_ready = self._is_ready(found.path)
            if is_ready:
                yield found
        self._unlisted = unlisted
        self.passed_over.replace(walker.passed_over)

    def _is_ready(self, path: str) -> bool:
        """Whether a file is complete, and new or changed after a failure."""
        state, taken = _state_of(path), self._taken.get(path)
        if state is None or (taken is not None and taken >> 1 == state):
            return False
        self._now[path] = state
        if self._before.get(path) != state:
            return False
        if taken is not None and not taken & 1:
            self._report_change(path, state)
            return False
        self._taken[path] = state << 1
        return True

    def _report_change(self, path: str, state: int) -> None:
        if self._reported.get(path) != state:
            self._reported[path] = state
            if self.tell is not None:
                self.tell(f"{path} was changed after it was processed; it is not processed again")


def _state_of(path: str) -> int | None:
    """A number that changes when the file changes; None if there is nothing to read yet."""
    try:
        status = os.stat(path)
    except OSError:  # it was deleted, or it is a broken link
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return None
    return hash((status.st_size, status.st_mtime_ns)) & ((1 << _STATE_BITS) - 1)

"""Reads inputs that may arrive late, such as names from a pipe, in a thread: the caller never waits for them."""

from __future__ import annotations

import multiprocessing
import threading
from collections import deque
from collections.abc import Generator
from contextlib import closing, suppress
from typing import Generic, NamedTuple, TypeVar

#: Maximum number of read items that wait to be taken. An item may be large: a group of frames with their pixels.
_WAITING = 1
Item = TypeVar("Item")


class _End(NamedTuple):
    """The end of the items. error: what reading raised; None: all items were read."""

    error: BaseException | None = None


class ReadAhead(Generic[Item]):
    """Iterates a generator in a thread, one item ahead; a context manager that lets the thread end.

    A thread that waits for a pipe cannot be woken. It is abandoned, and does not keep the process from ending.
    """

    def __init__(self, items: Generator[Item, None, None]) -> None:
        self.connection, self._signal = multiprocessing.Pipe(duplex=False)
        self.ended = False
        self._arrived: deque[Item | _End] = deque()
        self._room = threading.Semaphore(_WAITING)
        self._closed = False
        threading.Thread(target=self._read, args=(items,), daemon=True, name="posecli-inputs").start()

    def __enter__(self) -> ReadAhead[Item]:
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        self._room.release()
        self.connection.close()

    def take(self) -> Item | None:
        """The next item; None if it has not arrived, and at the end. Raises what reading raised."""
        if self.ended or not self.connection.poll():
            return None
        self.connection.recv_bytes()
        item = self._arrived.popleft()
        if not isinstance(item, _End):
            self._room.release()
            return item
        self.ended = True
        if item.error is not None:
            raise item.error
        return None

    def _read(self, items: Generator[Item, None, None]) -> None:
        with closing(self._signal), closing(items):
            try:
                for item in items:
                    self._room.acquire()
                    if self._closed:
                        return
                    self._put(item)
                end = _End()
            except BaseException as error:
                end = _End(error)
            self._put(end)

    def _put(self, item: Item | _End) -> None:
        self._arrived.append(item)
        with suppress(OSError):  # the other end is closed
            self._signal.send_bytes(b"\0")

"""Inputs that come when they come, such as names from a pipe: read by a thread, so that whoever takes them can do other
things meanwhile."""

from __future__ import annotations

import multiprocessing
import threading
from collections import deque
from collections.abc import Generator
from contextlib import closing, suppress
from typing import Generic, NamedTuple, TypeVar

#: Groups of inputs that may wait to be taken: a group may be as large as its frames.
_WAITING = 1
Thing = TypeVar("Thing")


class _End(NamedTuple):
    """The last that comes. error: why nothing else does, None where there is no more."""

    error: BaseException | None = None


class ReadAhead(Generic[Thing]):
    """Goes through a generator in a thread of its own, a step ahead; a context manager that lets the thread end.

    A thread that waits for a pipe cannot be woken: it is left to its pipe, and does not keep the process from ending.
    """

    def __init__(self, things: Generator[Thing, None, None]) -> None:
        self.connection, self._sign = multiprocessing.Pipe(duplex=False)
        self.ended = False
        self._arrived: deque[Thing | _End] = deque()
        self._room = threading.Semaphore(_WAITING)
        self._closed = False
        threading.Thread(target=self._read, args=(things,), daemon=True, name="posecli-inputs").start()

    def __enter__(self) -> ReadAhead[Thing]:
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        self._room.release()
        self.connection.close()

    def take(self) -> Thing | None:
        """The next one where it has arrived. None where it has not, and at the end. Raises what reading raised."""
        if self.ended or not self.connection.poll():
            return None
        self.connection.recv_bytes()
        thing = self._arrived.popleft()
        if not isinstance(thing, _End):
            self._room.release()
            return thing
        self.ended = True
        if thing.error is not None:
            raise thing.error
        return None

    def _read(self, things: Generator[Thing, None, None]) -> None:
        with closing(self._sign), closing(things):
            try:
                for thing in things:
                    self._room.acquire()
                    if self._closed:
                        return
                    self._put(thing)
                end = _End()
            except BaseException as error:
                end = _End(error)
            self._put(end)

    def _put(self, thing: Thing | _End) -> None:
        self._arrived.append(thing)
        with suppress(OSError):  # nobody listens any more
            self._sign.send_bytes(b"\0")

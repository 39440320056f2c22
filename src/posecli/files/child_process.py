"""Processes of posecli's own beside this one, each with a pipe to it.

They are spawned, never forked: a TFLite runtime and its threads do not survive a fork. Ctrl-C, which reaches the whole
group, is not delivered to them: the parent deals with it, and they end with it or with their pipe.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, ClassVar

_CONTEXT = multiprocessing.get_context("spawn")
#: Seconds that a process whose pipe has ended may take to be gone.
_PATIENCE = 5
#: Seconds in which a process that was asked to stop may do so.
_LAST_MOMENT = 1


class Child:
    """A process that runs `work(connection, *args)`; `connection` is this end of its pipe."""

    _alive: ClassVar[set[Child]] = set()

    def __init__(self, work: Callable[..., None], *args: Any, name: str) -> None:
        self.connection, theirs = _CONTEXT.Pipe()
        self._process: BaseProcess = _CONTEXT.Process(
            target=_live, args=(work, theirs, *args), daemon=True, name=f"posecli-{name}"
        )
        with interrupts_held_back():
            self._process.start()
        theirs.close()  # so that its end shows at ours
        self._alive.add(self)

    def how_it_ended(self) -> str:
        """What became of it, once its pipe has ended."""
        self._process.join(_PATIENCE)
        code = self._process.exitcode
        if code is None:
            return "stopped answering"
        return f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"

    def ask_to_stop(self) -> None:
        """Have it end by itself, so that it can put in order what it is at."""
        self._process.terminate()

    def stop(self, *, patiently: bool = False) -> None:
        """End it now; patiently: after a moment in which it may do so by itself."""
        if patiently:
            self._process.join(_LAST_MOMENT)
        self._process.kill()
        self._process.join()
        self.connection.close()
        self._alive.discard(self)
        if not self._alive:
            _stop_helper()


def _stop_helper() -> None:
    """Stop multiprocessing's helper, which would outlive this process by a moment and be left as a zombie in containers
    whose first process does not reap. Nothing of ours is in its care, and it starts again where it is needed. It ends
    only when no child holds its pipe any more: before that, to wait for it would be for ever."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # TypeError: it is the helper of another process
        resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


def _live(work: Callable[..., None], connection: Connection, *args: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError, _Stopped):  # the parent is gone, or wants nothing more
        signal.signal(signal.SIGTERM, _stop_here)
        work(connection, *args)


class _Stopped(BaseException):
    """Raised wherever a process is when it is asked to stop: what it has begun to write is removed on the way out."""


def _stop_here(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it may come twice: to the group, and from the parent
    raise _Stopped


@contextlib.contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Start processes to which Ctrl-C is not delivered."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

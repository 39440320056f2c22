"""Processes of posecli's own beside this one, each with a pipe to it.

They are spawned: a TFLite runtime and its threads do not survive a fork. Only while none is loaded may one be forked,
which takes milliseconds. Ctrl-C, which reaches the whole group, is not delivered to them: the parent deals with it, and
they end with it or with their pipe. What they print is dropped, unless tracebacks are shown: they answer by their pipe.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from time import monotonic
from types import FrameType
from typing import Any, ClassVar, NamedTuple

from posecli.errors import is_debugging
from posecli.files import lock, own_process

_STDIN, _STDERR = 0, 2
#: Bytes that fit into every pipe of which Linux says that it can be written to: three quarters of it are free then.
_SENT_AT_ONCE = 16 << 10
_START_METHOD = "spawn"
#: Seconds that a process whose pipe has ended may take to be gone.
_PATIENCE = 5
#: Seconds in which a process that was asked to stop may do so.
_LAST_MOMENT = 1
#: Seconds after which to look at the clock again while waiting, and seconds that count at most between two looks.
LOOK_AGAIN, _LONGEST_STEP = 0.5, 1.0


class RunningTime:
    """A clock that stands still while this process is stopped, as its children are then, or suspended."""

    def __init__(self) -> None:
        self._seen = monotonic()
        self._seconds = 0.0

    def now(self) -> float:
        """Seconds since the beginning. To be asked every `LOOK_AGAIN` seconds while time shall pass."""
        seen = monotonic()
        self._seconds += min(seen - self._seen, _LONGEST_STEP)
        self._seen = seen
        return self._seconds


class Child:
    """A process that runs `work(connection, *args)`; `connection` is this end of its pipe."""

    _alive: ClassVar[set[Child]] = set()
    #: Held while one begins or ends: the helper is not stopped while another thread starts a child beside it.
    _changing: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, work: Callable[..., None], *args: Any, name: str, forked: bool = False) -> None:
        context: Any = multiprocessing.get_context("fork" if forked else _START_METHOD)
        self.connection, theirs = context.Pipe()
        inherited = _Inherited((self.connection, *self._connections()), os.dup(_STDIN)) if forked else None
        self._process: BaseProcess = context.Process(
            target=_live, args=(work, theirs, inherited, *args), daemon=True, name=f"posecli-{name}"
        )
        with self._changing:
            self._begin(forked=forked)
        theirs.close()  # so that its end shows at ours
        if inherited is not None:
            os.close(inherited.stdin)
        self._sender: _Sender | None = None

    def _begin(self, *, forked: bool) -> None:
        if not forked and os.name == "posix":
            resource_tracker.ensure_running()  # which lets signals through: not while they are held back
        with _held_back(signal.SIGINT, signal.SIGTERM), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: see can_fork
            self._process.start()
        self._alive.add(self)

    @classmethod
    def _connections(cls) -> list[Connection]:
        """This process's ends of the pipes to all that are there."""
        with cls._changing:
            return [child.connection for child in cls._alive]

    @property
    def has_ended(self) -> bool:
        """Whether it is no more."""
        return self._process.exitcode is not None

    def send(self, message: object, *, short: bool = False) -> None:
        """Send a message soon. Never waits for a process that does not read; that it has ended shows at the pipe. Bytes
        are sent as they are, without a copy, to be received as bytes.

        short: it hardly takes more than a name, and is sent without a thread where the pipe has room for it.
        """
        if self._sender is None and short and _send_at_once(self.connection, message):
            return
        if self._sender is None:
            self._sender = _Sender(self.connection)
        self._sender.send(message)

    def answers_within(self, seconds: float) -> bool:
        """Wait until there is something to receive, or the pipe has ended; False after so many seconds in which this
        process was running."""
        clock = RunningTime()
        while (rest := seconds - clock.now()) > 0:
            if self.connection.poll(min(rest, LOOK_AGAIN)):
                return True
        return bool(self.connection.poll(0))

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

    def kill(self) -> None:
        """End it now, from whatever thread; `stop` is still to be called by the one that uses it."""
        self._process.kill()

    def stop(self, *, patiently: bool = False) -> None:
        """End it now; patiently: after a moment in which it may do so by itself."""
        if patiently:
            self._process.join(_LAST_MOMENT)
        self._process.kill()
        self._process.join()
        if self._sender is not None:
            self._sender.end()
        self.connection.close()
        with self._changing:
            self._alive.discard(self)
            if not self._alive:
                _stop_helper()


class _Sender:
    """Sends messages from a thread of its own."""

    def __init__(self, connection: Connection) -> None:
        self._waiting: SimpleQueue[object] = SimpleQueue()
        self._thread = threading.Thread(target=self._send, args=(connection,), daemon=True)
        self._thread.start()

    def send(self, message: object) -> None:
        """Send one, soon."""
        self._waiting.put(message)

    def end(self) -> None:
        """End the thread. The receiver has ended before, so that nothing waits for it."""
        self._waiting.put(None)
        if not sys.is_finalizing():  # at Python's end its threads do not run any more, and would never end
            self._thread.join()

    def _send(self, connection: Connection) -> None:
        with contextlib.suppress(OSError):
            while (message := self._waiting.get()) is not None:
                if isinstance(message, bytes):
                    connection.send_bytes(message)
                else:
                    connection.send(message)


def _send_at_once(connection: Connection, message: object) -> bool:
    """Send a message if that waits for nobody; whether it did. Only Linux says of a pipe how much room it has."""
    if sys.platform != "linux":
        return False
    data = ForkingPickler.dumps(message)
    pipe = select.poll()
    pipe.register(connection, select.POLLOUT)
    if len(data) > _SENT_AT_ONCE or not pipe.poll(0):
        return False
    with contextlib.suppress(OSError):
        connection.send_bytes(data)
    return True


def can_fork() -> bool:
    """Whether a child may be forked, as far as this module sees: no thread of Python's could hold a lock meanwhile."""
    return sys.platform == "linux" and threading.active_count() == 1


def _stop_helper() -> None:
    """Stop multiprocessing's helper, which would outlive this process by a moment and be left as a zombie in containers
    whose first process does not reap. Nothing of ours is in its care, and it starts again where it is needed. It ends
    only when no child holds its pipe any more: before that, to wait for it would be for ever."""
    with contextlib.suppress(AttributeError, OSError, TypeError):  # TypeError: it is the helper of another process
        resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


class _Inherited(NamedTuple):
    """What a forked process gets from its parent: the parent's ends of all pipes, a copy of standard input."""

    connections: tuple[Connection, ...]
    stdin: int


def _live(work: Callable[..., None], connection: Connection, inherited: _Inherited | None, *args: Any) -> None:
    own_process.set_up()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError, _Stopped):  # the parent is gone, or wants nothing more
        signal.signal(signal.SIGTERM, _stop_here)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if inherited is not None:
            lock.close_inherited()
            for end in inherited.connections:  # else the end of the parent would not show
                end.close()
            os.dup2(inherited.stdin, _STDIN)  # multiprocessing has closed it
        if not is_debugging():
            _drop_messages()
        work(connection, *args)


def _drop_messages() -> None:
    """Let standard error go nowhere: warnings of Pillow and of native code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
    sys.stderr = open(_STDERR, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


class _Stopped(BaseException):
    """Raised wherever a process is when it is asked to stop: what it has begun to write is removed on the way out."""


def _stop_here(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it may come twice: to the group, and from the parent
    raise _Stopped


def interrupts_held_back() -> contextlib.AbstractContextManager[None]:
    """Start processes to which Ctrl-C is not delivered."""
    return _held_back(signal.SIGINT)


@contextlib.contextmanager
def _held_back(*numbers: signal.Signals) -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

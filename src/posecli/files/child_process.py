"""Child processes of posecli, each with a pipe to this process.

Children are spawned, because a TFLite runtime and its threads do not survive a fork. A child may be forked, which takes
milliseconds, only while no runtime is loaded. Ctrl-C reaches the whole process group, but children ignore it: the
parent handles it, and a child ends when the parent stops it, closes its pipe or ends. Children answer through their
pipe. Their standard error is dropped unless tracebacks are shown.
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
#: Bytes that can be written without blocking if Linux reports a pipe as writable: three quarters of it are free then.
_WRITABLE_BYTES = 16 << 10
_START_METHOD = "spawn"
#: Seconds to wait for the end of a process after its pipe was closed.
_EXIT_TIMEOUT = 5
#: Seconds to wait for the end of a process after it was asked to stop.
_STOP_TIMEOUT = 1
#: Seconds between two readings of the clock while waiting, and the most seconds that one such interval counts.
POLL_INTERVAL, _LONGEST_STEP = 0.5, 1.0


class RunningTime:
    """A clock that does not advance while this process is stopped (its children are stopped then too) or suspended."""

    def __init__(self) -> None:
        self._last_reading = monotonic()
        self._seconds = 0.0

    def now(self) -> float:
        """Seconds since the start. Call it every `POLL_INTERVAL` seconds: a longer interval counts as one second."""
        reading = monotonic()
        self._seconds += min(reading - self._last_reading, _LONGEST_STEP)
        self._last_reading = reading
        return self._seconds


class Child:
    """A child process that runs `work(connection, *args)` on its end of the pipe.

    connection: this process's end. forked: fork instead of spawning.
    """

    _alive: ClassVar[set[Child]] = set()
    #: Held while a child starts or ends, so that the resource tracker is not stopped while another thread starts one.
    _alive_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, work: Callable[..., None], *args: Any, name: str, forked: bool = False) -> None:
        context: Any = multiprocessing.get_context("fork" if forked else _START_METHOD)
        self.connection, child_end = context.Pipe()
        inherited = _Inherited((self.connection, *self._connections()), os.dup(_STDIN)) if forked else None
        self._process: BaseProcess = context.Process(
            target=_run_child, args=(work, child_end, inherited, *args), daemon=True, name=f"posecli-{name}"
        )
        with self._alive_lock:
            self._start(forked=forked)
        child_end.close()  # otherwise the end of the child would not close the pipe
        if inherited is not None:
            os.close(inherited.stdin)
        self._sender: _Sender | None = None

    def _start(self, *, forked: bool) -> None:
        if not forked and os.name == "posix":
            resource_tracker.ensure_running()  # it unblocks signals, so it must start before they are blocked
        with _blocked_signals(signal.SIGINT, signal.SIGTERM), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # about forks with threads: see can_fork
            self._process.start()
        self._alive.add(self)

    @classmethod
    def _connections(cls) -> list[Connection]:
        """This process's ends of the pipes to all children."""
        with cls._alive_lock:
            return [child.connection for child in cls._alive]

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.exitcode is not None

    def send(self, message: object, *, short: bool = False) -> None:
        """Send a message without blocking. A process that has ended is noticed only when its pipe is read.

        Bytes are sent without pickling or copying, and are received as bytes.
        short: the message is about as long as a file name. It is sent without a thread if the pipe has room for it.
        """
        if self._sender is None and short and _send_now(self.connection, message):
            return
        if self._sender is None:
            self._sender = _Sender(self.connection)
        self._sender.send(message)

    def wait_for_message(self, seconds: float) -> bool:
        """Wait until there is a message to receive or the pipe is closed.

        seconds: timeout in `RunningTime`; False is returned after it.
        """
        clock = RunningTime()
        while (rest := seconds - clock.now()) > 0:
            if self.connection.poll(min(rest, POLL_INTERVAL)):
                return True
        return bool(self.connection.poll(0))

    def exit_description(self) -> str:
        """How the process ended, in words for a message. To be called after its pipe was closed."""
        self._process.join(_EXIT_TIMEOUT)
        code = self._process.exitcode
        if code is None:
            return "stopped answering"
        return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"

    def terminate(self) -> None:
        """Send SIGTERM, so that the process can clean up and end."""
        self._process.terminate()

    def kill(self) -> None:
        """Kill the process. Safe from any thread. The owner must still call `stop`."""
        self._process.kill()

    def stop(self, *, patiently: bool = False) -> None:
        """Kill the process and release its resources. patiently: first wait a second for the process to end."""
        if patiently:
            self._process.join(_STOP_TIMEOUT)
        self._process.kill()
        self._process.join()
        if self._sender is not None:
            self._sender.end()
        self.connection.close()
        with self._alive_lock:
            self._alive.discard(self)
            if not self._alive:
                _stop_resource_tracker()


class _Sender:
    """Sends messages from a thread."""

    def __init__(self, connection: Connection) -> None:
        self._queue: SimpleQueue[object] = SimpleQueue()
        self._thread = threading.Thread(target=self._send, args=(connection,), daemon=True)
        self._thread.start()

    def send(self, message: object) -> None:
        """Queue a message."""
        self._queue.put(message)

    def end(self) -> None:
        """End the thread. The receiver must have ended, so that the thread does not block in a send."""
        self._queue.put(None)
        if not sys.is_finalizing():  # daemon threads do not run during finalization, so join would not return
            self._thread.join()

    def _send(self, connection: Connection) -> None:
        with contextlib.suppress(OSError):
            while (message := self._queue.get()) is not None:
                if isinstance(message, bytes):
                    connection.send_bytes(message)
                else:
                    connection.send(message)


def _send_now(connection: Connection, message: object) -> bool:
    """Send a message if that does not block; return whether it was sent. Only Linux tells how much room a pipe has."""
    if sys.platform != "linux":
        return False
    data = ForkingPickler.dumps(message)
    pipe = select.poll()
    pipe.register(connection, select.POLLOUT)
    if len(data) > _WRITABLE_BYTES or not pipe.poll(0):
        return False
    with contextlib.suppress(OSError):
        connection.send_bytes(data)
    return True


def can_fork() -> bool:
    """Whether a child may be forked: no other Python thread could hold a lock. The caller must check for runtimes."""
    return sys.platform == "linux" and threading.active_count() == 1


def _stop_resource_tracker() -> None:
    """Stop multiprocessing's resource tracker.

    It would outlive this process for a moment, and stay as a zombie in containers whose init process does not reap. It
    tracks nothing of posecli and starts again on demand. It ends only after no child holds its pipe: before that, this
    call would not return.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # TypeError: the tracker belongs to another process
        resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]


class _Inherited(NamedTuple):
    """What a forked process inherits from its parent: the parent's ends of all pipes, and a copy of standard input."""

    connections: tuple[Connection, ...]
    stdin: int


def _run_child(work: Callable[..., None], connection: Connection, inherited: _Inherited | None, *args: Any) -> None:
    own_process.set_up()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError, _Stopped):  # the parent has ended or closed the pipe
        signal.signal(signal.SIGTERM, _raise_stopped)
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if inherited is not None:
            lock.close_inherited()
            for end in inherited.connections:  # otherwise the end of the parent would not close the pipes
                end.close()
            os.dup2(inherited.stdin, _STDIN)  # multiprocessing has closed standard input
        if not is_debugging():
            _discard_stderr()
        work(connection, *args)


def _discard_stderr() -> None:
    """Redirect standard error to the null device: it holds warnings of Pillow and of native code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)
    sys.stderr = open(_STDERR, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


class _Stopped(BaseException):
    """Raised by SIGTERM. Context managers remove unfinished files while it propagates."""


def _raise_stopped(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it may come twice: to the process group, and from the parent
    raise _Stopped


def block_interrupts() -> contextlib.AbstractContextManager[None]:
    """Block SIGINT in a block, so that processes started there inherit the blocked signal: Ctrl-C has no effect."""
    return _blocked_signals(signal.SIGINT)


@contextlib.contextmanager
def _blocked_signals(*numbers: signal.Signals) -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

"""Many pictures at a time, each worker a process of its own with one interpreter.

The pool is built for one promise: whatever happens to a picture costs that picture only. Every worker has a pipe of
its own and works through what lies in it; the parent knows which picture each worker is at, so a worker that dies or
hangs costs exactly that one, and what was waiting behind it goes to another. Nothing is shared that a dying process
could leave locked. Workers are spawned, never forked: the runtime and its threads do not survive a fork.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from time import monotonic
from typing import NamedTuple

from posecli.engines import EngineOptions
from posecli.errors import TIMED_OUT, WORKER_CRASHED, EngineError, PosecliError
from posecli.types import ImageInput, Record
from posecli.worker import Job, Worker

#: Pictures that a worker has in hand: one at work, the rest waiting, so that it never waits for the parent.
IN_HAND = 3
#: Records that may wait for an earlier one, so that output comes in the order of the input. A picture that takes
#: longer than this many others comes late instead of holding them up.
ORDER_WINDOW = 256
#: Workers that may die in a row before one has begun to work: then it is not the pictures' fault.
STARTS_IN_VAIN = 3
_CONTEXT = multiprocessing.get_context("spawn")


class _Item(NamedTuple):
    number: int
    image: ImageInput


def run(inputs: Iterable[ImageInput], job: Job, options: EngineOptions) -> Iterator[Record]:
    """Yield a record for every input, in order unless one takes very long.

    Raises FatalError where the workers cannot start or cannot write.
    """
    pool = _Pool(inputs, job, options)
    try:
        yield from _in_order(pool.records())
    finally:
        pool.close()


def _in_order(records: Iterator[tuple[int, Record]]) -> Iterator[Record]:
    waiting: dict[int, Record] = {}
    following = 0
    for index, record in records:
        if index < following:
            yield record  # the others did not wait for it
            continue
        waiting[index] = record
        while following in waiting or len(waiting) > ORDER_WINDOW:
            chosen = following if following in waiting else min(waiting)
            yield waiting.pop(chosen)
            following = chosen + 1
    yield from (waiting[index] for index in sorted(waiting))


class _Pool:
    def __init__(self, inputs: Iterable[ImageInput], job: Job, options: EngineOptions) -> None:
        self._items: Iterator[_Item] = (_Item(number, image) for number, image in enumerate(inputs))
        self._returned: deque[_Item] = deque()
        self._job = job
        self._options = options
        self._workers: list[_WorkerProcess] = []
        self._starts_in_vain = 0

    def records(self) -> Iterator[tuple[int, Record]]:
        """Index and record of every input, as they are done."""
        first = list(itertools.islice(self._items, self._options.workers))
        self._items = itertools.chain(first, self._items)
        self._workers = [self._start() for _ in first]
        while self._feed():
            deadline = min(worker.deadline for worker in self._workers)
            timeout = None if deadline == float("inf") else max(deadline - monotonic(), 0)
            ready = wait([worker.connection for worker in self._workers], timeout)
            for worker in list(self._workers):
                if worker.connection in ready:
                    yield from self._receive(worker)
                elif worker.deadline <= monotonic():
                    seconds = f"not done after {self._options.timeout:g} seconds"
                    yield from self._give_up(worker, TIMED_OUT, seconds)

    def close(self) -> None:
        """Stop all workers at once; whatever they are at is lost."""
        for worker in self._workers:
            worker.stop()
        self._workers = []
        # multiprocessing's helper would outlive this process by a moment, and be left as a zombie in containers whose
        # first process does not reap. Nothing of ours is in its care.
        with contextlib.suppress(AttributeError, OSError):
            resource_tracker._resource_tracker._stop()  # type: ignore[attr-defined]

    def _start(self) -> _WorkerProcess:
        return _WorkerProcess(self._job, self._options)

    def _feed(self) -> bool:
        """Fill every worker's hands; False once all is done."""
        for worker in self._workers:
            while len(worker.in_hand) < IN_HAND and (item := self._next_item()) is not None:
                worker.give(item)
        return any(worker.in_hand for worker in self._workers)

    def _next_item(self) -> _Item | None:
        return self._returned.popleft() if self._returned else next(self._items, None)

    def _receive(self, worker: _WorkerProcess) -> Iterator[tuple[int, Record]]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            yield from self._bury(worker)
            return
        if isinstance(message, PosecliError):
            raise message
        if isinstance(message, Record):
            yield worker.finish().number, message
        else:
            self._starts_in_vain = 0
            worker.begin()

    def _bury(self, worker: _WorkerProcess) -> Iterator[tuple[int, Record]]:
        """A worker died: by a crash in native code, or killed for memory."""
        how = worker.how_it_ended()
        if not worker.has_begun:
            self._starts_in_vain += 1
            if self._starts_in_vain >= STARTS_IN_VAIN:
                raise EngineError(f"{self._starts_in_vain} workers {how} before they could begin")
            self._replace(worker, [*worker.in_hand])
            return
        yield from self._give_up(worker, WORKER_CRASHED, f"the process working on it {how}")

    def _give_up(self, worker: _WorkerProcess, code: str, why: str) -> Iterator[tuple[int, Record]]:
        """Blame the picture that the worker was at; what waited behind it is done by another."""
        guilty, *rest = worker.in_hand or [None]
        self._replace(worker, [item for item in rest if item is not None])
        if guilty is not None:
            yield guilty.number, guilty.image.failed(code, f"{guilty.image.name}: {why}")

    def _replace(self, worker: _WorkerProcess, unfinished: list[_Item]) -> None:
        worker.stop()
        self._returned.extend(unfinished)
        self._workers[self._workers.index(worker)] = self._start()


class _WorkerProcess:
    """The parent's view of one worker: its pipe, what it has in hand, when it must be done with the first of it."""

    def __init__(self, job: Job, options: EngineOptions) -> None:
        self.connection, theirs = _CONTEXT.Pipe()
        self.in_hand: deque[_Item] = deque()
        self.has_begun = False
        self.deadline = float("inf")
        self._timeout = options.timeout
        self._process: BaseProcess = _CONTEXT.Process(
            target=_work, args=(theirs, job, options.threads), daemon=True, name="posecli-worker"
        )
        with _interrupts_held_back():
            self._process.start()
        theirs.close()  # so that its end shows at ours

    def give(self, item: _Item) -> None:
        """Put a picture into its hands. That it died meanwhile shows at the next look at its pipe."""
        self.in_hand.append(item)
        with contextlib.suppress(OSError):
            self.connection.send(item.image)
        if len(self.in_hand) == 1:
            self._start_clock()

    def begin(self) -> None:
        """It has loaded the model."""
        self.has_begun = True
        self._start_clock()

    def finish(self) -> _Item:
        """It is done with the first picture in its hands."""
        item = self.in_hand.popleft()
        self._start_clock()
        return item

    def how_it_ended(self) -> str:
        self._process.join(5)
        code = self._process.exitcode
        if code is None:
            return "stopped answering"
        return f"was ended by signal {-code}" if code < 0 else f"ended with status {code}"

    def stop(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.join()
        self.connection.close()

    def _start_clock(self) -> None:
        running = self.has_begun and self.in_hand
        self.deadline = monotonic() + self._timeout if running else float("inf")


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Start a process in which Ctrl-C, which reaches the whole group, is not delivered: the parent deals with it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _receive_ahead(connection: Connection, arrived: SimpleQueue[ImageInput | None]) -> None:
    """Take in what the parent sends while the worker is busy: a frame is larger than a pipe, and the parent would wait.
    None at the end of the pipe."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            arrived.put(connection.recv())
    arrived.put(None)


def _work(connection: Connection, job: Job, threads: int) -> None:
    """A worker's life: load the model, say so, then answer pictures with records until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, OSError):  # the parent is gone: nothing is left to do
        try:
            worker = Worker(job, threads=threads)
            connection.send(None)
            arrived: SimpleQueue[ImageInput | None] = SimpleQueue()
            threading.Thread(target=_receive_ahead, args=(connection, arrived), daemon=True).start()
            while (image := arrived.get()) is not None:
                connection.send(worker(image))
        except PosecliError as error:
            connection.send(error)

"""Many pictures at a time, each worker a process of its own with one interpreter.

The pool is built for one promise: whatever happens to a picture costs that picture only. Every worker has a pipe of
its own and works through what lies in it; the parent knows which picture each worker is at, so a worker that dies or
hangs costs exactly that one, and what was waiting behind it goes to another. Nothing is shared that a dying process
could leave locked.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from queue import SimpleQueue
from typing import NamedTuple

from posecli.errors import TIMED_OUT, WORKER_CRASHED, EngineError, PosecliError, Unforeseen
from posecli.files.child_process import LOOK_AGAIN, Child, RunningTime, can_fork
from posecli.files.memory import limit_memory
from posecli.model.runtime_choice import RUNTIMES
from posecli.run.engines import (
    FRAMES_AHEAD,
    PICTURES_AHEAD,
    EngineOptions,
    InOrder,
    Piece,
    Summary,
    Work,
    bytes_ahead,
    in_groups,
    weight_of,
)
from posecli.run.engines.read_ahead import ReadAhead
from posecli.run.worker import Job, Worker
from posecli.types import ImageInput, Record

#: Pictures that a worker has in hand: one at work, the rest waiting, so that it never waits for the parent. A group of
#: frames is handed over whole, and may make it more.
IN_HAND = 3
#: Pictures that a worker has with itself: one at work, and the next. The others wait with the parent, which has the
#: pixels of frames anyway.
WITH_WORKER = 2
#: Workers that may die in a row before one has begun to work: then it is not the pictures' fault.
STARTS_IN_VAIN = 3
#: Seconds in which a worker must have loaded the model, on a slow and busy machine too.
LOADING_SECONDS = 120


class _Item(NamedTuple):
    number: int
    image: ImageInput


def run(inputs: Iterable[ImageInput], job: Job, options: EngineOptions) -> Iterator[Record]:
    """Yield a record for every input, in order.

    Raises FatalError where the workers cannot start or cannot write.
    """
    with Pool(job, options, forked=may_fork()) as pool:
        yield from pool.records(inputs)


def run_pieces(
    pieces: Iterable[Piece], work: Work[Piece, Summary], job: Job, options: EngineOptions
) -> Generator[Summary, None, None]:
    """Yield what each piece comes to, one after the other, each by all workers. Raises FatalError."""
    with Pool(job, options, forked=may_fork()) as pool:
        for piece in pieces:
            yield work(piece, pool.records)


def may_fork() -> bool:
    """Whether workers may be forked, which takes milliseconds: not beside a runtime or Ray, whose threads would be
    missing."""
    return can_fork() and not any(module in sys.modules for module in ("ray", *RUNTIMES.values()))


class Pool:
    """Worker processes, started when there is something to do for them; a context manager that stops them.

    forked: they are forked, see `can_fork`.
    """

    def __init__(self, job: Job, options: EngineOptions, *, forked: bool = False) -> None:
        self._groups: Iterator[list[ImageInput]] = iter(())
        self._arriving: ReadAhead[list[ImageInput]] | None = None  # in their place, where they may let one wait
        self._order: InOrder[Record] = InOrder()
        self._held: list[ImageInput] = []  # taken from the inputs, and not begun
        self._returned: deque[list[_Item]] = deque()
        self._job = job
        self._options = options
        self._forked = forked
        self._clock = RunningTime()
        self._workers: list[_WorkerProcess] = []
        self._starts_in_vain = 0

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop all workers at once; whatever they are at is lost, and leaves no half file behind."""
        for worker in self._workers:
            if worker.in_hand:
                worker.child.ask_to_stop()
        for worker in self._workers:
            worker.child.stop(patiently=bool(worker.in_hand))
        self._workers = []

    def records(self, inputs: Iterable[ImageInput]) -> Iterator[Record]:
        """The record of every input, in order. To be gone through to its end before the next call. Raises
        FatalError."""
        self._order, self._held = InOrder(), []
        groups = in_groups(inputs)
        with ReadAhead(groups) if self._options.streamed else contextlib.nullcontext() as self._arriving:
            self._groups = groups
            while self._feed():
                for number, record in self._next_results():
                    yield from self._order.take(number, record)

    def _next_results(self) -> Iterator[tuple[int, Record]]:
        """Wait for something to happen; numbers and records of what is done."""
        rest = min((worker.deadline for worker in self._workers), default=float("inf")) - self._clock.now()
        connections = [worker.connection for worker in self._workers]
        if self._may_arrive() and self._has_room() and not self._held:
            assert self._arriving is not None
            connections.append(self._arriving.connection)
        ready = wait(connections, max(min(rest, LOOK_AGAIN), 0))
        now = self._clock.now()
        for worker in list(self._workers):
            if worker.connection in ready:
                yield from self._receive(worker)
            elif worker.deadline > now:
                continue
            elif worker.has_begun:
                seconds = f"not done after {self._options.timeout:g} seconds"
                yield from self._give_up(worker, TIMED_OUT, seconds)
            else:
                self._start_again(worker, f"did nothing for {LOADING_SECONDS:g} seconds")

    def _start(self) -> _WorkerProcess:
        try:
            forked = self._forked and can_fork()  # not beside a thread that reads inputs
            return _WorkerProcess(self._job, self._options, self._clock, forked=forked)
        except OSError as error:
            raise EngineError(
                f"cannot start a worker: {error.strerror or error}", "fewer --workers need less"
            ) from error

    def _feed(self) -> bool:
        """Fill every worker's hands, the emptiest first; False once all is done."""
        while self._has_room() and (group := self._next_group()):
            worker = self._emptiest()
            for item in group:
                worker.give(item)
        return self._may_arrive() or any(worker.in_hand for worker in self._workers)

    def _has_room(self) -> bool:
        """Whether a worker, or one that may still be started, can take more."""
        more = len(self._workers) < self._options.workers
        return more or any(len(worker.in_hand) < IN_HAND for worker in self._workers)

    def _emptiest(self) -> _WorkerProcess:
        """The worker that has least in hand: a new one, as long as there may be more of them, where all have some."""
        worker = min(self._workers, key=lambda worker: len(worker.in_hand), default=None)
        if worker is None or (worker.in_hand and len(self._workers) < self._options.workers):
            worker = self._start()
            self._workers.append(worker)
        return worker

    def _may_arrive(self) -> bool:
        return self._arriving is not None and not self._arriving.ended

    def _next_group(self) -> list[_Item]:
        """What a worker gets next; nothing where all is begun, too much waits for an earlier picture, or the next one
        has not arrived."""
        if self._returned:
            return self._returned.popleft()
        if not self._held:
            self._held = next(self._groups, []) if self._arriving is None else self._arriving.take() or []
        if not self._held:
            return []
        weight, workers = weight_of(self._held), self._options.workers
        ahead = FRAMES_AHEAD * workers if weight else PICTURES_AHEAD
        if not self._order.may_begin(weight, ahead=ahead, bytes_ahead=bytes_ahead(weight, workers=workers)):
            return []
        group, self._held = [_Item(self._order.begin(weight_of([image])), image) for image in self._held], []
        return group

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
        how = worker.child.how_it_ended()
        if not worker.has_begun:
            self._start_again(worker, how)
            return
        yield from self._give_up(worker, WORKER_CRASHED, f"the process working on it {how}")

    def _start_again(self, worker: _WorkerProcess, how: str) -> None:
        """Have another worker in the place of one that could not begin. Raises EngineError after some of them."""
        self._starts_in_vain += 1
        if self._starts_in_vain >= STARTS_IN_VAIN:
            message = f"{self._starts_in_vain} workers {how} before they could begin"
            raise EngineError(message, "`posecli --debug` shows what they print")
        self._replace(worker, [*worker.in_hand])

    def _give_up(self, worker: _WorkerProcess, code: str, why: str) -> Iterator[tuple[int, Record]]:
        """Blame the picture that the worker was at; what waited behind it is done by another."""
        guilty, *rest = worker.in_hand or [None]
        self._replace(worker, [item for item in rest if item is not None])
        if guilty is not None:
            yield guilty.number, guilty.image.failed(code, f"{guilty.image.place}: {why}")

    def _replace(self, worker: _WorkerProcess, unfinished: list[_Item]) -> None:
        worker.child.stop()
        if unfinished:
            self._returned.append(unfinished)
        self._workers[self._workers.index(worker)] = self._start()


class _WorkerProcess:
    """The parent's view of one worker: its pipe, what it has in hand, when it must be done with the first of it."""

    def __init__(self, job: Job, options: EngineOptions, clock: RunningTime, *, forked: bool) -> None:
        self.child = Child(_work, job, options.threads, name="worker", forked=forked)
        self.connection = self.child.connection
        self.in_hand: deque[_Item] = deque()
        self.has_begun = False
        self._clock = clock
        self._timeout = options.timeout
        self.deadline = clock.now() + LOADING_SECONDS

    def give(self, item: _Item) -> None:
        """Put a picture into its hands. That it died meanwhile shows at the next look at its pipe."""
        self.in_hand.append(item)
        image = item.image
        if image.pixels is None:
            self.child.send(image, short=image.data is None and image.recorded is None)
        else:
            width, height, data = image.pixels
            self.child.send(image._replace(pixels=(width, height, b"")))
            self.child.send(data)
        if len(self.in_hand) == 1 and self.has_begun:
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

    def _start_clock(self) -> None:
        self.deadline = self._clock.now() + self._timeout if self.in_hand else float("inf")


def _receive_ahead(connection: Connection, arrived: SimpleQueue[ImageInput | None], room: threading.Semaphore) -> None:
    """Take in the next input while the worker is busy: a frame is larger than a pipe, and the worker would wait for it.
    None at the end of the pipe."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            room.acquire()
            image: ImageInput = connection.recv()
            if image.pixels is not None:
                width, height, _ = image.pixels
                image = image._replace(pixels=(width, height, connection.recv_bytes()))
            arrived.put(image)
            del image
    arrived.put(None)


def _work(connection: Connection, job: Job, threads: int) -> None:
    """A worker's life: load the model, say so, then answer pictures with records until the pipe ends."""
    limit_memory(job.max_memory)
    try:
        worker = Worker(job, threads=threads)
        connection.send(None)
        arrived: SimpleQueue[ImageInput | None] = SimpleQueue()
        room = threading.Semaphore(WITH_WORKER)
        threading.Thread(target=_receive_ahead, args=(connection, arrived, room), daemon=True).start()
        while (image := arrived.get()) is not None:
            connection.send(worker(image))
            image = None
            room.release()
    except PosecliError as error:
        connection.send(error)
    except Exception as error:
        connection.send(Unforeseen.from_exception(error))

"""Several pictures at a time: each worker is a process with one interpreter.

A picture that crashes or hangs costs only its own record. Each worker has its own pipe, and processes its inputs in
order. The parent knows which picture each worker is processing. If a worker dies or hangs, only that picture fails, and
the inputs waiting for the worker go to another one. Processes share nothing that a dying process could leave locked.
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

from posecli.errors import TIMED_OUT, WORKER_CRASHED, EngineError, PosecliError, UnexpectedError
from posecli.files.child_process import POLL_INTERVAL, Child, RunningTime, can_fork
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

#: Pictures assigned to a worker: one in work, the others waiting, so that the worker never waits for the parent. There
#: are more if a group of frames is assigned, since groups are not split.
ASSIGNED = 3
#: Pictures in the memory of a worker: one in work, and the next. The others stay in the parent, which keeps the pixels
#: of frames anyway.
IN_WORKER = 2
#: Number of workers in a row that may die before they are ready. After that, the pictures are not the cause.
MAX_FAILED_STARTS = 3
#: Seconds in which a worker must load the model, also on a slow and busy machine.
LOADING_SECONDS = 120


class _Item(NamedTuple):
    number: int
    image: ImageInput


def run(inputs: Iterable[ImageInput], job: Job, options: EngineOptions) -> Iterator[Record]:
    """Yield a record for each input, in order. Raises FatalError if the workers cannot start or cannot write."""
    with Pool(job, options, forked=may_fork()) as pool:
        yield from pool.records(inputs)


def run_pieces(
    pieces: Iterable[Piece], work: Work[Piece, Summary], job: Job, options: EngineOptions
) -> Generator[Summary, None, None]:
    """Yield the summary of each piece. Pieces run one after the other, each on all workers. Raises FatalError."""
    with Pool(job, options, forked=may_fork()) as pool:
        for piece in pieces:
            yield work(piece, pool.records)


def may_fork() -> bool:
    """Whether workers may be forked, which takes milliseconds. False if a runtime or Ray is loaded: a forked process
    does not have their threads."""
    return can_fork() and not any(module in sys.modules for module in ("ray", *RUNTIMES.values()))


class Pool:
    """Worker processes, started when they are needed; a context manager that stops them.

    forked: workers are forked, see `can_fork`.
    """

    def __init__(self, job: Job, options: EngineOptions, *, forked: bool = False) -> None:
        self._groups: Iterator[list[ImageInput]] = iter(())
        self._arriving: ReadAhead[list[ImageInput]] | None = None  # used instead of _groups if inputs are streamed
        self._order: InOrder[Record] = InOrder()
        self._held: list[ImageInput] = []  # taken from the inputs, not begun
        self._returned: deque[list[_Item]] = deque()  # taken back from a worker that died or hung
        self._job = job
        self._options = options
        self._forked = forked
        self._clock = RunningTime()
        self._workers: list[_WorkerProcess] = []
        self._failed_starts = 0

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop all workers at once. Their current work is lost; they leave no partial files."""
        for worker in self._workers:
            if worker.assigned:
                worker.child.terminate()
        for worker in self._workers:
            worker.child.stop(patiently=bool(worker.assigned))
        self._workers = []

    def records(self, inputs: Iterable[ImageInput]) -> Iterator[Record]:
        """Yield the record of each input, in order. Iterate to the end before the next call. Raises FatalError."""
        self._order, self._held = InOrder(), []
        groups = in_groups(inputs)
        with ReadAhead(groups) if self._options.streamed else contextlib.nullcontext() as self._arriving:
            self._groups = groups
            while self._feed():
                for number, record in self._next_results():
                    yield from self._order.take(number, record)

    def _next_results(self) -> Iterator[tuple[int, Record]]:
        """Wait for a message, a new input or a deadline; yield numbers and records of finished inputs."""
        remaining = min((worker.deadline for worker in self._workers), default=float("inf")) - self._clock.now()
        connections = [worker.connection for worker in self._workers]
        if self._may_arrive() and self._has_room() and not self._held:
            assert self._arriving is not None
            connections.append(self._arriving.connection)
        ready = wait(connections, max(min(remaining, POLL_INTERVAL), 0))
        now = self._clock.now()
        for worker in list(self._workers):
            if worker.connection in ready:
                yield from self._receive(worker)
            elif worker.deadline > now:
                continue
            elif worker.is_ready:
                reason = f"not finished after {self._options.timeout:g} seconds"
                yield from self._fail_current(worker, TIMED_OUT, reason)
            else:
                self._restart(worker, f"hung for {LOADING_SECONDS:g} seconds")

    def _start(self) -> _WorkerProcess:
        try:
            forked = self._forked and can_fork()  # False if a thread reads inputs
            return _WorkerProcess(self._job, self._options, self._clock, forked=forked)
        except OSError as error:
            raise EngineError(
                f"cannot start a worker process: {error.strerror or error}", "try fewer --workers"
            ) from error

    def _feed(self) -> bool:
        """Assign inputs to workers, the least busy first. Return False when all inputs are finished."""
        while self._has_room() and (group := self._next_group()):
            worker = self._least_busy()
            for item in group:
                worker.give(item)
        return self._may_arrive() or any(worker.assigned for worker in self._workers)

    def _has_room(self) -> bool:
        """Whether a running worker, or a worker that may be started, can take more inputs."""
        may_start = len(self._workers) < self._options.workers
        return may_start or any(len(worker.assigned) < ASSIGNED for worker in self._workers)

    def _least_busy(self) -> _WorkerProcess:
        """The worker with the fewest inputs. If all have some and another worker may be started, a new one."""
        worker = min(self._workers, key=lambda worker: len(worker.assigned), default=None)
        if worker is None or (worker.assigned and len(self._workers) < self._options.workers):
            worker = self._start()
            self._workers.append(worker)
        return worker

    def _may_arrive(self) -> bool:
        return self._arriving is not None and not self._arriving.ended

    def _next_group(self) -> list[_Item]:
        """The next inputs for a worker. Empty if all inputs are begun, if too many results wait for an earlier one, or
        if the next input has not arrived."""
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
            yield from self._handle_death(worker)
            return
        if isinstance(message, PosecliError):
            raise message
        if isinstance(message, Record):
            yield worker.finish().number, message
        else:
            self._failed_starts = 0
            worker.set_ready()

    def _handle_death(self, worker: _WorkerProcess) -> Iterator[tuple[int, Record]]:
        """Replace a worker that died: by a crash in native code, or killed for its memory."""
        how = worker.child.exit_description()
        if not worker.is_ready:
            self._restart(worker, how)
            return
        yield from self._fail_current(worker, WORKER_CRASHED, f"the worker process {how}")

    def _restart(self, worker: _WorkerProcess, how: str) -> None:
        """Replace a worker that was not ready. Raises EngineError after MAX_FAILED_STARTS of them in a row."""
        self._failed_starts += 1
        if self._failed_starts >= MAX_FAILED_STARTS:
            message = f"{self._failed_starts} worker processes failed to load the model; the last one {how}"
            raise EngineError(message, "`posecli --debug` shows their output")
        self._replace(worker, [*worker.assigned])

    def _fail_current(self, worker: _WorkerProcess, code: str, reason: str) -> Iterator[tuple[int, Record]]:
        """Replace a worker. Yield the failure of its current picture; its other inputs go to another worker."""
        current, *others = worker.assigned or [None]
        self._replace(worker, [item for item in others if item is not None])
        if current is not None:
            yield current.number, current.image.failed(code, f"{current.image.place}: {reason}")

    def _replace(self, worker: _WorkerProcess, unfinished: list[_Item]) -> None:
        worker.child.stop()
        if unfinished:
            self._returned.append(unfinished)
        self._workers[self._workers.index(worker)] = self._start()


class _WorkerProcess:
    """A worker as the parent sees it: its pipe, the inputs assigned to it, and the deadline of the first of them."""

    def __init__(self, job: Job, options: EngineOptions, clock: RunningTime, *, forked: bool) -> None:
        self.child = Child(_work, job, options.threads, name="worker", forked=forked)
        self.connection = self.child.connection
        self.assigned: deque[_Item] = deque()
        self.is_ready = False
        self._clock = clock
        self._timeout = options.timeout
        self.deadline = clock.now() + LOADING_SECONDS

    def give(self, item: _Item) -> None:
        """Assign a picture. If the worker has died, the next read from its pipe shows it."""
        self.assigned.append(item)
        image = item.image
        if image.pixels is None:
            self.child.send(image, short=image.data is None and image.recorded is None)
        else:
            width, height, data = image.pixels
            self.child.send(image._replace(pixels=(width, height, b"")))
            self.child.send(data)
        if len(self.assigned) == 1 and self.is_ready:
            self._start_clock()

    def set_ready(self) -> None:
        """Note that the worker has loaded the model."""
        self.is_ready = True
        self._start_clock()

    def finish(self) -> _Item:
        """Remove the first assigned picture, which is finished, and return it."""
        item = self.assigned.popleft()
        self._start_clock()
        return item

    def _start_clock(self) -> None:
        self.deadline = self._clock.now() + self._timeout if self.assigned else float("inf")


def _receive_ahead(connection: Connection, arrived: SimpleQueue[ImageInput | None], room: threading.Semaphore) -> None:
    """Receive the next input while the worker is busy. A frame is larger than a pipe, so the worker would wait for it.

    Puts None at the end of the pipe.
    """
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
    """Run a worker: load the model, report it with None, then answer each picture with a record until the pipe ends."""
    limit_memory(job.max_memory)
    try:
        worker = Worker(job, threads=threads)
        connection.send(None)
        arrived: SimpleQueue[ImageInput | None] = SimpleQueue()
        room = threading.Semaphore(IN_WORKER)
        threading.Thread(target=_receive_ahead, args=(connection, arrived, room), daemon=True).start()
        while (image := arrived.get()) is not None:
            connection.send(worker(image))
            image = None
            room.release()
    except PosecliError as error:
        connection.send(error)
    except Exception as error:
        connection.send(UnexpectedError.from_exception(error))

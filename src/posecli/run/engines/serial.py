"""One picture after the other, in one worker.

The worker is a forked process if possible, which costs milliseconds: a picture that crashes or hangs then costs only
its own record. Otherwise it is this process, in which a timeout cannot interrupt native code.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from posecli.errors import TIMED_OUT
from posecli.run.engines import EngineOptions, Piece, Summary, Work, processes
from posecli.run.engines.processes import Pool
from posecli.run.worker import Job, Worker
from posecli.types import ImageInput, Record


class _TimeIsUpError(BaseException):
    """Raised while a picture is processed. A BaseException, so that no handler for damaged pictures catches it."""


def run(inputs: Iterable[ImageInput], job: Job, options: EngineOptions) -> Iterator[Record]:
    """Yield the record of each input, in order. Raises FatalError if the model cannot run."""
    if processes.may_fork():
        with Pool(job, options._replace(workers=1), forked=True) as pool:
            yield from pool.records(inputs)
    else:
        yield from _records(inputs, Worker(job, threads=options.threads), options)


def run_pieces(
    pieces: Iterable[Piece], work: Work[Piece, Summary], job: Job, options: EngineOptions
) -> Generator[Summary, None, None]:
    """Yield the summary of each piece, in order. Raises FatalError if the model cannot run."""
    if processes.may_fork():
        with Pool(job, options._replace(workers=1), forked=True) as pool:
            for piece in pieces:
                yield work(piece, pool.records)
        return
    worker = Worker(job, threads=options.threads)
    for piece in pieces:
        yield work(piece, lambda inputs: _records(inputs, worker, options))


def _records(inputs: Iterable[ImageInput], worker: Worker, options: EngineOptions) -> Iterator[Record]:
    for image in inputs:
        try:
            with _time_limit(options.timeout):
                record = worker(image)
        except _TimeIsUpError:
            message = f"{image.place}: not finished after {options.timeout:g} seconds"
            record = image.failed(TIMED_OUT, message)
        yield record


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise _TimeIsUpError after some seconds, if the system has timers and this is the main thread."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise _TimeIsUpError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

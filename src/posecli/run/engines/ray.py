"""Many machines: tasks on a Ray cluster, each a chunk of pictures or a piece of the work.

What a task does, it does through a pool of its own on the machine where it runs (`engines.processes`), which is kept
for the next task: a picture that crashes or hangs costs itself there, and no task. Tasks whose worker or machine is
lost are done again, by Ray and then by this module; what is lost again and again becomes error records, and a piece of
the work is done here. A bounded number of tasks is in flight however long the list is. The model travels once to each
machine that lacks it, and is known by its hash.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any, Generic, NamedTuple

from posecli import __version__
from posecli.errors import WORKER_CRASHED, EngineError, ModelError, PosecliError
from posecli.extras import need
from posecli.files.atomic import whole_file
from posecli.files.child_process import interrupts_held_back
from posecli.model.locate import cache_folder
from posecli.run.engines import (
    EngineOptions,
    Estimate,
    InOrder,
    Piece,
    Summary,
    Work,
    bytes_ahead,
    in_groups,
    weight_of,
)
from posecli.run.engines.processes import Pool
from posecli.run.worker import Job, JobModel
from posecli.types import ImageInput, Record

EXTRA = "ray"
#: Pictures of a task whose records come back; fewer where they carry pixels: bytes of those in one task.
CHUNK, CHUNK_BYTES = 32, 16 << 20
#: Tasks in flight for each processor of the cluster: one at work, the others on their way to it.
AHEAD = 3
#: Tasks that may be begun before an earlier one is done.
TASKS_AHEAD = 64
#: How often a task is done again whose machine was lost, by Ray itself and then by us.
RAY_RETRIES, RETRIES = 3, 2
#: Seconds in which a cluster's address must answer.
KNOCK_SECONDS = 10


class Context(NamedTuple):
    """What every task must know. folder: where relative names start."""

    job: Job
    options: EngineOptions
    folder: str
    version: str = __version__


def run(inputs: Iterable[ImageInput], job: Job, options: EngineOptions) -> Iterator[Record]:
    """Yield a record for every input, in order. Raises FatalError."""
    with connected(options) as (ray, ours):
        context = Context(job, options, os.getcwd())
        tasks = _Tasks(ray, _records_of, _all_lost, context, weigh=weight_of, stays_connected=not ours)
        for records in tasks.results(chunks(inputs)):
            yield from records


def run_pieces(
    pieces: Iterable[Piece], work: Work[Piece, Summary], job: Job, options: EngineOptions
) -> Generator[Summary, None, None]:
    """Yield what each piece comes to. A piece that is lost again and again is done here. Raises FatalError."""

    def here(piece: Piece) -> Summary:
        with Pool(job, options._replace(workers=1)) as pool:
            return work(piece, pool.records)

    with connected(options) as (ray, ours):
        tasks = _Tasks(ray, work, here, Context(job, options, os.getcwd()), stays_connected=not ours)
        yield from tasks.results(pieces)


def chunks(inputs: Iterable[ImageInput]) -> Iterator[list[ImageInput]]:
    """Inputs as tasks: CHUNK, or CHUNK_BYTES of pixels, or a little more: groups of frames stay together."""
    chunk: list[ImageInput] = []
    weight = 0
    for group in in_groups(inputs):
        chunk += group
        weight += weight_of(group) or sum(len(image.data or b"") for image in group)
        if len(chunk) >= CHUNK or weight >= CHUNK_BYTES:
            yield chunk
            chunk, weight = [], 0
    if chunk:
        yield chunk


@contextmanager
def connected(options: EngineOptions) -> Iterator[tuple[Any, bool]]:
    """Ray with a cluster: the one in use already, the one at an address (also RAY_ADDRESS), else one of this machine's
    own with as many processors as there shall be workers; and whether the connection is ours, and ends with the block.
    Raises MissingExtra, EngineError."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = options.ray_address or os.environ.get("RAY_ADDRESS")
    ray = need("ray", extra=EXTRA)
    if ray.is_initialized():
        yield ray, False
        return
    own = {} if address else {"num_cpus": options.workers * options.threads, "include_dashboard": False}
    # Ray tells of lost nodes on standard output, which is for records.
    with redirect_stdout(sys.stderr):
        try:
            _knock(address)
            with interrupts_held_back(), _handlers_kept():
                ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
        except Exception as error:  # Ray raises no narrower one where a node does not start in time
            where = f"reach the Ray cluster at {address}" if address else "start Ray"
            hint = "`ray status` tells whether it runs; one that uses a token wants RAY_AUTH_MODE=token and it here"
            raise EngineError(f"cannot {where}: {error}", hint if address else "") from error
        try:
            yield ray, True
        finally:
            ray.shutdown()


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Ray puts a handler of its own for SIGTERM in the place of the command line's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _knock(address: str | None) -> None:
    """Raise OSError where nobody listens at an address: Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS):
            pass


class _Tasks(Generic[Piece, Summary]):
    """Pieces of work as tasks of a cluster.

    work: what to do with each, there. lost: what it comes to where no machine brings it to an end. weigh: bytes of
    pixels that a piece carries, of which a bounded number is in flight. stays_connected: whether the connection
    outlasts the tasks. If not, Ray ends those in flight with it; to cancel them first may crash this process
    (https://github.com/ray-project/ray/pull/54798).
    """

    def __init__(
        self,
        ray: Any,
        work: Work[Piece, Summary],
        lost: Callable[[Piece], Summary],
        context: Context,
        *,
        stays_connected: bool,
        weigh: Callable[[Piece], int] = lambda piece: 0,
    ) -> None:
        self._ray = ray
        self._stays_connected = stays_connected
        self._lost = lost
        self._weigh = weigh
        self._to_share = (work, context, [model.read().data for model in context.job.models])
        self._share()
        self._remote = ray.remote(num_cpus=context.options.threads, max_retries=RAY_RETRIES)(_do)
        self._in_flight: dict[Any, tuple[int, Piece, int]] = {}  # by reference: number, piece, how often it was lost

    def _share(self) -> None:
        """Put what all tasks need where all machines find it."""
        self._shared = tuple(self._ray.put(value) for value in self._to_share)

    def results(self, pieces: Iterable[Piece]) -> Iterator[Summary]:
        """What each piece comes to, in order. Raises FatalError."""
        source, order = iter(pieces), InOrder[Summary]()
        held: Piece | None = None  # taken from the pieces, and not begun
        try:
            while True:
                while self._has_room() and order.may_begin(ahead=TASKS_AHEAD):
                    held = next(source, None) if held is None else held
                    if held is None or not self._may_begin(held, order):
                        break
                    self._submit(order.begin(self._weigh(held)), held, 0)
                    held = None
                if not self._in_flight:
                    return
                done, _ = self._ray.wait(list(self._in_flight), num_returns=1)
                for reference in done:
                    for number, summary in self._take(reference):
                        yield from order.take(number, summary)
        finally:
            if self._stays_connected:
                for reference in self._in_flight:
                    self._ray.cancel(reference, force=True)

    def _may_begin(self, piece: Piece, order: InOrder[Summary]) -> bool:
        """Whether the pixels of a piece have room beside those in flight."""
        weight = self._weigh(piece)
        return order.may_begin(weight, ahead=TASKS_AHEAD, bytes_ahead=bytes_ahead(weight, workers=self._processors()))

    def _has_room(self) -> bool:
        return len(self._in_flight) < AHEAD * self._processors()

    def _processors(self) -> int:
        return max(int(self._ray.cluster_resources().get("CPU", 1)), 1)

    def _submit(self, number: int, piece: Piece, losses: int) -> None:
        self._in_flight[self._remote.remote(piece, *self._shared)] = (number, piece, losses)

    def _take(self, reference: Any) -> Iterator[tuple[int, Summary]]:
        number, piece, losses = self._in_flight.pop(reference)
        errors = self._ray.exceptions
        try:
            result = self._ray.get(reference)
        except errors.RayError as error:
            cause = error.cause if isinstance(error, errors.RayTaskError) else error
            if not isinstance(cause, errors.RayError):
                raise EngineError(f"a task failed on the cluster: {cause}") from error
            # Its worker or its machine is gone, or something that it needs with another one.
            if losses < RETRIES:
                self._share()
                self._submit(number, piece, losses + 1)
                return
            result = self._lost(piece)
        if isinstance(result, PosecliError):
            raise result
        yield number, result


def _records_of(images: list[ImageInput], estimate: Estimate) -> list[Record]:
    return list(estimate(images))


def _all_lost(images: list[ImageInput]) -> list[Record]:
    why = "the machines working on it were lost"
    return [image.failed(WORKER_CRASHED, f"{image.place}: {why}") for image in images]


def _do(piece: Piece, work: Work[Piece, Summary], context: Context, models: list[bytes]) -> Summary | PosecliError:
    """A task, on some machine of the cluster. Its pool is kept for the next one."""
    try:
        return work(piece, _pool(context, models).records)
    except PosecliError as error:
        _close_pools()  # in whatever state they are
        return error


#: The pool of this process of the cluster, by what it was made for: one at most.
_pools: dict[Context, Pool] = {}


def _pool(context: Context, models: list[bytes]) -> Pool:
    if context not in _pools:
        _close_pools()
        if context.version != __version__:
            raise EngineError(f"posecli {__version__} is installed on the cluster, and {context.version} here")
        if os.path.isdir(context.folder):
            os.chdir(context.folder)
        _pools[context] = Pool(with_models_here(context.job, models), context.options._replace(workers=1))
    return _pools[context]


def _close_pools() -> None:
    while _pools:
        _pools.popitem()[1].close()


def with_models_here(job: Job, models: Sequence[bytes]) -> Job:
    """The job with paths to its models on this machine, written if need be.

    models: the bytes of each, in the order of `Job.models`. Raises ModelError where they are others than the job's.
    """
    return job.with_models(*(_model_here(model, data) for model, data in zip(job.models, models, strict=True)))


def _model_here(model: JobModel, data: bytes) -> JobModel:
    """A model's own path, where the right file is there, else one in the cache."""
    cached = model._replace(path=str(cache_folder() / model.sha256[:16] / Path(model.path).name))
    for candidate in (model, cached):
        with suppress(ModelError):
            candidate.read()
            return candidate
    with whole_file(cached.path) as file:
        file.write(data)
    cached.read()
    return cached

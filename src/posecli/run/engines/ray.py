"""Several machines: tasks on a Ray cluster. A task is a chunk of pictures or a piece of work.

A task runs its inputs in a pool of processes on its machine (`engines.processes`), which is kept for the next task. A
picture that crashes or hangs costs only its own record, not the task. Tasks whose worker or machine is lost are
retried, first by Ray, then by this module. If all retries fail, pictures become error records, and a piece of work runs
on this machine. The number of tasks in flight is bounded for any number of inputs. The model is sent once to each
machine that does not have it, and is identified by its hash.
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
from posecli.extras import import_extra
from posecli.files.atomic import atomic_file
from posecli.files.child_process import block_interrupts
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
#: Pictures per task, and the limit of their pixels in bytes. Tasks with pixels have fewer pictures.
CHUNK, CHUNK_BYTES = 32, 16 << 20
#: Tasks in flight per CPU core of the cluster: one in work, the others being sent.
AHEAD = 3
#: Maximum number of tasks in flight: their results wait for an earlier one.
TASKS_AHEAD = 64
#: Retries of a task whose machine was lost: by Ray, and then by this module.
RAY_RETRIES, RETRIES = 3, 2
#: Seconds in which the address of a cluster must accept a connection.
CONNECT_SECONDS = 10


class Context(NamedTuple):
    """What all tasks need to know. folder: the folder that relative names refer to."""

    job: Job
    options: EngineOptions
    folder: str
    version: str = __version__


def run(inputs: Iterable[ImageInput], job: Job, options: EngineOptions) -> Iterator[Record]:
    """Yield a record for each input, in order. Raises FatalError."""
    with connected(options) as (ray, ours):
        context = Context(job, options, os.getcwd())
        tasks = _Tasks(ray, _records_of, _all_lost, context, weigh=weight_of, stays_connected=not ours)
        for records in tasks.results(chunks(inputs)):
            yield from records


def run_pieces(
    pieces: Iterable[Piece], work: Work[Piece, Summary], job: Job, options: EngineOptions
) -> Generator[Summary, None, None]:
    """Yield the summary of each piece. A piece whose retries all fail runs on this machine. Raises FatalError."""

    def run_here(piece: Piece) -> Summary:
        with Pool(job, options._replace(workers=1)) as pool:
            return work(piece, pool.records)

    with connected(options) as (ray, ours):
        tasks = _Tasks(ray, work, run_here, Context(job, options, os.getcwd()), stays_connected=not ours)
        yield from tasks.results(pieces)


def chunks(inputs: Iterable[ImageInput]) -> Iterator[list[ImageInput]]:
    """Split inputs into tasks of CHUNK pictures or CHUNK_BYTES. Groups of frames are not split, so it may be more."""
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
    """Connect to a Ray cluster. Yield the ray module, and whether the connection is ours and ends with the block.

    The cluster is the one in use, or the one at the address (also RAY_ADDRESS), or a new one on this machine with one
    CPU core per thread of the workers. Raises MissingExtra, EngineError.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = options.ray_address or os.environ.get("RAY_ADDRESS")
    ray = import_extra("ray", extra=EXTRA)
    if ray.is_initialized():
        yield ray, False
        return
    own = {} if address else {"num_cpus": options.workers * options.threads, "include_dashboard": False}
    # Ray reports lost nodes on standard output, which is for records.
    with redirect_stdout(sys.stderr):
        try:
            _check_address(address)
            with block_interrupts(), _keep_handlers():
                ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
        except Exception as error:  # Ray raises no narrower type if a node does not start in time
            action = f"reach the Ray cluster at {address}" if address else "start Ray"
            hint = "check it with `ray status`; a cluster with a token needs RAY_AUTH_MODE=token and the token here"
            raise EngineError(f"cannot {action}: {error}", hint if address else "") from error
        try:
            yield ray, True
        finally:
            ray.shutdown()


@contextmanager
def _keep_handlers() -> Iterator[None]:
    """Restore the handler for SIGTERM after the block, since Ray replaces it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _check_address(address: str | None) -> None:
    """Raise OSError if nothing listens at an address. Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
            pass


class _Tasks(Generic[Piece, Summary]):
    """Runs pieces of work as tasks on a cluster.

    work: computes the summary of a piece, in the task.
    lost: computes the summary of a piece whose retries all failed.
    weigh: bytes of pixels in a piece, of which a bounded number is in flight.
    stays_connected: whether the connection outlives the tasks. If not, Ray ends the tasks in flight when it
        disconnects; cancelling them first may crash this process (https://github.com/ray-project/ray/pull/54798).
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
        self._in_flight: dict[Any, tuple[int, Piece, int]] = {}  # reference → number, piece, number of losses

    def _share(self) -> None:
        """Put what all tasks need into Ray's object store."""
        self._shared = tuple(self._ray.put(value) for value in self._to_share)

    def results(self, pieces: Iterable[Piece]) -> Iterator[Summary]:
        """Yield the summary of each piece, in order. Raises FatalError."""
        source, order = iter(pieces), InOrder[Summary]()
        held: Piece | None = None  # taken from the pieces, not begun
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
        """Whether a piece may be submitted within the limits of tasks and pixels in flight."""
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
            # Its worker or machine is lost, or another machine with data that it needs.
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
    reason = "the machines that processed it were lost"
    return [image.failed(WORKER_CRASHED, f"{image.place}: {reason}") for image in images]


def _do(piece: Piece, work: Work[Piece, Summary], context: Context, models: list[bytes]) -> Summary | PosecliError:
    """Run a task on a machine of the cluster. Its pool is kept for the next task."""
    try:
        return work(piece, _pool(context, models).records)
    except PosecliError as error:
        _close_pools()  # their state is not known after an error
        return error


#: The pool of this process on the cluster, by its context; at most one.
_pools: dict[Context, Pool] = {}


def _pool(context: Context, models: list[bytes]) -> Pool:
    if context not in _pools:
        _close_pools()
        if context.version != __version__:
            raise EngineError(f"the cluster has posecli {__version__}, but this machine has {context.version}")
        if os.path.isdir(context.folder):
            os.chdir(context.folder)
        _pools[context] = Pool(with_models_here(context.job, models), context.options._replace(workers=1))
    return _pools[context]


def _close_pools() -> None:
    while _pools:
        _pools.popitem()[1].close()


def with_models_here(job: Job, models: Sequence[bytes]) -> Job:
    """The job with paths of its models on this machine. Missing model files are written.

    models: the bytes of each, in the order of `Job.models`. Raises ModelError if their hashes are not the job's.
    """
    return job.with_models(*(_model_here(model, data) for model, data in zip(job.models, models, strict=True)))


def _model_here(model: JobModel, data: bytes) -> JobModel:
    """The model at its own path if the right file exists there, or in the cache."""
    cached = model._replace(path=str(cache_folder() / model.sha256[:16] / Path(model.path).name))
    for candidate in (model, cached):
        with suppress(ModelError):
            candidate.read()
            return candidate
    with atomic_file(cached.path) as file:
        file.write(data)
    cached.read()
    return cached

"""Engines run a job over inputs: `run(inputs, job, options) → iterator of records`. They also run pieces of work, such
as shards, of which only summaries come back: `run_pieces(pieces, work, job, options) → iterator of summaries`.

The contract, checked by one test for all engines: each input gives exactly one record; the work in flight is bounded;
records are in the order of the inputs; a model that cannot be loaded is one FatalError; a picture that crashes or hangs
costs only its own record.
"""

from __future__ import annotations

import importlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Generic, NamedTuple, Protocol, TypeVar

from posecli.types import ImageInput, Record

if TYPE_CHECKING:
    from posecli.run.worker import Job

ENGINE_NAMES = ("serial", "processes", "ray")


class EngineOptions(NamedTuple):
    """How to run.

    workers: number of processes.
    threads: CPU cores per interpreter.
    timeout: seconds for one picture.
    ray_address: address of a running Ray cluster; None: start one on this machine.
    streamed: inputs may arrive late, and records must not wait for later inputs.
    """

    workers: int
    threads: int
    timeout: float
    ray_address: str | None = None
    streamed: bool = False


#: From inputs to their records, with workers that are running.
Estimate = Callable[[Iterable[ImageInput]], Iterator[Record]]
Engine = Callable[[Iterable[ImageInput], "Job", EngineOptions], Iterator[Record]]
Piece = TypeVar("Piece")
Summary = TypeVar("Summary")
#: Computes the summary of a piece of work, in any process; picklable.
Work = Callable[[Piece, Estimate], Summary]


class PieceEngine(Protocol):
    """Runs pieces of work, such as shards, and yields their summaries. The engine decides where each piece runs."""

    def __call__(
        self, pieces: Iterable[Piece], work: Work[Piece, Summary], job: Job, options: EngineOptions
    ) -> Generator[Summary, None, None]: ...


Result = TypeVar("Result")

#: Maximum number of pictures in flight, and of frames with pixels per worker: their results wait in memory for an
#: earlier one.
PICTURES_AHEAD, FRAMES_AHEAD = 256, 32
#: Bytes of pixels of all frames in flight: the normal limit, and the limit if workers need more to be busy.
FRAME_BYTES_AHEAD, MOST_FRAME_BYTES_AHEAD = 96 << 20, 512 << 20
#: Groups of frames in flight per worker that keep it busy: one in work, and the next one for half of the workers.
_GROUPS_PER_WORKER = 1.5


def weight_of(images: Iterable[ImageInput]) -> int:
    """Bytes of the pixels in inputs."""
    return sum(len(image.pixels[2]) for image in images if image.pixels is not None)


def bytes_ahead(weight: int, *, workers: int) -> int:
    """The limit of pixels in flight, bytes, if the next group of frames has a weight.

    It is higher if the workers need more to be busy, up to MOST_FRAME_BYTES_AHEAD.
    """
    needed = int(_GROUPS_PER_WORKER * workers * weight)
    return min(max(FRAME_BYTES_AHEAD, needed), MOST_FRAME_BYTES_AHEAD)


class InOrder(Generic[Result]):
    """Sorts numbered results, from 0, by number.

    A slow result delays all later ones; `may_begin` limits their number. Work is in flight from `begin` until its
    result is yielded: until then its pixels may be kept in memory for drawing.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, Result] = {}
        self._next = 0
        self._weights: deque[int] = deque()  # of the work in flight, bytes
        self._weight = 0

    def may_begin(self, weight: int = 0, *, ahead: int, bytes_ahead: int = 0) -> bool:
        """Whether work of a weight may begin. Always true if nothing is in flight.

        weight: bytes. ahead, bytes_ahead: limits for the pieces and bytes in flight.
        """
        has_room = weight == 0 or self._weight + weight <= bytes_ahead
        return not self._weights or (len(self._weights) < ahead and has_room)

    def begin(self, weight: int = 0) -> int:
        """Begin a piece of work, and return its number."""
        self._weights.append(weight)
        self._weight += weight
        return self._next + len(self._weights) - 1

    def take(self, number: int, result: Result) -> Iterator[Result]:
        """Accept a result, and yield the results that are next in order."""
        self._waiting[number] = result
        while self._next in self._waiting:
            self._weight -= self._weights.popleft()
            self._next += 1
            yield self._waiting.pop(self._next - 1)


def in_groups(images: Iterable[ImageInput]) -> Generator[list[ImageInput], None, None]:
    """Group inputs for one worker: a picture is a group of its own, yielded at once; the frames of a group are yielded
    together as soon as the group is complete."""
    group: list[ImageInput] = []
    for image in images:
        if group and not image.continues(group[-1]):
            yield group
            group = []
        group.append(image)
        if image.ends_group:
            yield group
            group = []
    if group:
        yield group


def get_engine(name: str) -> Engine:
    """The engine with a name from `ENGINE_NAMES`."""
    engine: Engine = importlib.import_module(f"posecli.run.engines.{name}").run
    return engine


def get_piece_engine(name: str) -> PieceEngine:
    """Like `get_engine`, for pieces of work."""
    engine: PieceEngine = importlib.import_module(f"posecli.run.engines.{name}").run_pieces
    return engine

"""Engines run a job over inputs: one signature, `run(inputs, job, options) → iterator of records`; or over pieces of
the work, of which only summaries come back: `run_pieces(pieces, work, job, options) → iterator of summaries`.

The contract, held by one test for all of them: every input gives exactly one record; work in flight is bounded;
records come in the order of the inputs; a model that cannot load is one FatalError; whatever happens to one picture
costs that picture only.
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
    """How to run. workers: processes; threads: processors of one interpreter; timeout: seconds for one picture;
    ray_address: of a Ray cluster that runs already, None for one of this machine's own; streamed: the inputs may let
    one wait, and records of earlier ones do not wait for them."""

    workers: int
    threads: int
    timeout: float
    ray_address: str | None = None
    streamed: bool = False


#: From inputs to their records, by workers that are there already.
Estimate = Callable[[Iterable[ImageInput]], Iterator[Record]]
Engine = Callable[[Iterable[ImageInput], "Job", EngineOptions], Iterator[Record]]
Piece = TypeVar("Piece")
Summary = TypeVar("Summary")
#: What becomes of a piece of the work, wherever it is done: picklable.
Work = Callable[[Piece, Estimate], Summary]


class PieceEngine(Protocol):
    """Does pieces of the work, such as shards, each where it is best done, and gives what they come to."""

    def __call__(
        self, pieces: Iterable[Piece], work: Work[Piece, Summary], job: Job, options: EngineOptions
    ) -> Generator[Summary, None, None]: ...


Result = TypeVar("Result")

#: Pictures, and frames with their pixels for each worker, that may be begun before an earlier one is done: what waits
#: for it is kept in memory.
PICTURES_AHEAD, FRAMES_AHEAD = 256, 32
#: Bytes of pixels that frames in flight may take together, and that they may take at most where workers need more.
FRAME_BYTES_AHEAD, MOST_FRAME_BYTES_AHEAD = 96 << 20, 512 << 20
#: Groups of frames in flight for each worker that keep it busy: one at work, and half the workers have their next.
_GROUPS_OF_A_WORKER = 1.5


def weight_of(images: Iterable[ImageInput]) -> int:
    """Bytes of the pixels that inputs carry."""
    return sum(len(image.pixels[2]) for image in images if image.pixels is not None)


def bytes_ahead(weight: int, *, workers: int) -> int:
    """Bytes of pixels that may be in flight where a group of frames of a weight is next: more where the workers need
    more to be busy, within limits."""
    needed = int(_GROUPS_OF_A_WORKER * workers * weight)
    return min(max(FRAME_BYTES_AHEAD, needed), MOST_FRAME_BYTES_AHEAD)


class InOrder(Generic[Result]):
    """Puts numbered results, from 0, into the order of their numbers.

    Nothing comes late: what takes long holds up those behind it, and `may_begin` keeps them from becoming too many.
    In flight is what was begun and not passed on: its pixels may be kept until then, to be drawn on.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, Result] = {}
        self._following = 0
        self._weights: deque[int] = deque()  # of what is in flight, bytes
        self._weight = 0

    def may_begin(self, weight: int = 0, *, ahead: int, bytes_ahead: int = 0) -> bool:
        """Whether work of a weight may be begun, so that no more than so many pieces, and bytes, are in flight. Where
        nothing is, it may."""
        has_room = weight == 0 or self._weight + weight <= bytes_ahead
        return not self._weights or (len(self._weights) < ahead and has_room)

    def begin(self, weight: int = 0) -> int:
        """Begin a piece of work; its number."""
        self._weights.append(weight)
        self._weight += weight
        return self._following + len(self._weights) - 1

    def take(self, number: int, result: Result) -> Iterator[Result]:
        """Take a result; what can be passed on now."""
        self._waiting[number] = result
        while self._following in self._waiting:
            self._weight -= self._weights.popleft()
            self._following += 1
            yield self._waiting.pop(self._following - 1)


def in_groups(images: Iterable[ImageInput]) -> Generator[list[ImageInput], None, None]:
    """What goes to one worker: each picture by itself, as soon as it comes; the frames of a group together, as
    soon as it is known that there are no more."""
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
    """The engine of a name of `ENGINE_NAMES`."""
    engine: Engine = importlib.import_module(f"posecli.run.engines.{name}").run
    return engine


def get_piece_engine(name: str) -> PieceEngine:
    """As `get_engine`, for work in pieces."""
    engine: PieceEngine = importlib.import_module(f"posecli.run.engines.{name}").run_pieces
    return engine

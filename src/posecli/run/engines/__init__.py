"""Engines run a job over inputs: one signature, `run(inputs, job, options) → iterator of records`; or over pieces of
the work, of which only summaries come back: `run_pieces(pieces, work, job, options) → iterator of summaries`.

The contract, held by one test for all of them: every input gives exactly one record; work in flight is bounded;
records come as they are done; a model that cannot load is one FatalError; whatever happens to one picture costs
that picture only.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from posecli.types import ImageInput, Record

if TYPE_CHECKING:
    from posecli.run.worker import Job

ENGINE_NAMES = ("serial", "processes", "ray")


class EngineOptions(NamedTuple):
    """How to run. workers: processes; threads: processors of one interpreter; timeout: seconds for one picture;
    ray_address: of a Ray cluster that runs already, None for one of this machine's own."""

    workers: int
    threads: int
    timeout: float
    ray_address: str | None = None


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
    ) -> Iterator[Summary]: ...


Result = TypeVar("Result")


def in_order(results: Iterable[tuple[int, Result]], *, window: int) -> Iterator[Result]:
    """Numbered results, from 0, in the order of their numbers; what more than `window` others waited for comes late
    instead of holding them up."""
    waiting: dict[int, Result] = {}
    following = 0
    for number, result in results:
        if number < following:
            yield result  # the others did not wait for it
            continue
        waiting[number] = result
        while following in waiting or len(waiting) > window:
            chosen = following if following in waiting else min(waiting)
            yield waiting.pop(chosen)
            following = chosen + 1
    yield from (waiting[number] for number in sorted(waiting))


def get_engine(name: str) -> Engine:
    """The engine of a name of `ENGINE_NAMES`."""
    engine: Engine = importlib.import_module(f"posecli.run.engines.{name}").run
    return engine


def get_piece_engine(name: str) -> PieceEngine:
    """As `get_engine`, for work in pieces."""
    engine: PieceEngine = importlib.import_module(f"posecli.run.engines.{name}").run_pieces
    return engine

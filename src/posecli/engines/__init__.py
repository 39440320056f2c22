"""Engines run a job over inputs: one signature, `run(inputs, job, options) → iterator of records`.

The contract, held by one test for all of them: every input gives exactly one record; work in flight is bounded;
records come as they are done; a model that cannot load is one FatalError; whatever happens to one picture costs
that picture only.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from posecli.types import ImageInput, Record

if TYPE_CHECKING:
    from posecli.worker import Job

ENGINE_NAMES = ("serial", "processes")


class EngineOptions(NamedTuple):
    """How to run. workers: processes; threads: processors of one interpreter; timeout: seconds for one picture."""

    workers: int
    threads: int
    timeout: float


Engine = Callable[[Iterable[ImageInput], "Job", EngineOptions], Iterator[Record]]


def get_engine(name: str) -> Engine:
    """The engine of a name of `ENGINE_NAMES`."""
    engine: Engine = importlib.import_module(f"posecli.engines.{name}").run
    return engine

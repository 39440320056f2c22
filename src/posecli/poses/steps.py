"""Steps over the records of frames, in order, after inference: tracking, choice of a person, smoothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from posecli.types import Record, Settings


class Step(Protocol):
    """A step over the records of frames in order. Every record comes out once, at once or later."""

    def take(self, record: Record) -> Iterator[Record]:
        """Take the next record; yield the records that are done now."""

    def finish(self) -> Iterator[Record]:
        """Yield all records that are held back."""


def steps_over_time(settings: Settings) -> list[Step]:
    """The steps that the settings ask for, in order."""
    if not settings.track:
        return []
    from posecli.poses.choice import FollowedPerson
    from posecli.poses.smoothing import Smoother
    from posecli.poses.tracking import Tracker  # imports SciPy, so it is loaded only for tracking

    steps: list[Step] = [Tracker(gap=settings.track_gap)]
    if settings.person is not None:
        steps.append(FollowedPerson(settings.person, region=settings.region, gap=settings.track_gap))
    if settings.smooth:
        steps.append(Smoother())
    return steps


def take_through(steps: Sequence[Step], record: Record) -> Sequence[Record]:
    """Pass the next record through all steps. Return the records that are done now."""
    records: list[Record] = [record]
    for step in steps:
        records = [done for record in records for done in step.take(record)]
    return records


def finish_steps(steps: Sequence[Step]) -> Sequence[Record]:
    """Finish all steps at the end of a clip. Return the records that they held back."""
    records: list[Record] = []
    for step in steps:
        records = [done for record in records for done in step.take(record)] + list(step.finish())
    return records


def run_steps(steps: Sequence[Step], records: Iterable[Record]) -> Iterator[Record]:
    """Pass all records of a clip through all steps; yield them in order."""
    for record in records:
        yield from take_through(steps, record)
    yield from finish_steps(steps)

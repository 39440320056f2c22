"""What is done to the records of frames in their order, after inference: tracking and smoothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from posecli.types import Record, Settings


class Step(Protocol):
    """Something that is done to the records of frames in their order; each comes out once, some later than others."""

    def take(self, record: Record) -> Iterator[Record]:
        """Take the next record; yield those that are done now."""

    def finish(self) -> Iterator[Record]:
        """Yield all that are held back."""


def steps_over_time(settings: Settings) -> list[Step]:
    """What is done to the records of frames in their order."""
    if not settings.track:
        return []
    from posecli.poses.choice import FollowedPerson
    from posecli.poses.smoothing import Smoother
    from posecli.poses.tracking import Tracker  # brings SciPy: only who tracks pays for loading it

    steps: list[Step] = [Tracker(gap=settings.track_gap)]
    if settings.person is not None:
        steps.append(FollowedPerson(settings.person, region=settings.region, gap=settings.track_gap))
    if settings.smooth:
        steps.append(Smoother())
    return steps


def taken(steps: Sequence[Step], record: Record) -> Sequence[Record]:
    """Put the next record through steps, one after the other; those that are done now."""
    records: list[Record] = [record]
    for step in steps:
        records = [done for record in records for done in step.take(record)]
    return records


def finished(steps: Sequence[Step]) -> Sequence[Record]:
    """Put all records that steps hold back through them to their end."""
    records: list[Record] = []
    for step in steps:
        records = [done for record in records for done in step.take(record)] + list(step.finish())
    return records


def through(steps: Sequence[Step], records: Iterable[Record]) -> Iterator[Record]:
    """All records of a clip, in their order, after all steps."""
    for record in records:
        yield from taken(steps, record)
    yield from finished(steps)

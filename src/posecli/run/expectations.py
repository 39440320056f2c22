"""What a run's records are held against: how many people, and what an earlier run found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from posecli.types import Record


class Difference(Protocol):
    """One thing that differs from what was expected."""

    @property
    def place(self) -> str:
        """The name of the picture, or of the clip with the frame."""

    @property
    def message(self) -> str:
        """What differs, for people to read."""


class ExpectedRecords(Protocol):
    """Records that those of a run are compared with, one by one; `checks.compare.Expectation` is one."""

    def check(self, actual: Record, /) -> Iterable[Difference]:
        """What differs in one record, as far as its name is expected."""

    def others(self) -> Iterable[Difference]:
        """What differs in the records with other names."""

    def unseen(self) -> Iterable[Difference]:
        """What was expected and has not been checked."""


class Expectations:
    """least, exactly: people in every picture. expected: records that this run's should be like."""

    def __init__(self, *, least: int = 0, exactly: int | None = None, expected: ExpectedRecords | None = None) -> None:
        self._least = least
        self._exactly = exactly
        self._expected = expected

    def of(self, record: Record) -> Iterator[str]:
        """What is wrong with one record. A failed one is said to be so elsewhere."""
        people = len(record.poses)
        if record.ok and people < self._least:
            found = f"{people} of {self._least} people found" if people else "nobody found"
            yield f"{record.image}: {found}"
        if record.ok and self._exactly is not None and people != self._exactly:
            yield f"{record.image}: {people} people found, expected {self._exactly}"
        if self._expected is not None:
            for difference in self._expected.check(record):
                yield f"{difference.place}: {difference.message}"

    def at_the_end(self) -> Iterator[str]:
        """What can be said when all records have come: of pictures with other names, and of missing ones."""
        if self._expected is not None:
            for difference in (*self._expected.others(), *self._expected.unseen()):
                yield f"{difference.place}: {difference.message}"

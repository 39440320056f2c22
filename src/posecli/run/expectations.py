"""Expectations of a run: the number of people per picture, and the records of an earlier run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from posecli.types import Record


class Difference(Protocol):
    """One difference from the expected records."""

    @property
    def place(self) -> str:
        """The name of the picture, or the name of the clip and the frame."""

    @property
    def message(self) -> str:
        """What differs, in words."""


class ExpectedRecords(Protocol):
    """Records with which the records of a run are compared; implemented by `checks.compare.Expectation`."""

    def check(self, actual: Record, /) -> Iterable[Difference]:
        """The differences of one record, if a record of its name is expected."""

    def others(self) -> Iterable[Difference]:
        """The differences of the records with other names."""

    def missing(self) -> Iterable[Difference]:
        """The expected records that were not checked."""


class Expectations:
    """What the records of a run must fulfil.

    least, exactly: number of people in each picture; exactly: None for any number.
    expected: records that must be equal to those of the run, within limits.
    """

    def __init__(self, *, least: int = 0, exactly: int | None = None, expected: ExpectedRecords | None = None) -> None:
        self._least = least
        self._exactly = exactly
        self._expected = expected

    def of(self, record: Record) -> Iterator[str]:
        """Messages about one record. That a record failed is reported elsewhere."""
        people = len(record.poses)
        found = f"{people} {'person' if people == 1 else 'people'} found"
        if record.ok and people < self._least:
            yield f"{record.image}: {f'{found}, expected {self._least} or more' if people else 'no people found'}"
        if record.ok and self._exactly is not None and people != self._exactly:
            yield f"{record.image}: {found}, expected {self._exactly}"
        if self._expected is not None:
            for difference in self._expected.check(record):
                yield f"{difference.place}: {difference.message}"

    def at_the_end(self) -> Iterator[str]:
        """Messages after the last record: about pictures with other names, and about missing pictures."""
        if self._expected is not None:
            for difference in (*self._expected.others(), *self._expected.missing()):
                yield f"{difference.place}: {difference.message}"

"""Base class of steps over the frames of a clip that need a few later frames before they settle one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from posecli.types import Record

#: Seconds between frames without times, such as pages.
FALLBACK_STEP = 0.1


class Lookahead:
    """Holds back the records of a clip until enough later frames have arrived. Stills are not held back; they, and the
    first record of another clip, release all that is held.

    Every record comes out once, in input order. It depends only on earlier records and on those few later ones.
    Subclasses implement `_reset`, `_add` and `_settle`.

    seconds: the lookahead; least, most: its limits in frames, at any frame rate.
    """

    def __init__(self, seconds: float, *, least: int, most: int) -> None:
        self._seconds = seconds
        self._least, self._most = least, most
        self._clip: str | None = None
        self._held: deque[Record] = deque()

    def take(self, record: Record) -> Iterator[Record]:
        """Take the next record; yield the records that are settled now. The caller must exhaust the iterator."""
        if record.image != self._clip or record.frame is None:
            yield from self.finish()
            if record.frame is None:
                yield record
                return
            self._clip = record.image
            self._reset()
        self._held.append(record)
        if record.ok:
            self._add(record, time_of(record))
        while self._has_lookahead():
            yield self._next()

    def finish(self) -> Iterator[Record]:
        """Yield all records that are held back: the clip has ended."""
        while self._held:
            yield self._next()
        self._clip = None

    def _has_lookahead(self) -> bool:
        ahead = len(self._held) - 1
        if ahead < self._least:
            return False
        return ahead >= self._most or time_of(self._held[-1]) - time_of(self._held[0]) >= self._seconds - 1e-6

    def _next(self) -> Record:
        record = self._held.popleft()
        return self._settle(record) if record.ok else record

    def _reset(self) -> None:
        """Reset the state for a new clip."""
        raise NotImplementedError

    def _add(self, record: Record, time: float) -> None:
        """Add a frame to the state. time: seconds from the clip's beginning."""
        raise NotImplementedError

    def _settle(self, record: Record) -> Record:
        """Return the final record of the oldest frame that is not settled."""
        raise NotImplementedError


def time_of(record: Record) -> float:
    """Seconds from the clip's beginning."""
    assert record.frame is not None
    return record.time if record.time is not None else record.frame * FALLBACK_STEP

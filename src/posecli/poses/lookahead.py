"""Steps over the frames of a clip that see a few frames more before they settle one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from posecli.types import Record

#: Seconds between frames that have no time, such as pages.
FALLBACK_STEP = 0.1


class Lookahead:
    """Holds back the records of a clip until enough frames after them were seen. Stills and other clips never wait.

    Every record comes out once, in the order in which it went in, and depends on the records before it and on those
    few after it only. A subclass says in `_begin`, `_see` and `_settle` what is done to them.

    seconds: how far ahead a frame is settled; least, most: frames ahead, whatever their rate.
    """

    def __init__(self, seconds: float, *, least: int, most: int) -> None:
        self._seconds = seconds
        self._least, self._most = least, most
        self._clip: str | None = None
        self._held: deque[Record] = deque()

    def take(self, record: Record) -> Iterator[Record]:
        """Take the next record; yield those that are settled now. To be gone through to its end."""
        if record.image != self._clip or record.frame is None:
            yield from self.finish()
            if record.frame is None:
                yield record
                return
            self._clip = record.image
            self._begin()
        self._held.append(record)
        if record.ok:
            self._see(record, time_of(record))
        while self._is_seen_far_enough():
            yield self._next()

    def finish(self) -> Iterator[Record]:
        """Yield all that is held back: the clip is at its end."""
        while self._held:
            yield self._next()
        self._clip = None

    def _is_seen_far_enough(self) -> bool:
        ahead = len(self._held) - 1
        if ahead < self._least:
            return False
        return ahead >= self._most or time_of(self._held[-1]) - time_of(self._held[0]) >= self._seconds - 1e-6

    def _next(self) -> Record:
        record = self._held.popleft()
        return self._settle(record) if record.ok else record

    def _begin(self) -> None:
        """Forget the clip before."""
        raise NotImplementedError

    def _see(self, record: Record, time: float) -> None:
        """Take in a frame, `time` seconds from the clip's beginning."""
        raise NotImplementedError

    def _settle(self, record: Record) -> Record:
        """What becomes of the oldest frame that was seen and not settled."""
        raise NotImplementedError


def time_of(record: Record) -> float:
    """Seconds from the clip's beginning."""
    assert record.frame is not None
    return record.time if record.time is not None else record.frame * FALLBACK_STEP

"""The total number of records of a run, for the progress bar: an estimate that becomes exact as clips end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping

from posecli.inputs.clip_decoder import FrameCounter
from posecli.run.plan import RunPlan

#: Seconds to wait for the counting thread to end.
_STOP_TIMEOUT = 2.0


class Total:
    """Counts pictures and frames. When a clip ends, the frame count of its container is replaced by the actual number.

    `expect` and `count` may be called in different threads.
    counted: whether `expect` is called at all. If not, there is no total, and no names are stored.
    """

    def __init__(self, *, counted: bool = True) -> None:
        self._counted = counted
        self._changing = threading.Lock()
        self._pictures = 0
        self._expected: dict[str, int] = {}  # frames of clips, by name
        self._found: Counter[str] = Counter()  # records so far, by name, of clips and of inputs that may be clips
        self._ended: set[str] = set()
        self._frames = 0  # of all clips
        self._is_complete = False

    @property
    def value(self) -> int | None:
        """The number of records of the run; None until all inputs are known."""
        return self._pictures + self._frames if self._is_complete else None

    def expect(self, name: str, frames: int | None) -> None:
        """Add an input. frames: approximate number of frames of a clip; None: it is one picture."""
        with self._changing:
            if frames is None:
                self._pictures += 1
                return
            self._expected[name] = frames
            self._frames += self._of(name)

    def complete(self) -> None:
        """Mark the list of inputs as complete: all names that are not clips are pictures."""
        with self._changing:
            self._is_complete = True
            self._found = Counter({name: self._found[name] for name in self._expected})
            self._ended &= self._expected.keys()

    def count(self, clips: Mapping[str, int]) -> None:
        """Add finished records. clips: number of records by name."""
        for name, count in clips.items():
            self._change(name, count, ends=False)

    def end(self, names: Iterable[str]) -> None:
        """Mark clips as complete: no more of their records will come."""
        for name in names:
            self._change(name, 0, ends=True)

    def _change(self, name: str, count: int, *, ends: bool) -> None:
        with self._changing:
            if not self._counted or (self._is_complete and name not in self._expected):
                return
            before = self._of(name)
            self._found[name] += count
            if ends:
                self._ended.add(name)
            self._frames += self._of(name) - before

    def _of(self, name: str) -> int:
        """The number of frames of a clip; 0 if it is not a clip or not expected yet."""
        if name not in self._expected:
            return 0
        return self._found[name] if name in self._ended else max(self._expected[name], self._found[name])


class CountedInBackground:
    """Counts the inputs of a run in a thread, from a second listing; a separate process opens clips.

    A context manager that ends both.
    """

    def __init__(self, plan: RunPlan, counter: FrameCounter, total: Total) -> None:
        self._plan, self._counter, self._total = plan, counter, total
        self._thread = threading.Thread(target=self._count, daemon=True, name="posecli-total")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._counter.stop(self._thread, _STOP_TIMEOUT)

    def _count(self) -> None:
        for name, frames in self._counter.count(self._plan.inputs(), self._plan.clip_options):
            self._total.expect(name, frames)
        self._total.complete()

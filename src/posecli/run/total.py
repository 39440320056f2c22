"""How many records a run will have come to, for its progress bar: an estimate that becomes exact as clips end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping

from posecli.inputs.clip_decoder import FrameCounter
from posecli.run.plan import RunPlan

#: Seconds that a thread which counts may take to end once it is told to.
_PATIENCE = 2.0


class Total:
    """Pictures and frames of clips. What containers say of their frames is replaced by what came of them.

    Inputs are expected in one thread and seen in another. counted: they are expected at all; else there is no total,
    and no name is kept.
    """

    def __init__(self, *, counted: bool = True) -> None:
        self._counted = counted
        self._changing = threading.Lock()
        self._pictures = 0
        self._expected: dict[str, int] = {}  # frames of clips, by name
        self._seen: Counter[str] = Counter()  # records of clips, and of what may turn out to be one
        self._ended: set[str] = set()
        self._frames = 0  # what all clips come to
        self._is_complete = False

    @property
    def value(self) -> int | None:
        """How many records there will be; None until all inputs are expected."""
        return self._pictures + self._frames if self._is_complete else None

    def expect(self, name: str, frames: int | None) -> None:
        """An input is there: a clip of about so many frames; None: one picture."""
        with self._changing:
            if frames is None:
                self._pictures += 1
                return
            self._expected[name] = frames
            self._frames += self._of(name)

    def complete(self) -> None:
        """All inputs are expected: any other name is a picture's."""
        with self._changing:
            self._is_complete = True
            self._seen = Counter({name: self._seen[name] for name in self._expected})
            self._ended &= self._expected.keys()

    def see(self, clips: Mapping[str, int]) -> None:
        """So many records of clips have come."""
        for name, count in clips.items():
            self._change(name, count, ends=False)

    def end(self, names: Iterable[str]) -> None:
        """No more records of these clips will come."""
        for name in names:
            self._change(name, 0, ends=True)

    def _change(self, name: str, count: int, *, ends: bool) -> None:
        with self._changing:
            if not self._counted or (self._is_complete and name not in self._expected):
                return
            before = self._of(name)
            self._seen[name] += count
            if ends:
                self._ended.add(name)
            self._frames += self._of(name) - before

    def _of(self, name: str) -> int:
        """What a clip comes to; 0 where it is none, or not expected yet."""
        if name not in self._expected:
            return 0
        return self._seen[name] if name in self._ended else max(self._expected[name], self._seen[name])


class CountedInBackground:
    """Goes through a second listing of the inputs of a run, in a thread and, for clips, with a process of its own. A
    context manager that ends both."""

    def __init__(self, plan: RunPlan, counter: FrameCounter, total: Total) -> None:
        self._plan, self._counter, self._total = plan, counter, total
        self._thread = threading.Thread(target=self._count, daemon=True, name="posecli-total")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._counter.stop(self._thread, _PATIENCE)

    def _count(self) -> None:
        for name, frames in self._counter.count(self._plan.inputs(), self._plan.clip_options):
            self._total.expect(name, frames)
        self._total.complete()

"""How many records a run will have come to, for its progress bar: an estimate that becomes exact as clips end."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

from posecli.inputs.clip_decoder import FrameCounter
from posecli.run.plan import RunPlan

#: Seconds that a thread which counts may take to end once it is told to.
_PATIENCE = 2.0


class Total:
    """Pictures and frames of clips. What containers say of their frames is replaced by what came of them.

    Inputs are expected in one thread and seen in another.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._pictures = 0
        self._expected: dict[str, int] = {}  # frames of clips, by name
        self._seen: Counter[str] = Counter()  # records of clips, and of what may turn out to be one
        self._ended: set[str] = set()
        self._last: str | None = None
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
        """All inputs are expected."""
        with self._changing:
            self._is_complete = True

    def see(self, clips: Mapping[str, int], *, whole: bool) -> None:
        """Records of clips have come. whole: all of each; else they are in order, and those of one end with the first
        of another."""
        for name, count in clips.items():
            with self._changing:
                before = self._of(name)
                self._seen[name] += count
                if whole:
                    self._ended.add(name)
                self._frames += self._of(name) - before
            if not whole:
                self._pass_on(name)

    def _pass_on(self, name: str) -> None:
        last, self._last = self._last, name
        if last is not None and last != name:
            self.see({last: 0}, whole=True)

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

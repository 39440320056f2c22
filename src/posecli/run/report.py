"""What the run tells its user, on standard error: failures as they come, progress, a closing line; the exit status."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from posecli.files.terminal import encodable, print_line, printable
from posecli.run.expectations import Expectations
from posecli.types import Record

if TYPE_CHECKING:
    from tqdm import tqdm

    from posecli.inputs.walk import PassedOver
    from posecli.run.pipeline import Done
    from posecli.run.total import Total

EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE, EXIT_EXPECTATION, EXIT_FATAL = range(5)


@dataclass
class Tally:
    """What some records come to: how many, messages of what failed and of what was not as expected. clips: how many are
    of which clip; what failed may have been one. still: the first that is of no clip."""

    ok: int = 0
    failed: int = 0
    skipped: int = 0
    people: int = 0
    with_people: int = 0
    failures: list[str] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)
    clips: Counter[str] = field(default_factory=Counter)
    still: str | None = None

    def count(self, record: Record, expectations: Expectations) -> None:
        """Account for one record."""
        if record.error is not None:
            self.failed += 1
            self.failures.append(f"{record.error.message} [{record.error.code}]")
        else:
            self.ok += 1
            self.with_people += bool(record.poses)
            self.people += len(record.poses)
        if record.frame is not None or not record.ok:
            self.clips[record.image] += 1
        else:
            self.still = self.still or record.image
        self.unmet += expectations.of(record)


class Report:
    """Counts records and owns what is said about them.

    quiet: say nothing unless something fails. total: for a progress bar, None for no bar. expectations: what every
    record is held against; what does not hold is said and counts against the run. tracks: people are to be tracked;
    that stills have no order is said once. passed_over: what folders hold besides, said before the closing line; None
    to say nothing of it. waits: inputs are waited for, so there is no rate; where standard error is a terminal, each is
    said as it is done.
    """

    def __init__(
        self,
        *,
        quiet: bool = False,
        total: Total | None = None,
        expectations: Expectations | None = None,
        tracks: bool = False,
        passed_over: PassedOver | None = None,
        waits: bool = False,
    ) -> None:
        self._quiet = quiet
        self._waits = waits
        self._tells_of_each = waits and not quiet and sys.stderr.isatty()
        self._expectations = expectations or Expectations()
        self._unmet = 0
        self._tells_of_stills = tracks and not quiet
        self._passed_over = passed_over
        self._silent = False
        self._counting = threading.Lock()  # what is skipped may be counted by the thread that reads the inputs
        self._start = perf_counter()
        self._total = total
        self._bar: tqdm[Any] | None = _make_bar() if total is not None else None
        self.ok = self.failed = self.skipped = self.with_people = self.people = 0

    @property
    def found(self) -> int:
        """Inputs accounted for so far."""
        return self.ok + self.failed + self.skipped

    def watch(self, done: Iterable[Done], *, fail_fast: bool = False) -> Generator[Done, None, None]:
        """Count inputs on their way to the output; stop behind the first failure if asked to."""
        last: str | None = None
        for one in done:
            if self._total is not None and last is not None and last != one.record.image:
                self._total.end([last])
            if self._tells_of_each and one.record.ok and not one.replayed and last != one.record.image:
                self._tell_of(one.record)
            last = one.record.image
            if one.replayed and one.failure is None:
                self.skip(one.record.image)
            else:
                self.count(one.failure or one.record)
            yield one
            if fail_fast and self.failed:
                self.say("stopped at the first failure (--fail-fast)")
                return

    def skip(self, name: str, count: int = 1, *, whole: bool = False) -> None:
        """An input that an earlier run has finished, or so many frames of it. whole: the clip ends with them."""
        with self._counting:
            self.skipped += count
        self._move_bar(count, {name: count}, whole=whole)

    def _move_bar(self, count: int, clips: Mapping[str, int], *, whole: bool) -> None:
        if self._bar is None or self._total is None:
            return
        self._total.see(clips)
        if whole:
            self._total.end(clips)
        self._bar.total = self._total.value
        self._bar.update(count)

    def count(self, record: Record) -> None:
        """Account for one record, and say what failed."""
        tally = Tally()
        tally.count(record, self._expectations)
        self.add(tally, whole=False)

    def add(self, tally: Tally, *, whole: bool = True) -> None:
        """Account for records that were counted elsewhere, and say what failed. whole: of each clip they are all."""
        self.ok += tally.ok
        self.failed += tally.failed
        with self._counting:
            self.skipped += tally.skipped
        self.people += tally.people
        self.with_people += tally.with_people
        for message in tally.failures:
            self.say(message)
        self._hold_against(tally.unmet)
        if tally.still is not None:
            self._tell_of_stills(tally.still)
        if self._bar is not None:
            self._bar.set_postfix(people=self.people, failed=self.failed, refresh=False)
        self._move_bar(tally.ok + tally.failed + tally.skipped, tally.clips, whole=whole)

    def say(self, message: str) -> None:
        """One line on standard error, above the progress bar; control characters of file names are escaped."""
        line = f"posecli: {message}"
        if self._bar is not None:
            self._bar.write(encodable(printable(line), sys.stderr), file=sys.stderr)
        else:
            print_line(line, sys.stderr)

    def _tell_of(self, record: Record) -> None:
        """Say that a picture has come, or a clip with its first frame."""
        people = _count_of(len(record.poses), "person", "people")
        self.say(f"{record.image}: {people}{'' if record.frame is None else ' in the first frame'}")

    def _tell_of_stills(self, name: str) -> None:
        """Say once that nothing is done over time to stills."""
        if self._tells_of_stills:
            self._tells_of_stills = False
            self.say(
                f"{name} is a still: stills have no order, and --track and --smooth do nothing for them "
                "(--as-clip --fps N makes a clip of the pictures of each folder)"
            )

    def _hold_against(self, complaints: Iterable[str]) -> None:
        for complaint in complaints:
            self._unmet += 1
            self.say(complaint)

    def fall_silent(self) -> None:
        """Say nothing at the end: whoever read the output has left."""
        self._silent = True

    def close(self, *, interrupted: bool = False) -> None:
        """End the progress bar and sum up."""
        if not interrupted:
            self._hold_against(self._expectations.at_the_end())
        if self._bar is not None:
            if not interrupted:
                self._bar.total = self._bar.n
            self._bar.close()
            self._bar = None
        if self._silent or (self._quiet and not self.failed and not interrupted):
            return
        if self._passed_over is not None and self._passed_over.total:
            self.say(f"passed over: {self._passed_over}")
        self.say(self._summary(interrupted))

    def _summary(self, interrupted: bool) -> str:
        rate = (self.ok + self.failed) / max(perf_counter() - self._start, 1e-9)
        return (
            f"{'interrupted: ' if interrupted else ''}{_count_of(self.found, 'picture')} = {self.ok} ok + "
            f"{self.failed} failed + {self.skipped} skipped; {_count_of(self.people, 'person', 'people')} in "
            f"{_count_of(self.with_people, 'picture')}{'' if self._waits else f'; {rate:.1f} pictures/s'}"
        )

    def exit_status(self) -> int:
        """0 all well; 1 some inputs failed; 3 an expectation did not hold."""
        if self.failed:
            return EXIT_SOME_FAILED
        return EXIT_EXPECTATION if self._unmet else EXIT_OK


def _count_of(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _make_bar() -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(unit="picture", dynamic_ncols=True, file=sys.stderr, leave=False)

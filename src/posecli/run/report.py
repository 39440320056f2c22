"""What the run tells its user, on standard error: failures as they come, progress, a closing line; the exit status."""

from __future__ import annotations

import sys
import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from posecli.files.terminal import encodable, print_line, printable
from posecli.run.expectations import Expectations
from posecli.types import Record

if TYPE_CHECKING:
    from tqdm import tqdm

    from posecli.run.pipeline import Done

EXIT_OK, EXIT_SOME_FAILED, EXIT_USAGE, EXIT_EXPECTATION, EXIT_FATAL = range(5)


@dataclass
class Tally:
    """What some records come to: how many, messages of what failed and of what was not as expected."""

    ok: int = 0
    failed: int = 0
    skipped: int = 0
    people: int = 0
    with_people: int = 0
    failures: list[str] = field(default_factory=list)
    unmet: list[str] = field(default_factory=list)

    def count(self, record: Record, expectations: Expectations) -> None:
        """Account for one record."""
        if record.error is not None:
            self.failed += 1
            self.failures.append(f"{record.error.message} [{record.error.code}]")
        else:
            self.ok += 1
            self.with_people += bool(record.poses)
            self.people += len(record.poses)
        self.unmet += expectations.of(record)


class Report:
    """Counts records and owns what is said about them.

    quiet: say nothing unless something fails. progress: show a bar. expectations: what every record is held against;
    what does not hold is said and counts against the run.
    """

    def __init__(
        self, *, quiet: bool = False, progress: bool = False, expectations: Expectations | None = None
    ) -> None:
        self._quiet = quiet
        self._expectations = expectations or Expectations()
        self._unmet = 0
        self._silent = False
        self._counting = threading.Lock()  # what is skipped may be counted by the thread that reads the inputs
        self._start = perf_counter()
        self._bar: tqdm[Any] | None = _make_bar() if progress else None
        self.ok = self.failed = self.skipped = self.with_people = self.people = 0

    @property
    def found(self) -> int:
        """Inputs accounted for so far."""
        return self.ok + self.failed + self.skipped

    def watch(self, done: Iterable[Done], *, fail_fast: bool = False) -> Generator[Done, None, None]:
        """Count inputs on their way to the output; stop behind the first failure if asked to."""
        for one in done:
            if one.replayed and one.failure is None:
                self.skip()
            else:
                self.count(one.failure or one.record)
            yield one
            if fail_fast and self.failed:
                self.say("stopped at the first failure (--fail-fast)")
                return

    def expect_in_background(self, inputs: Iterable[object]) -> None:
        """Count a second listing of the inputs beside the run, for the progress bar's total; nothing without one."""
        if self._bar is not None:
            threading.Thread(target=self._expect, args=(inputs,), daemon=True).start()

    def _expect(self, inputs: Iterable[object]) -> None:
        total = sum(1 for _ in inputs)
        if (bar := self._bar) is not None:
            bar.total = total

    def skip(self, count: int = 1) -> None:
        """Inputs that an earlier run has finished."""
        with self._counting:
            self.skipped += count
        if self._bar is not None:
            self._bar.update(count)

    def count(self, record: Record) -> None:
        """Account for one record, and say what failed."""
        tally = Tally()
        tally.count(record, self._expectations)
        self.add(tally)

    def add(self, tally: Tally) -> None:
        """Account for records that were counted elsewhere, and say what failed."""
        self.ok += tally.ok
        self.failed += tally.failed
        with self._counting:
            self.skipped += tally.skipped
        self.people += tally.people
        self.with_people += tally.with_people
        for message in tally.failures:
            self.say(message)
        self._hold_against(tally.unmet)
        if self._bar is not None:
            self._bar.set_postfix(people=self.people, failed=self.failed, refresh=False)
            self._bar.update(tally.ok + tally.failed + tally.skipped)

    def say(self, message: str) -> None:
        """One line on standard error, above the progress bar; control characters of file names are escaped."""
        line = f"posecli: {message}"
        if self._bar is not None:
            self._bar.write(encodable(printable(line), sys.stderr), file=sys.stderr)
        else:
            print_line(line, sys.stderr)

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
            self._bar.close()
            self._bar = None
        if not self._silent and (not self._quiet or self.failed or interrupted):
            self.say(self._summary(interrupted))

    def _summary(self, interrupted: bool) -> str:
        seconds = max(perf_counter() - self._start, 1e-9)
        done = self.ok + self.failed
        return (
            f"{'interrupted: ' if interrupted else ''}{_count_of(self.found, 'picture')} = {self.ok} ok + "
            f"{self.failed} failed + {self.skipped} skipped; {_count_of(self.people, 'person', 'people')} in "
            f"{_count_of(self.with_people, 'picture')}; {done / seconds:.1f} pictures/s"
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

"""The messages of a run on standard error (failures as they occur, progress, a summary), and the exit status."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from posecli.files.interruption import uninterrupted
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
    """Counts of some records, and messages of failures and of expectations that were not met.

    clips: number of records by clip; a failed input counts as a clip, since it may be one.
    still: name of the first input that is not a clip.
    """

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
        """Count one record."""
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
    """Counts records and prints messages about them.

    quiet: print only failures.
    total: total of the progress bar; None: no bar.
    expectations: checked for each record; violations are printed and change the exit status.
    tracks: people are tracked; a message, once, tells that tracking has no effect on stills.
    passed_over: other files in folders, printed before the summary; None: not printed.
    waits: the run waits for inputs: the summary has no rate, and a terminal shows each finished input.
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
        self._shows_each = waits and not quiet and sys.stderr.isatty()
        self._expectations = expectations or Expectations()
        self._unmet = 0
        self._warns_of_stills = tracks and not quiet
        self._passed_over = passed_over
        self._silent = False
        self._counting = threading.Lock()  # the thread that reads the inputs counts skipped ones
        self._start = perf_counter()
        self._total = total
        self._bar: tqdm[Any] | None = _make_bar() if total is not None else None
        self.ok = self.failed = self.skipped = self.with_people = self.people = 0

    @property
    def found(self) -> int:
        """Number of inputs counted so far."""
        return self.ok + self.failed + self.skipped

    def watch(
        self, done: Iterable[Done], *, keep: Callable[[Done], None] | None = None, fail_fast: bool = False
    ) -> Generator[Done, None, None]:
        """Count inputs and pass them on.

        keep: saves an input. An interruption comes before or after both, so that exactly the saved inputs are counted.
        fail_fast: stop after the first failure.
        """
        last: str | None = None
        for item in done:
            if self._total is not None and last is not None and last != item.record.image:
                self._total.end([last])
            tally = self._tally_of(item)
            with uninterrupted():
                if keep is not None:
                    keep(item)
                self._add_counts(tally)
            self._show_tally(tally, whole=False)
            if self._shows_each and item.record.ok and not item.replayed and last != item.record.image:
                self._show(item.record)
            last = item.record.image
            yield item
            if fail_fast and self.failed:
                self.say("stopped at the first failure (--fail-fast)")
                return

    def skip(self, name: str, count: int = 1, *, whole: bool = False) -> None:
        """Count an input that an earlier run finished. count: its frames. whole: the clip ends with them."""
        with self._counting:
            self.skipped += count
        self._move_bar(count, {name: count}, whole=whole)

    def _move_bar(self, count: int, clips: Mapping[str, int], *, whole: bool) -> None:
        if self._bar is None or self._total is None:
            return
        self._total.count(clips)
        if whole:
            self._total.end(clips)
        self._bar.total = self._total.value
        self._bar.update(count)

    def _tally_of(self, item: Done) -> Tally:
        tally = Tally()
        if item.replayed and item.failure is None:
            tally.skipped = 1
            tally.clips[item.record.image] = 1
        else:
            tally.count(item.failure or item.record, self._expectations)
        return tally

    def count(self, record: Record) -> None:
        """Count one record, and print its failure."""
        tally = Tally()
        tally.count(record, self._expectations)
        self.add(tally, whole=False)

    def add(self, tally: Tally, *, whole: bool = True) -> None:
        """Add the counts of a tally, and print its failures. whole: the clips in the tally are complete."""
        self._add_counts(tally)
        self._show_tally(tally, whole=whole)

    def _add_counts(self, tally: Tally) -> None:
        self.ok += tally.ok
        self.failed += tally.failed
        with self._counting:
            self.skipped += tally.skipped
        self.people += tally.people
        self.with_people += tally.with_people

    def _show_tally(self, tally: Tally, *, whole: bool) -> None:
        for message in tally.failures:
            self.say(message)
        self._report_unmet(tally.unmet)
        if tally.still is not None:
            self._warn_of_stills(tally.still)
        if self._bar is not None:
            self._bar.set_postfix(people=self.people, failed=self.failed, refresh=False)
        self._move_bar(tally.ok + tally.failed + tally.skipped, tally.clips, whole=whole)

    def say(self, message: str) -> None:
        """Print one line on standard error, above the progress bar. Control characters of file names are escaped."""
        line = f"posecli: {message}"
        if self._bar is not None:
            self._bar.write(encodable(printable(line), sys.stderr), file=sys.stderr)
        else:
            print_line(line, sys.stderr)

    def _show(self, record: Record) -> None:
        """Print that a picture, or the first frame of a clip, is finished."""
        people = _count_of(len(record.poses), "person", "people")
        self.say(f"{record.image}: {people}{'' if record.frame is None else ' in the first frame'}")

    def _warn_of_stills(self, name: str) -> None:
        """Print, once, that steps over time have no effect on stills."""
        if self._warns_of_stills:
            self._warns_of_stills = False
            self.say(
                f"{name} is a still picture: --track and --smooth have no effect on still pictures "
                "(--as-clip --fps N reads the pictures of each folder as a clip)"
            )

    def _report_unmet(self, messages: Iterable[str]) -> None:
        for message in messages:
            self._unmet += 1
            self.say(message)

    def silence(self) -> None:
        """Print no summary: the reader of the output has closed it."""
        self._silent = True

    def close(self, *, interrupted: bool = False) -> None:
        """End the progress bar and print the summary."""
        if not interrupted:
            self._report_unmet(self._expectations.at_the_end())
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
        """0: success. 1: some inputs failed. 3: an expectation was not met."""
        if self.failed:
            return EXIT_SOME_FAILED
        return EXIT_EXPECTATION if self._unmet else EXIT_OK


def _count_of(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _make_bar() -> tqdm[Any]:
    from tqdm import tqdm

    return tqdm(unit="picture", dynamic_ncols=True, file=sys.stderr, leave=False)

"""A whole run in this process: all records come back here, and are written here."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import IO

from posecli.errors import ReaderLeft, UsageError
from posecli.files import storage
from posecli.files.atomic import LineFile, check_is_there, move, output_errors, remove, temporary_name, whole_file
from posecli.inputs.walk import PassedOver
from posecli.records.formats import get_format
from posecli.records.formats.base import WriteOptions, to_json
from posecli.records.identity import RunIdentity
from posecli.records.journal import Journal, RecordedLines, read_lines, read_records
from posecli.run.destinations import Destinations, Policy, RunFile
from posecli.run.engines import Estimate
from posecli.run.pipeline import Done, Pipeline, Work
from posecli.run.progress import NothingKnown, Progress, RecordedInputs, recorded_image_files
from posecli.run.report import Report
from posecli.types import ImageInput, Record

_STANDARD_OUTPUT = 1


def at_least_one(images: Iterable[ImageInput], passed_over: PassedOver) -> Iterator[ImageInput]:
    """The inputs, once it is known that there is one. passed_over: what folders hold besides. Raises UsageError."""
    iterator = iter(images)
    first = next(iterator, None)
    if first is None:
        besides = f", and passed over: {passed_over}" if passed_over.total else ""
        raise UsageError(f"there is no picture to read{besides}", "name files, folders, or - for standard input")
    return itertools.chain((first,), iterator)


def run(
    inputs: Iterable[ImageInput],
    estimate: Estimate,
    work: Work,
    report: Report,
    *,
    policy: Policy,
    identity: RunIdentity,
    fail_fast: bool = False,
    grows: bool = False,
) -> int:
    """Send the records of all inputs to the destinations and the report; return the exit status.

    estimate: an engine. policy: what becomes of files that are there. grows: what an earlier run has recorded of
    pictures that are gone stays in a file of lines.
    """
    earlier = _take_up(work, policy, identity, grows=grows)
    pipeline = Pipeline(work, earlier.progress, skipped=report.skip)
    made = pipeline.records(inputs, estimate)
    done = report.watch(_journalled(made, earlier.journal), fail_fast=fail_fast)
    interrupted = True
    try:
        _write(done, work, earlier)
        interrupted = False
    except ReaderLeft:
        report.fall_silent()
        raise
    finally:
        is_kept = earlier.journal is not None and earlier.journal.is_kept()
        if earlier.journal is not None:
            earlier.journal.close()
        done.close()  # ends the workers, whatever still refers to them
        if interrupted or report.failed:  # some of them may have left what they were at
            work.destinations.remove_dead_temporaries()
        if not interrupted or report.found:
            report.close(interrupted=interrupted)
        if interrupted and report.found and earlier.journal is not None and is_kept:
            report.say(f"finished records are kept in {earlier.journal.path}; --resume carries on from there")
    _remove_journal(work, earlier, failed=report.failed > 0)
    return report.exit_status()


class _Earlier:
    """What an earlier run has left, and how this one goes on from it.

    progress: what is finished. journal: where new raw records go; None where none are kept. anew: what there is of
    an earlier run is replaced. grows: new lines go behind those that are there.
    """

    def __init__(self, progress: Progress, journal: Journal | None, *, anew: bool, grows: bool = False) -> None:
        self.progress = progress
        self.journal = journal
        self.anew = anew
        self.grows = grows


def _take_up(work: Work, policy: Policy, identity: RunIdentity, *, grows: bool) -> _Earlier:
    """Make the destinations fit to be written. Raises UsageError where an earlier run differed, OutputError."""
    destinations = work.destinations
    destinations.remove_dead_temporaries()
    path = destinations.journal_path(steps=work.has_steps)
    anew = policy is not Policy.RESUME
    stale = destinations.run_file.journal_path if destinations.run_file is not None and path is not None else None
    journal = Journal(path, anew=anew, stale=stale) if path is not None else None
    if anew:
        return _Earlier(NothingKnown(destinations), journal, anew=True)
    recorded: RecordedInputs | None = None
    if destinations.run_file is not None and path is not None:
        take_up = _take_up_lines_that_grow if grows else _take_up_run_file
        recorded, journal = take_up(destinations.run_file, identity, steps=work.has_steps)
    elif path is not None and os.path.isfile(path):
        recorded = _take_up_lines(path, identity)
    else:
        recorded = recorded_image_files(destinations, identity)
    from_journal = destinations.run_file is not None and not _is_own_journal(destinations, journal)
    progress = Progress(
        recorded, destinations, steps=work.has_steps, passes_all=from_journal, steps_choose=work.steps_choose
    )
    return _Earlier(progress, journal, anew=False, grows=grows)


def _take_up_run_file(file: RunFile, identity: RunIdentity, *, steps: bool) -> tuple[RecordedInputs | None, Journal]:
    """The records behind a file of a whole run, and the journal to go on with."""
    path, journal_path = file.path, file.journal_path
    assert path is not None
    if not os.path.isfile(journal_path) and os.path.isfile(path):
        if file.is_lines:
            recorded = _take_up_lines(path, identity)
            if recorded.is_clean and not steps:
                return recorded, Journal(path)
            move(path, journal_path)  # what failed is done again, and everything written anew in its order
        else:
            _rebuild_journal(file)
    if os.path.isfile(journal_path):
        return _take_up_lines(journal_path, identity), Journal(journal_path)
    return None, Journal(path if file.is_lines and not steps else journal_path)


def _take_up_lines_that_grow(
    file: RunFile, identity: RunIdentity, *, steps: bool
) -> tuple[RecordedInputs | None, Journal]:
    """As `_take_up_run_file`. The file keeps the lines that this run will not write again: of pictures that are gone
    and, where it is its own journal, of all that is finished."""
    path, journal_path = file.path, file.journal_path
    if path is None or not os.path.isfile(path):
        return _take_up_run_file(file, identity, steps=steps)
    recorded = _take_up_lines(path, identity)
    if not steps and not os.path.isfile(journal_path):
        if not recorded.is_clean:
            _keep_lines(recorded, lambda record, counts: counts or (not record.ok and _is_gone(record)))
        return _take_up_lines(path, identity), Journal(path)
    if not os.path.isfile(journal_path):
        with open(path, "rb") as lines, whole_file(journal_path) as copy:
            shutil.copyfileobj(lines, copy)
    _keep_lines(recorded, lambda record, counts: (counts or not record.ok) and _is_gone(record))
    return _take_up_lines(journal_path, identity), Journal(journal_path)


def _keep_lines(recorded: RecordedLines, is_kept: Callable[[Record, bool], bool]) -> None:
    """Leave only some lines in a file. is_kept: is given a record, and whether it is what counts of its input. Raises
    OutputError."""
    with whole_file(recorded.path) as file:
        for line, record, counts in recorded.lines():
            if is_kept(record, counts):
                file.write(line)


def _is_gone(record: Record) -> bool:
    return not os.path.lexists(record.image)


def _take_up_lines(path: str, identity: RunIdentity) -> RecordedLines:
    recorded = RecordedLines(path, identity)
    recorded.cut_torn_line()
    return recorded


def _rebuild_journal(file: RunFile) -> None:
    """A finished file holds its records where its format can be read back."""
    assert file.path is not None
    if file.format.read is None:
        raise UsageError(
            f"{file.path} is finished, and records cannot be read back from it", "--overwrite makes it anew"
        )
    with whole_file(file.journal_path) as journal:
        get_format("jsonl").write(read_records(file.path), journal, file.options)


def _is_own_journal(destinations: Destinations, journal: Journal | None) -> bool:
    return journal is not None and destinations.run_file is not None and destinations.run_file.path == journal.path


def _journalled(done: Iterable[Done], journal: Journal | None) -> Iterator[Done]:
    """Keep what inference said before anything is made of it."""
    for one in done:
        if journal is not None and not one.replayed:
            journal.add(one.raw)
        yield one


def _write(done: Iterator[Done], work: Work, earlier: _Earlier) -> None:
    """Write what is written of all records together. Raises OutputError."""
    file, journal = work.destinations.run_file, earlier.journal
    records = (one.record for one in done)
    if file is None:
        for _ in records:
            pass
    elif journal is not None and _is_own_journal(work.destinations, journal):
        for _ in records:
            journal.check_is_there()
        journal.check_is_there()
    elif file.path is not None and file.is_lines and not storage.is_remote(file.path):
        _to_lines(records, file.path, anew=earlier.anew, grows=earlier.grows)
    else:
        write_run_file(records, file)
    if journal is not None:
        journal.finish()


def write_run_file(records: Iterable[Record], file: RunFile) -> None:
    """Write a whole file of all records, or standard output. Raises OutputError."""
    if file.path is None:
        _to_standard_output(records, file)
    else:
        with _gathered(records, beside=file.path) as gathered, whole_file(file.path) as target:
            file.format.write(gathered, target, file.options)


def _to_lines(records: Iterable[Record], path: str, *, anew: bool, grows: bool) -> None:
    """Write lines as they come. anew: those of an earlier run are replaced as those of a journal are; grows: they stay,
    and new ones go behind them."""
    is_device = os.path.exists(path) and not os.path.isfile(path)
    if (anew or grows) and not is_device:
        with closing(Journal(path, anew=anew, raw=False)) as lines:
            for record in records:
                lines.add(record)
                lines.check_is_there()
            lines.finish()
            lines.check_is_there()
        return
    with output_errors(path):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        file: IO[bytes] = open(path, "wb" if is_device else "a+b", buffering=0)  # noqa: SIM115 (closed below)
    with file:
        if is_device:
            get_format("jsonl").write(records, LineFile(file.fileno(), path), WriteOptions())
            return
        in_place = _LinesInPlace(file, path)
        for record in records:
            in_place.write(f"{to_json(record.to_dict())}\n".encode())
        in_place.end()


class _LinesInPlace:
    """Writes lines over a file of lines. What is there already, and the same, stays untouched; from the first
    difference on the file is written anew. So a run that is replayed never makes a file shorter."""

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._file = file
        self._path = path
        self._file.seek(0)
        self._position = 0
        self._same = True

    def write(self, line: bytes) -> None:
        """Write the next line, whole. Raises OutputError."""
        with output_errors(self._path):
            if self._same and self._file.read(len(line)) != line:
                self._same = False
                os.truncate(self._file.fileno(), self._position)
        if not self._same:
            LineFile(self._file.fileno(), self._path).write(line)
        self._position += len(line)
        check_is_there(self._path, self._file.fileno())

    def end(self) -> None:
        """Drop what an earlier run has written behind the last line. Raises OutputError."""
        with output_errors(self._path):
            os.truncate(self._file.fileno(), self._position)
        check_is_there(self._path, self._file.fileno())


def _to_standard_output(records: Iterable[Record], file: RunFile) -> None:
    target = LineFile(_STANDARD_OUTPUT, "standard output")
    if not file.format.needs_all:
        file.format.write(records, target, file.options)
        return
    with _gathered(records, beside=None) as gathered:
        file.format.write(gathered, target, file.options)


class _Gathered:
    """Records in a temporary file, each time it is gone through."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Record]:
        with open(self._path, "rb") as file:
            yield from read_lines(file)


@contextmanager
def _gathered(records: Iterable[Record], *, beside: str | None) -> Iterator[Iterable[Record]]:
    """All records, once they have come, for formats that are written in one go.

    beside: the local file that they are for; what is gathered lies in its folder meanwhile.
    """
    with ExitStack() as stack:
        if beside is None or storage.is_remote(beside) or (os.path.exists(beside) and not os.path.isfile(beside)):
            with output_errors("temporary files"):
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="posecli-"))
            path = os.path.join(folder, "records.jsonl")
        else:
            path = temporary_name(beside)
            stack.callback(remove, path)
        with output_errors(path):
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            file: IO[bytes] = open(path, "wb", buffering=0)  # noqa: SIM115 (closed below)
        with file:
            get_format("jsonl").write(records, LineFile(file.fileno(), path), WriteOptions())
        yield _Gathered(path)


def _remove_journal(work: Work, earlier: _Earlier, *, failed: bool) -> None:
    """A journal goes when everything has been written, so that nothing is left to be replayed."""
    journal = earlier.journal
    kept = failed and work.destinations.keep_journal_of_failures(steps=work.has_steps)
    if journal is not None and not kept and not _is_own_journal(work.destinations, journal):
        remove(journal.path)

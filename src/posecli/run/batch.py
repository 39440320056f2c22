"""A run whose records all come back to this process, which writes them."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import IO

from posecli.errors import PipeClosed, UsageError
from posecli.files import storage
from posecli.files.atomic import LineFile, atomic_file, check_not_replaced, move, output_errors, remove, temporary_name
from posecli.inputs.walk import PassedOver
from posecli.records.formats import get_format
from posecli.records.formats.base import WriteOptions, to_json
from posecli.records.identity import RunIdentity
from posecli.records.journal import Journal, RecordedLines, read_lines, read_records
from posecli.run.destinations import Destinations, Policy, RunFile
from posecli.run.engines import Estimate
from posecli.run.pipeline import Done, Pipeline, Work
from posecli.run.progress import NothingFinished, Progress, RecordedInputs, recorded_image_files
from posecli.run.report import Report
from posecli.types import ImageInput, Record

_STANDARD_OUTPUT = 1


def at_least_one(images: Iterable[ImageInput], passed_over: PassedOver) -> Iterator[ImageInput]:
    """Return the inputs. passed_over: the other files in their folders. Raises UsageError if there is no input."""
    iterator = iter(images)
    first = next(iterator, None)
    if first is None:
        others = f", and passed over: {passed_over}" if passed_over.total else ""
        raise UsageError(f"there is no picture to read{others}", "name files, folders, or - for standard input")
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

    estimate: an engine.
    policy: what happens to existing files.
    grows: a JSON Lines file keeps the earlier records of pictures that no longer exist.
    """
    earlier = _load_earlier(work, policy, identity, grows=grows)
    pipeline = Pipeline(work, earlier.progress, skipped=report.skip)
    made = pipeline.records(inputs, estimate)
    done = report.watch(made, keep=earlier.add_to_journal, fail_fast=fail_fast)
    interrupted = True
    try:
        _write(done, work, earlier)
        interrupted = False
    except PipeClosed:
        report.silence()
        raise
    finally:
        is_kept = earlier.journal is not None and earlier.journal.is_kept()
        if earlier.journal is not None:
            earlier.journal.close()
        done.close()  # ends the workers, even if other references to them exist
        if interrupted or report.failed:  # killed workers may have left temporary files
            work.destinations.remove_dead_temporaries()
        if not interrupted or report.found:
            report.close(interrupted=interrupted)
        if interrupted and report.found and earlier.journal is not None and is_kept:
            report.say(f"finished records are kept in {earlier.journal.path}; --resume continues the run")
    _remove_journal(work, earlier, failed=report.failed > 0)
    return report.exit_status()


class _Earlier:
    """The state that an earlier run left.

    progress: what is finished.
    journal: receives the new raw records; None if no journal is kept.
    anew: the output of an earlier run is replaced.
    grows: new lines are appended to the existing ones.
    """

    def __init__(self, progress: Progress, journal: Journal | None, *, anew: bool, grows: bool = False) -> None:
        self.progress = progress
        self.journal = journal
        self.anew = anew
        self.grows = grows

    def add_to_journal(self, done: Done) -> None:
        """Add the raw record of a new input. Raises OutputError."""
        if self.journal is not None and not done.replayed:
            self.journal.add(done.raw)


def _load_earlier(work: Work, policy: Policy, identity: RunIdentity, *, grows: bool) -> _Earlier:
    """Load what an earlier run left, and prepare the destinations for writing.

    Raises UsageError if the earlier run had another model or other settings; OutputError.
    """
    destinations = work.destinations
    destinations.remove_dead_temporaries()
    path = destinations.journal_path(steps=work.has_steps)
    anew = policy is not Policy.RESUME
    stale = destinations.run_file.journal_path if destinations.run_file is not None and path is not None else None
    journal = Journal(path, anew=anew, stale=stale) if path is not None else None
    if anew:
        return _Earlier(NothingFinished(destinations), journal, anew=True)
    recorded: RecordedInputs | None = None
    if destinations.run_file is not None and path is not None:
        load = _load_growing_lines if grows else _load_run_file
        recorded, journal = load(destinations.run_file, identity, steps=work.has_steps)
    elif path is not None and os.path.isfile(path):
        recorded = _load_lines(path, identity)
    else:
        recorded = recorded_image_files(destinations, identity)
    from_journal = destinations.run_file is not None and not _is_own_journal(destinations, journal)
    progress = Progress(
        recorded, destinations, steps=work.has_steps, passes_all=from_journal, steps_choose=work.steps_choose
    )
    return _Earlier(progress, journal, anew=False, grows=grows)


def _load_run_file(file: RunFile, identity: RunIdentity, *, steps: bool) -> tuple[RecordedInputs | None, Journal]:
    """Load the earlier records of a run file, and open the journal of this run.

    steps: whether there are steps over time after inference.
    """
    path, journal_path = file.path, file.journal_path
    assert path is not None
    if not os.path.isfile(journal_path) and os.path.isfile(path):
        if file.is_lines:
            recorded = _load_lines(path, identity)
            if recorded.is_clean and not steps:
                return recorded, Journal(path)
            move(path, journal_path)  # failed inputs are retried, and all records are written again in order
        else:
            _rebuild_journal(file)
    if os.path.isfile(journal_path):
        return _load_lines(journal_path, identity), Journal(journal_path)
    return None, Journal(path if file.is_lines and not steps else journal_path)


def _load_growing_lines(file: RunFile, identity: RunIdentity, *, steps: bool) -> tuple[RecordedInputs | None, Journal]:
    """Like `_load_run_file`, for a JSON Lines file that grows.

    The file keeps the lines that this run does not write again: those of pictures that no longer exist and, if the file
    is its own journal, those of all finished inputs.
    """
    path, journal_path = file.path, file.journal_path
    if path is None or not os.path.isfile(path):
        return _load_run_file(file, identity, steps=steps)
    recorded = _load_lines(path, identity)
    if not steps and not os.path.isfile(journal_path):
        if not recorded.is_clean:
            _keep_lines(recorded, lambda record, counts: counts or (not record.ok and _is_gone(record)))
        return _load_lines(path, identity), Journal(path)
    if not os.path.isfile(journal_path):
        with open(path, "rb") as lines, atomic_file(journal_path) as copy:
            shutil.copyfileobj(lines, copy)
    _keep_lines(recorded, lambda record, counts: (counts or not record.ok) and _is_gone(record))
    return _load_lines(journal_path, identity), Journal(journal_path)


def _keep_lines(recorded: RecordedLines, is_kept: Callable[[Record, bool], bool]) -> None:
    """Delete lines of a file. Raises OutputError.

    is_kept: decides for a record, and a flag: whether this record is the valid one of its input.
    """
    with atomic_file(recorded.path) as file:
        for line, record, counts in recorded.lines():
            if is_kept(record, counts):
                file.write(line)


def _is_gone(record: Record) -> bool:
    return not os.path.lexists(record.image)


def _load_lines(path: str, identity: RunIdentity) -> RecordedLines:
    """Load a file of lines, and drop a torn last line."""
    recorded = RecordedLines(path, identity)
    recorded.cut_torn_line()
    return recorded


def _rebuild_journal(file: RunFile) -> None:
    """Make a journal from a finished run file. Raises UsageError if its format cannot be read."""
    assert file.path is not None
    if file.format.read is None:
        raise UsageError(f"{file.path} is finished, and records cannot be read back from it", "--overwrite replaces it")
    with atomic_file(file.journal_path) as journal:
        get_format("jsonl").write(read_records(file.path), journal, file.options)


def _is_own_journal(destinations: Destinations, journal: Journal | None) -> bool:
    return journal is not None and destinations.run_file is not None and destinations.run_file.path == journal.path


def _write(done: Iterator[Done], work: Work, earlier: _Earlier) -> None:
    """Write the run file, if there is one, and finish the journal. Raises OutputError."""
    file, journal = work.destinations.run_file, earlier.journal
    records = (item.record for item in done)
    if file is None:
        for _ in records:
            pass
    elif journal is not None and _is_own_journal(work.destinations, journal):
        for _ in records:
            journal.check_not_replaced()
        journal.check_not_replaced()
    elif file.path is not None and file.is_lines and not storage.is_remote(file.path):
        _to_lines(records, file.path, anew=earlier.anew, grows=earlier.grows)
    else:
        write_run_file(records, file)
    if journal is not None:
        journal.finish()


def write_run_file(records: Iterable[Record], file: RunFile) -> None:
    """Write all records to a file, atomically, or to standard output. Raises OutputError."""
    if file.path is None:
        _to_standard_output(records, file)
    else:
        with _gathered(records, beside=file.path) as gathered, atomic_file(file.path) as target:
            file.format.write(gathered, target, file.options)


def _to_lines(records: Iterable[Record], path: str, *, anew: bool, grows: bool) -> None:
    """Write lines as records come. Raises OutputError.

    anew: the lines of an earlier run are replaced, as in a journal.
    grows: the lines of an earlier run stay, and new ones are appended.
    """
    is_device = os.path.exists(path) and not os.path.isfile(path)
    if (anew or grows) and not is_device:
        with closing(Journal(path, anew=anew, raw=False)) as lines:
            for record in records:
                lines.add(record)
                lines.check_not_replaced()
            lines.finish()
            lines.check_not_replaced()
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
    """Writes lines over an existing file of lines.

    Equal lines at the beginning are not touched. The file is rewritten from the first difference. Therefore a replayed
    run never makes a file shorter.
    """

    def __init__(self, file: IO[bytes], path: str) -> None:
        self._file = file
        self._path = path
        self._file.seek(0)
        self._position = 0
        self._same = True

    def write(self, line: bytes) -> None:
        """Write the next line. Raises OutputError."""
        with output_errors(self._path):
            if self._same and self._file.read(len(line)) != line:
                self._same = False
                os.truncate(self._file.fileno(), self._position)
        if not self._same:
            LineFile(self._file.fileno(), self._path).write(line)
        self._position += len(line)
        check_not_replaced(self._path, self._file.fileno())

    def end(self) -> None:
        """Delete lines of an earlier run after the last line. Raises OutputError."""
        with output_errors(self._path):
            os.truncate(self._file.fileno(), self._position)
        check_not_replaced(self._path, self._file.fileno())


def _to_standard_output(records: Iterable[Record], file: RunFile) -> None:
    target = LineFile(_STANDARD_OUTPUT, "standard output")
    if not file.format.needs_all:
        file.format.write(records, target, file.options)
        return
    with _gathered(records, beside=None) as gathered:
        file.format.write(gathered, target, file.options)


class _Gathered:
    """Records in a temporary file, which can be iterated several times."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Record]:
        with open(self._path, "rb") as file:
            yield from read_lines(file)


@contextmanager
def _gathered(records: Iterable[Record], *, beside: str | None) -> Iterator[Iterable[Record]]:
    """Collect all records in a temporary file, for formats that need all records at once.

    beside: the file that is written from them. The temporary file is in the same folder if that is a local file.
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
    """Delete the journal when everything has been written and nothing is left to replay."""
    journal = earlier.journal
    kept = failed and work.destinations.keep_journal_of_failures(steps=work.has_steps)
    if journal is not None and not kept and not _is_own_journal(work.destinations, journal):
        remove(journal.path)

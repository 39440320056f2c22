"""The messages and counts of a run, without files."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from posecli.run.expectations import Expectations
from posecli.run.pipeline import Done
from posecli.run.report import Report
from posecli.run.total import Total
from posecli.types import Record

from ..test_types import make_record

FAILED = Record.failed("b\n\x1b.jpg", "not_found", "b\n\x1b.jpg: no such file")


def done(record: Record) -> Done:
    return Done(record, record)


def test_replayed_inputs_count_as_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    """Unless a file of the input could not be written."""
    report = Report()
    replayed = Done(make_record(), make_record(), replayed=True)
    assert len(list(report.watch([replayed, replayed._replace(failure=FAILED)]))) == 2
    assert (report.skipped, report.failed, report.ok) == (1, 1, 0)


def test_an_interruption_comes_after_a_saved_input_is_counted() -> None:
    report, saved = Report(), []

    def save(item: Done) -> None:
        signal.raise_signal(signal.SIGINT)
        saved.append(item)

    with pytest.raises(KeyboardInterrupt):
        list(report.watch([done(make_record())] * 2, keep=save))
    assert (len(saved), report.found) == (1, 1)


def test_the_summary_counts_all_inputs(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report()
    assert len(list(report.watch(map(done, [make_record(people=2), make_record(people=0), FAILED])))) == 3
    report.skip("c.jpg")
    report.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == r"posecli: b\n\x1b.jpg: no such file [not_found]"
    assert lines[1].startswith("posecli: 4 pictures = 2 ok + 1 failed + 1 skipped; 2 people in 1 picture; ")
    assert report.found == 4


def test_a_run_that_waits_for_inputs_has_no_rate(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal, each picture and each clip is printed once."""
    frames = [replace(make_record(people=n), image="c.mp4", frame=n, time=0.1 * n) for n in (0, 1)]
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        report = Report(waits=True)
        assert len(list(report.watch(map(done, [make_record(people=2), *frames])))) == 3
        report.close(interrupted=True)
        *said, summary = capsys.readouterr().err.splitlines()
        shown = [f"posecli: {make_record().image}: 2 people", "posecli: c.mp4: 0 people in the first frame"]
        assert said == (shown if terminal else [])
        assert summary == "posecli: interrupted: 3 pictures = 3 ok + 0 failed + 0 skipped; 3 people in 2 pictures"


@pytest.mark.parametrize(
    ("records", "require_pose", "status"),
    [([make_record()], False, 0), ([FAILED], False, 1), ([make_record(people=0)], True, 3), ([make_record()], True, 0),
     ([make_record(people=0), FAILED], True, 1)],
)  # fmt: skip
def test_failures_and_unmet_expectations_set_the_exit_status(
    records: list[Record], require_pose: bool, status: int
) -> None:
    report = Report(expectations=Expectations(least=int(require_pose)))
    list(report.watch(map(done, records)))
    assert report.exit_status() == status


def test_the_message_about_stills_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    frame = replace(make_record(), frame=0, time=0.0)
    for tracks, quiet, records, times in (
        (True, False, [frame, FAILED, make_record(), make_record()], 1),
        (True, False, [frame, FAILED], 0),
        (True, True, [make_record()], 0),
        (False, False, [make_record()], 0),
    ):
        list(Report(tracks=tracks, quiet=quiet).watch(map(done, records)))
        assert capsys.readouterr().err.count("have no effect on still pictures") == times


def test_quiet_prints_nothing_without_failures(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(quiet=True)
    list(report.watch(map(done, [make_record()])))
    report.close()
    assert capsys.readouterr().err == ""


def test_fail_fast_stops_after_the_first_failure() -> None:
    assert len(list(Report().watch(map(done, [make_record(), FAILED, make_record()]), fail_fast=True))) == 2


def test_the_progress_bar_shows_people_failures_and_the_total(capsys: pytest.CaptureFixture[str]) -> None:
    total = Total()
    report = Report(total=total)
    for name in ("a.jpg", "b.jpg"):
        total.expect(name, None)
    total.complete()
    list(report.watch(map(done, [make_record(people=2), FAILED])))
    assert report._bar is not None
    text = str(report._bar)
    assert "2/2" in text
    assert "people=2" in text
    assert "failed=1" in text
    report.close()
    assert "no such file" in capsys.readouterr().err


def test_the_progress_bar_ends_at_its_total() -> None:
    """Even if the inputs were not counted."""
    report = Report(total=Total())
    bar = report._bar
    list(report.watch(map(done, [make_record(), make_record()])))
    report.close()
    assert bar is not None
    assert (bar.n, bar.total) == (2, 2)

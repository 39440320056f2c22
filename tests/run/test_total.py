"""The total of the progress bar: frames of clips, corrected as clips end, in any order of events."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from posecli.inputs.clip_decoder import ClipDecoder, FrameCounter, ReadLimits
from posecli.inputs.clips import ClipOptions
from posecli.run.pipeline import Done
from posecli.run.report import Report
from posecli.run.total import Total
from posecli.types import ImageInput

from ..conftest import Posecli, records_of, spawned_children, wait_for
from ..inputs.test_clips import pictures, write_video
from ..test_types import make_record


def test_there_is_no_total_until_all_inputs_are_counted() -> None:
    total = Total()
    total.expect("a.jpg", None)
    total.expect("b.mp4", 10)
    assert total.value is None
    total.complete()
    assert total.value == 11


def test_a_clip_that_is_longer_or_shorter_than_expected_corrects_the_total() -> None:
    total = Total()
    for name, frames in (("a.mp4", 10), ("b.mp4", 10), ("c.ts", 1), ("d.jpg", None)):
        total.expect(name, frames)
    total.complete()
    total.count({"a.mp4": 12})
    assert total.value == 24
    total.count({"b.mp4": 3})
    assert total.value == 24
    total.end(["b.mp4"])
    total.count({"c.ts": 5, "d.jpg": 1})
    assert total.value == 12 + 3 + 5 + 1


def test_a_clip_may_be_finished_before_it_is_counted() -> None:
    total = Total()
    total.count({"a.mp4": 7, "b.mp4": 3, "c.jpg": 1})
    total.end(["a.mp4", "c.jpg"])
    for name, frames in (("a.mp4", 10), ("b.mp4", 10), ("c.jpg", None)):
        total.expect(name, frames)
    total.complete()
    assert total.value == 7 + 10 + 1


def test_no_names_are_stored_if_inputs_are_not_counted() -> None:
    total = Total(counted=False)
    total.count({"a.mp4": 7})
    total.end(["a.mp4", "b.jpg"])
    assert total.value is None
    assert not total._found
    assert not total._ended


def test_a_clip_ends_with_the_first_record_of_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    total = Total()
    for name, frames in (("a.mp4", 10), ("b.mp4", 10)):
        total.expect(name, frames)
    total.complete()
    report = Report(total=total)
    report.skip("b.mp4", 4)  # while frames of the first clip are processed
    names = ["a.mp4"] * 3 + ["b.mp4"]
    records = [replace(make_record(), image=name, frame=number, time=0.0) for number, name in enumerate(names)]
    totals = [total.value for _ in report.watch(Done(record, record) for record in records)]
    assert totals == [20, 20, 20, 13]
    report.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two stills, a video, an animation, and a damaged video."""
    place = tmp_path / "in"
    place.mkdir()
    for name, (first, *others) in (("a.png", pictures(1)), ("b.png", pictures(1)), ("moving.gif", pictures(5))):
        first.save(place / name, save_all=bool(others), append_images=others)
    write_video(place / "video.mp4", 12)
    (place / "broken.mp4").write_bytes(b"not a video at all")
    return place


def counted(folder: Path, options: ClipOptions) -> dict[str, int | None]:
    images = [ImageInput(str(path), path.name) for path in sorted(folder.iterdir())]
    return {Path(name).name: frames for name, frames in FrameCounter(ReadLimits()).count(images, options)}


def test_frame_counts_are_read_from_containers(folder: Path) -> None:
    before = spawned_children()
    assert counted(folder, ClipOptions()) == {
        "a.png": None,
        "b.png": None,
        "broken.mp4": 1,
        "moving.gif": 5,
        "video.mp4": 12,
    }
    assert counted(folder, ClipOptions(every=5))["video.mp4"] == 3
    assert not spawned_children() - before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_count_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "never.mp4")
    monkeypatch.setattr(ClipDecoder, "holds_frames", lambda self, source: True)
    before = spawned_children()
    counter = FrameCounter(ReadLimits())
    images = [ImageInput(str(tmp_path / "never.mp4"), "never.mp4")] * 2
    thread = threading.Thread(target=lambda: list(counter.count(images, ClipOptions())))
    thread.start()
    wait_for(lambda: spawned_children() - before)
    counter.stop(thread, 20)
    assert not thread.is_alive()
    assert not spawned_children() - before


@pytest.mark.parametrize("options", [[], ["--every", "5"], ["--track", "--shards"], ["--engine", "serial"]])
def test_the_bar_counts_frames(options: list[str], folder: Path, tmp_path: Path, posecli: Posecli) -> None:
    output = tmp_path / ("parts/" if "--shards" in options else "r.jsonl")
    result = posecli(
        "estimate", folder, "-o", f"{output}/" if "--shards" in options else output, "--progress", *options
    )
    assert result.returncode == 1, result.stderr
    shown = re.findall(rb"(\d+)/(\d+) \[", result.stderr)
    if "--shards" not in options:
        found = len(records_of(output.read_bytes()))
        assert all(int(total) >= int(number) for number, total in shown)
        assert not shown or int(shown[-1][1]) == found  # the run may end before all inputs are counted


def test_one_clip_has_a_progress_bar_and_one_still_has_none(folder: Path, posecli: Posecli) -> None:
    result = posecli("estimate", folder / "video.mp4", "--progress")
    assert b"picture/s" in result.stderr
    assert set(re.findall(rb"\d+/(\d+) \[", result.stderr)) <= {b"12"}
    assert b"picture/s" not in posecli("estimate", folder / "a.png", "--progress").stderr

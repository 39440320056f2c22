"""`estimate --as-clip`: records, annotated clips and resumed runs of folders that are read as clips."""

from __future__ import annotations

import os
import re
from pathlib import Path

import av
import jsonschema
import pytest

from posecli.records.journal import read_records
from posecli.records.schema import record_schema
from posecli.types import Record

from ..conftest import Posecli, records_of
from ..inputs.test_clips import pictures

AS_CLIP = ["--as-clip", "--fps", "10"]


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten frames, the fifth damaged."""
    folder = tmp_path / "walk"
    folder.mkdir()
    for number, picture in enumerate(pictures(10)):
        picture.save(folder / f"{number}.png")
    (folder / "4.png").write_bytes(b"damaged")
    monkeypatch.chdir(tmp_path)
    return folder


def outcome(record: Record) -> tuple[str, str | None, int | None, float | None, str]:
    return record.image, record.file, record.frame, record.time, record.error.code if record.error else record.status


def expected_outcomes() -> list[tuple[str, str | None, int | None, float | None, str]]:
    status = {4: "unreadable_image"}
    return [("walk", f"walk/{n}.png", n, n / 10, status.get(n, "ok")) for n in range(10)]


@pytest.mark.parametrize(
    "options", [[], ["--track"], ["--smooth", "--engine", "serial"], ["--preset", "balanced", "--track"]]
)
def test_every_frame_has_a_record(options: list[str], walk: Path, posecli: Posecli) -> None:
    result = posecli("estimate", "walk", *AS_CLIP, *options)
    assert result.returncode == 1, result.stderr
    records = records_of(result.stdout)
    assert [outcome(record) for record in records] == expected_outcomes()
    for record in records:
        jsonschema.validate(record.to_dict(), record_schema())
    assert result.stderr.startswith(b"posecli: walk/4.png is not a picture")
    assert b"have no effect on still pictures" not in result.stderr
    if options and "balanced" not in options:  # its second passes find more people than there are discs for
        assert {pose.id for record in records for pose in record.poses} == {1}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_frame_that_hangs_costs_only_its_own_record(walk: Path, posecli: Posecli) -> None:
    (walk / "4.png").unlink()
    os.mkfifo(walk / "4.png")
    records = records_of(posecli("estimate", "walk", *AS_CLIP, "--track", "--timeout", "5").stdout)
    assert [outcome(record)[-1] for record in records] == ["ok"] * 4 + ["timed_out"] + ["ok"] * 5
    assert records[4].error is not None
    assert records[4].error.message.startswith("walk/4.png: ")


def test_as_clip_without_fps_is_wrong_usage(walk: Path, posecli: Posecli) -> None:
    result = posecli("estimate", "walk", "--as-clip")
    assert (result.returncode, b"--fps" in result.stderr) == (2, True)


def test_track_with_still_pictures_suggests_as_clip(walk: Path, posecli: Posecli) -> None:
    result = posecli("estimate", "walk", "--track")
    assert result.stderr.count(b"have no effect on still pictures") == 1
    assert b"--as-clip --fps N" in result.stderr


def test_a_folder_is_drawn_as_one_clip(walk: Path, tmp_path: Path, posecli: Posecli) -> None:
    (walk / "4.png").unlink()
    pictures(1)[0].crop((0, 0, 200, 200)).save(walk / "9.png")  # of another size
    result = posecli("estimate", "walk", *AS_CLIP, "--track", "-o", "r.jsonl", "-a", "one.mp4")
    assert result.returncode == 0, result.stderr
    with av.open("one.mp4") as container:
        found = [(frame.width, frame.height, float(frame.time)) for frame in container.decode(video=0)]
    assert found == [(320, 256, pytest.approx(number / 10)) for number in range(9)]
    posecli("convert", "r.jsonl", "-a", "again.mp4")
    assert Path("again.mp4").read_bytes() == Path("one.mp4").read_bytes()
    assert posecli("estimate", "walk", *AS_CLIP, "-a", "drawn/").returncode == 0
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == ["walk.mp4"]
    assert posecli("estimate", "walk", *AS_CLIP, "-a", "one.png").returncode == 2
    assert b"out/walk_000000000000.json\tout/walk.mp4" in posecli(
        "estimate", "walk", *AS_CLIP, "-o", "out/", "-a", "out/", "--dry-run"
    ).stdout.replace(b"\\", b"/")


def test_report_and_measure_read_the_records(walk: Path, posecli: Posecli) -> None:
    posecli("estimate", "walk", *AS_CLIP, "--track", "-o", "r.jsonl")
    assert posecli("report", "r.jsonl", "-o", "r.html").returncode == 0
    assert Path("r.html").read_text().count('<script type="text/plain"') == 9
    table = posecli("measure", "r.jsonl", "--smooth", "0.5").stdout.decode().splitlines()
    assert len({line.split(",")[0] for line in table[1:]}) == 1
    assert len(table) >= 1 + 9


@pytest.mark.parametrize("data", [["-o", "out/r.jsonl"], ["-o", "out/r.csv"], ["-o", "out/data/"]])
@pytest.mark.parametrize("lines", [0, 3, 6])
def test_a_run_is_resumed_from_some_lines_of_its_journal(
    data: list[str], lines: int, walk: Path, posecli: Posecli
) -> None:
    """All other outputs are deleted."""
    command = ["estimate", "walk", *AS_CLIP, "--smooth", *data, "-a", "out/drawn/"]
    assert posecli(*command).returncode == 1
    (journal,) = Path("out").rglob("*.partial.jsonl")
    files = [path for path in Path("out").rglob("*") if path.is_file() and path != journal]
    before = {path: path.read_bytes() for path in files}
    for path in files:
        path.unlink()
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:lines]))
    result = posecli(*command, "--resume")
    replayed = lines - (lines > 4)  # one of them failed, and is retried
    assert re.search(rf"{9 - replayed} ok \+ 1 failed \+ {replayed} skipped".encode(), result.stderr), result.stderr
    assert {path: path.read_bytes() for path in files} == before


def test_a_folder_that_has_changed_is_not_resumed(walk: Path, posecli: Posecli) -> None:
    command = ["estimate", "walk", "--as-clip", "-o", "r.jsonl"]
    posecli(*command, "--fps", "10")
    assert posecli(*command, "--fps", "20", "--resume").returncode == 2
    (walk / "0.png").rename(walk / "a.png")
    result = posecli(*command, "--fps", "10", "--resume")
    assert (result.returncode, b"frame 0 of walk was walk/0.png" in result.stderr) == (2, True)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_shards_are_resumed_and_notice_new_frames(kind: str, walk: Path, posecli: Posecli) -> None:
    command = ["estimate", "walk", *AS_CLIP, "--track", "--shards", "-f", kind, "-o", "parts/"]
    assert posecli(*command).returncode == 1
    assert [outcome(record) for record in read_records("parts/")] == expected_outcomes()
    picture = pictures(1)[0]
    picture.save(walk / "4.png")
    assert posecli(*command, "--resume").returncode == 0
    assert all(record.ok for record in read_records("parts/"))
    picture.save(walk / "91.png")  # the folder has other frames now, so its shard is computed again
    assert b"11 ok" in posecli(*command, "--resume").stderr
    assert posecli(*command, "--resume").stderr.startswith(b"posecli: 1 picture = 0 ok + 0 failed + 1 skipped")

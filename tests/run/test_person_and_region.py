"""--person and --region with clips: the people in the records, also of resumed runs."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import numpy as np
import pytest

from posecli.records.journal import read_records
from posecli.records.schema import record_schema
from posecli.types import Record

from ..conftest import Posecli, records_of
from ..tiny_model import draw_discs, person_at

#: The frames in which each person is visible, of 0.1 s each: the first person leaves, the second one appears.
FIRST, SECOND = range(5), range(3, 12)
WHOM = ["--track", "--track-gap", "0.2", "--person", "center"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A person left of the centre who leaves, and another one further right who appears."""
    frames = [
        draw_discs(
            [
                *([person_at(130 + number, 70)] if number in FIRST else []),
                *([person_at(259 + number, 80)] if number in SECOND else []),
            ],
            (321, 257),
        )
        for number in range(12)
    ]
    path = tmp_path / "clip.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100, lossless=True)
    return path


def ids(records: list[Record]) -> list[list[int | None]]:
    return [[pose.id for pose in record.poses] for record in records]


@pytest.mark.parametrize("engine", ["serial", "processes"])
@pytest.mark.parametrize("smooth", [[], ["--smooth"]])
def test_the_same_person_is_kept_in_all_frames(engine: str, smooth: list[str], clip: Path, posecli: Posecli) -> None:
    """Another person is chosen when the first one has been away for longer than the gap."""
    result = posecli("estimate", clip, *WHOM, *smooth, "--engine", engine, "--workers", "2")
    records = records_of(result.stdout)
    assert ids(records) == [[1]] * 5 + [[]] * 2 + [[2]] * 5
    for record in records:
        jsonschema.validate(record.to_dict(), record_schema())


def test_without_tracks_the_person_is_chosen_in_each_frame(clip: Path, posecli: Posecli) -> None:
    records = records_of(posecli("estimate", clip, "--person", "center").stdout)
    assert [len(record.poses) for record in records] == [1] * 12
    assert [record.poses[0].box[0] > 180 for record in records] == [False] * 5 + [True] * 7


@pytest.mark.parametrize("lost", [1, 5, 8])
def test_a_frame_with_a_lost_record_is_computed_again(lost: int, clip: Path, posecli: Posecli) -> None:
    """A frame without a chosen person may have other people, who affect the tracks of the frames around it."""
    out = clip.parent / "out"
    options = ["estimate", clip, *WHOM, "-o", f"{out}/", "-a", f"{clip.parent}/drawn/", "-q"]
    assert posecli(*options).returncode == 0
    files = sorted(out.iterdir())
    wanted = [path.read_bytes() for path in files]
    files[lost].unlink()
    assert posecli(*options, "--resume").returncode == 0
    assert [path.read_bytes() for path in files] == wanted


def test_the_person_of_a_still_is_chosen_independently_of_a_clip(clip: Path, posecli: Posecli) -> None:
    """In its record and its annotated picture, although steps over time write its file."""
    still, out = clip.parent / "a.png", clip.parent / "out"
    draw_discs([person_at(130, 70), person_at(270, 80)], (321, 257)).save(still)
    result = posecli("estimate", still, clip, *WHOM, "-o", f"{out}/", "-a", f"{clip.parent}/drawn/")
    assert result.returncode == 0, result.stderr
    (record,) = read_records(str(out / "a.png.json"))
    assert len(record.poses) == 1
    assert record.poses[0].box[0] < 180


def test_keypoints_in_a_region_have_positions_in_the_whole_frame(clip: Path, posecli: Posecli) -> None:
    """Also with second passes, which use the people of the previous frame."""
    for options in ([], ["--track"], ["--track", "--zoom", "--zoom-size", "257"]):
        result = posecli("estimate", clip, "--region", "64,0,257,257", "--from", "0.5", *options)
        records = records_of(result.stdout)
        assert len(records) == 7
        for record in records:
            assert (record.width, record.height, len(record.poses)) == (321, 257, 1)
            xy = np.array([(p.x, p.y) for p in record.poses[0].keypoints])
            assert np.abs(xy - person_at(259 + (record.frame or 0), 80)).max() < (
                0.5 if "--zoom" not in options else 10
            )


def test_a_clip_outside_the_region_is_one_error(clip: Path, posecli: Posecli) -> None:
    result = posecli("estimate", clip, "--region", "500,0,257,257")
    (record,) = records_of(result.stdout)
    assert (result.returncode, record.frame, record.error and record.error.code) == (1, None, "unsupported_image")
    assert result.stderr.count(b"lies outside") == 1

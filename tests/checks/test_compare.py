"""Comparison of two sets of records: exactly the differences are reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from posecli.checks.compare import Limits, compare
from posecli.types import Pose, Record

from ..conftest import Posecli
from ..test_types import make_record
from ..tiny_model import draw_discs, person_at


def moved(record: Record, part: str, by: float, *, score: float = 0.0) -> Record:
    """Move one keypoint of the first person to the right, and raise its score."""
    points = [
        point._replace(x=point.x + by, score=point.score + score) if point.part == part else point
        for point in record.poses[0].keypoints
    ]
    return replace(record, poses=(Pose.from_keypoints(record.poses[0].score, points), *record.poses[1:]))


def kinds(expected: list[Record], actual: list[Record], **options: bool) -> list[str]:
    return [difference.kind for difference in compare(expected, actual, Limits(), **options)]


def test_equal_records_have_no_differences() -> None:
    assert kinds([make_record(), make_record("b.jpg", 2)], [make_record("b.jpg", 2), make_record()]) == []


def test_moved_keypoints_are_reported_with_their_distance() -> None:
    (difference,) = compare([make_record()], [moved(make_record(), "leftElbow", 7)], Limits())
    assert (difference.kind, difference.part, difference.amount, difference.person) == ("moved", "leftElbow", 7, 0)
    assert kinds([make_record()], [moved(make_record(), "leftElbow", 3.9)]) == []


def test_uncertain_keypoints_may_move() -> None:
    uncertain = moved(make_record(), "nose", 0, score=-0.4)
    assert kinds([uncertain], [moved(uncertain, "nose", 50)]) == []


def test_changed_scores_are_reported() -> None:
    (difference,) = compare([make_record()], [moved(make_record(), "nose", 0, score=0.2)], Limits())
    assert (difference.kind, difference.part, difference.amount) == ("score", "nose", 0.2)


def test_missing_and_new_people_are_reported() -> None:
    assert kinds([make_record(people=1)], [make_record(people=0)]) == ["missing_person"]
    assert kinds([make_record(people=0)], [make_record(people=1)]) == ["new_person"]
    far = make_record()
    far = replace(far, poses=tuple(_shift(pose, 300) for pose in far.poses))
    assert kinds([make_record()], [far]) == ["missing_person", "new_person"]


def _shift(pose: Pose, by: float) -> Pose:
    return Pose.from_keypoints(pose.score, [point._replace(x=point.x + by) for point in pose.keypoints])


def test_the_order_of_people_does_not_matter() -> None:
    one = make_record().poses[0]
    two = _shift(one, 200)
    expected, actual = replace(make_record(), poses=(one, two)), replace(make_record(), poses=(two, one))
    assert kinds([expected], [actual]) == []


def test_pictures_are_matched_by_name_or_by_file_name() -> None:
    assert kinds([make_record("old/a.jpg")], [make_record("new/a.jpg")]) == []
    assert kinds([make_record("x/a.jpg"), make_record("y/a.jpg")], [make_record("z/a.jpg")]) == [
        "new_picture",
        "missing_picture",
        "missing_picture",
    ]
    assert kinds([make_record("a.jpg"), make_record("b.jpg")], [make_record("a.jpg")], ignore_missing=True) == []


def test_pictures_are_matched_by_the_end_of_their_path() -> None:
    """Annotation tools use paths relative to the folder that they were given."""
    full, short = (
        [make_record(f"{folder}{name}") for name in ("a/1.jpg", "b/1.jpg", "2.jpg")] for folder in ("p/", "")
    )
    assert kinds(full, short) == kinds(short, full) == []
    assert kinds(
        [make_record("p/a/1.jpg"), make_record("q/a/1.jpg")], [make_record("a/1.jpg")], ignore_missing=True
    ) == ["new_picture"]


def test_names_that_end_in_one_another_are_told_apart() -> None:
    names = ("three.jpg", "a/three.jpg", "b/a/three.jpg")
    full, short = (
        [make_record(f"{folder}{name}", people) for people, name in enumerate(names)] for folder in ("/x/", "")
    )
    assert kinds(full, short) == kinds(short, full[::-1]) == []
    assert kinds(short, full[1:]) == ["missing_picture"]
    assert kinds(short[:1], full) == ["new_picture"] * 3 + ["missing_picture"]


@pytest.mark.parametrize("clips", [("c.mp4",), ("c.mp4", "d.mp4")])
def test_frames_of_clips_are_those_of_the_labels(clips: tuple[str, ...], tmp_path: Path, posecli: Posecli) -> None:
    frames = [
        replace(make_record(f"in/{clip}", people), frame=people, time=people / 10)
        for clip in clips
        for people in range(3)
    ]
    path = save(frames, tmp_path / "r.jsonl")
    assert posecli("convert", path, "-f", "coco-annotations", "-o", tmp_path / "l.json").returncode == 0
    for pair in ((path, tmp_path / "l.json"), (tmp_path / "l.json", path)):
        said = posecli("compare", *pair, "--max-score-change", "1")
        assert (said.returncode, said.stdout) == (0, b"no differences\n")


def test_frames_of_clips_with_other_names_are_new() -> None:
    one, other = ([replace(make_record(name), frame=number) for number in (0, 1)] for name in ("x/c.mp4", "x/d.mp4"))
    assert kinds(one, other) == ["new_picture"] * 2 + ["missing_picture"] * 2
    assert kinds(one, [make_record(f"images/default/frame_{number:06d}.PNG") for number in (0, 1)]) == []


def test_frames_are_compared_separately() -> None:
    clip = [replace(make_record("c.mp4"), frame=number) for number in range(3)]
    assert kinds(clip, clip) == []
    assert kinds(clip, clip[:2]) == ["missing_picture"]


def test_a_failure_is_a_difference() -> None:
    failed = Record.failed("a.jpg", "not_found", "a.jpg: no such file")
    assert kinds([make_record()], [failed]) == ["status"]
    assert kinds([failed], [failed]) == []


def save(records: list[Record], path: Path) -> Path:
    path.write_text("".join(json.dumps(record.to_dict()) + "\n" for record in records))
    return path


def test_the_compare_command(tmp_path: Path, posecli: Posecli) -> None:
    expected = save([make_record("a,b.jpg")], tmp_path / "e.jsonl")
    actual = save([moved(make_record("a,b.jpg"), "nose", 9)], tmp_path / "a.jsonl")
    assert posecli("compare", expected, expected).returncode == 0
    result = posecli("compare", expected, actual, "--github")
    assert result.returncode == 3
    assert b"person 0: nose moved by 9.0 pixels" in result.stdout
    assert b"::error file=a%2Cb.jpg,title=posecli::person 0" in result.stdout
    (difference,) = json.loads(posecli("compare", expected, actual, "--json").stdout)
    assert difference["amount"] == 9
    assert posecli("compare", expected, actual, "--max-distance", "10").returncode == 0
    assert posecli("compare", expected, tmp_path / "none").returncode == 2
    assert posecli("compare", expected, "-", input=actual.read_bytes()).returncode == 3


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "p.png"
    draw_discs([person_at(125, 80)]).save(path)
    return path


def test_estimate_compares_with_expected_records(picture: Path, tmp_path: Path, posecli: Posecli) -> None:
    posecli("estimate", picture, "-o", tmp_path / "e.jsonl")
    same = posecli("estimate", picture, "--expect", tmp_path / "e.jsonl")
    assert same.returncode == 0, same.stderr
    Image.new("RGB", (257, 257)).save(picture)
    other = posecli("estimate", picture, "--expect", tmp_path / "e.jsonl")
    assert (other.returncode, b"is gone" in other.stderr) == (3, True)
    elsewhere = tmp_path / "elsewhere/p.png"
    elsewhere.parent.mkdir()
    picture.rename(elsewhere)
    other = posecli("estimate", elsewhere, "--expect", tmp_path / "e.jsonl")
    assert (other.returncode, b"is gone" in other.stderr, b"did not come" in other.stderr) == (3, True, False)
    missing = posecli("estimate", picture.parent / "*.bmp", "--expect", tmp_path / "e.jsonl")
    assert missing.returncode == 1  # the missing input takes precedence over missed expectations
    assert b"was expected but is missing" in missing.stderr


def test_estimate_checks_the_number_of_people(picture: Path, posecli: Posecli) -> None:
    for options, status in (
        (("--expect-people", "1"), 0),
        (("--expect-people", "2"), 3),
        (("--min-people", "1"), 0),
        (("--min-people", "2"), 3),
    ):
        assert posecli("estimate", picture, *options).returncode == status, options
    assert posecli("estimate", picture, "--expect", "/no/such/file").returncode == 2

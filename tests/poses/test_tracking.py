"""Tracking over the frames of a clip, on people with known paths."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from posecli.poses.lookahead import Lookahead
from posecli.poses.smoothing import Smoother
from posecli.poses.tracking import Tracker
from posecli.skeleton import KEYPOINT_NAMES
from posecli.types import Keypoint, ModelInfo, Pose, Record

from ..tiny_model import person_at

RATE = 25


def pose(xy: np.ndarray, score: float = 0.9) -> Pose:
    return Pose.from_keypoints(
        score, [Keypoint(i, KEYPOINT_NAMES[i], float(x), float(y), score) for i, (x, y) in enumerate(xy)]
    )


def frame(number: int, poses: list[Pose], image: str = "c.mp4") -> Record:
    return Record(
        image=image, status="ok", frame=number, time=number / RATE, width=640, height=480,
        model=ModelInfo("m", "0" * 64, (257, 257), 32), poses=tuple(poses),
    )  # fmt: skip


def walk(
    paths: list[Callable[[float], float]],
    frames: int,
    *,
    noise: float = 1.0,
    seen: Callable[[int, int], bool] = lambda n, p: True,
) -> list[tuple[list[int], Record]]:
    """Records of people at x = paths[person](seconds), in shuffled order; each with its list of persons."""
    rng = np.random.default_rng(3)
    found = []
    for number in range(frames):
        people = [p for p in rng.permutation(len(paths)) if seen(number, int(p))]
        poses = [pose(person_at(paths[p](number / RATE), 100 + 12 * p) + rng.normal(0, noise, (17, 2))) for p in people]
        found.append(([int(p) for p in people], frame(number, poses)))
    return found


def through(step: Lookahead, records: Iterable[Record]) -> list[Record]:
    """Pass records through a step."""
    return [done for record in records for done in step.take(record)] + list(step.finish())


def numbers(tracker: Tracker, found: list[tuple[list[int], Record]]) -> dict[int, set[int]]:
    """The ids that each person got."""
    given: dict[int, set[int]] = {}
    tracked_records = through(tracker, (record for _, record in found))
    for (people, _), record in zip(found, tracked_records, strict=True):
        for person, tracked in zip(people, record.poses, strict=True):
            assert tracked.id is not None
            given.setdefault(person, set()).add(tracked.id)
    return given


def test_each_person_keeps_one_number() -> None:
    given = numbers(Tracker(), walk([lambda t: 60 + 30 * t, lambda t: 300 - 10 * t, lambda t: 450], 100))
    assert all(len(ids) == 1 for ids in given.values())
    assert len(set.union(*given.values())) == 3


def test_people_whose_paths_cross_keep_their_numbers() -> None:
    given = numbers(Tracker(), walk([lambda t: 50 + 100 * t, lambda t: 450 - 100 * t], 100))
    assert given[0].isdisjoint(given[1])
    assert all(len(ids) == 1 for ids in given.values())


@pytest.mark.parametrize(("gap", "same"), [(1.0, True), (0.3, False)])
def test_a_person_who_is_hidden_for_less_than_the_gap_keeps_the_number(gap: float, same: bool) -> None:
    found = walk([lambda t: 50 + 60 * t], 75, seen=lambda number, person: not 30 <= number < 45)
    assert (len(numbers(Tracker(gap=gap), found)[0]) == 1) is same


def test_clothes_identify_a_person_who_turned_back_while_hidden() -> None:
    """Two people meet, one hides the other, and then both turn back, or both go on. Only their clothes tell which."""
    red, blue = (0.8, 0.2, 0.2) * 2, (0.2, 0.3, 0.8) * 2

    def meet(turn: bool) -> list[tuple[list[int], Record]]:
        def path(start: float, speed: float) -> Callable[[float], float]:
            return lambda t: start + speed * (t if t < 1.5 or not turn else 3 - t)

        paths = [path(50, 100), path(350, -100)]
        found = walk(paths, 75, seen=lambda number, person: person == 0 or not 30 <= number < 45)
        return [
            (who, replace(record, poses=tuple(
                one._replace(appearance=(red, blue)[person]) for person, one in zip(who, record.poses, strict=True)
            )))
            for who, record in found
        ]  # fmt: skip

    for turn in (False, True):
        given = numbers(Tracker(), meet(turn))
        assert [len(ids) for ids in given.values()] == [1, 1], turn
        assert given[0].isdisjoint(given[1])


def test_numbers_start_again_in_a_new_clip() -> None:
    records = [frame(n, [pose(person_at(100, 100))], image) for image in ("a.mp4", "b.mp4") for n in range(4)]
    found = through(Tracker(), records)
    assert [(record.image, record.frame, record.poses[0].id) for record in found] == [
        (image, n, 1) for image in ("a.mp4", "b.mp4") for n in range(4)
    ]


def test_a_person_found_in_few_frames_has_no_number() -> None:
    ghost = pose(person_at(400, 90), score=0.4)
    records = [frame(n, [pose(person_at(100, 100)), *([ghost] if n in (10, 11) else [])]) for n in range(30)]
    found = through(Tracker(), records)
    assert {record.poses[0].id for record in found} == {1}
    assert [one.id for record in found for one in record.poses[1:]] == [None, None]


def test_a_person_has_a_number_from_the_first_frame_on() -> None:
    records = [frame(n, [pose(person_at(100, 100))] if n >= 10 else []) for n in range(30)]
    found = through(Tracker(), records)
    assert [record.poses[0].id for record in found[10:]] == [1] * 20


def test_weak_detections_continue_tracks_but_begin_none() -> None:
    def people(n: int) -> list[Pose]:
        return [pose(person_at(100 + n, 100), score=0.9 if n % 2 else 0.2), pose(person_at(400, 90), score=0.2)]

    found = through(Tracker(), [frame(n, people(n)) for n in range(30)])
    assert {record.poses[0].id for record in found[1:]} == {1}
    assert {record.poses[1].id for record in found} == {None}


def test_a_bag_that_hides_a_person_does_not_change_the_number() -> None:
    """The colours change from one frame to the next, but the position does not."""
    plain, bag = (0.1, 0.1, 0.1) * 2, (0.1, 0.1, 0.1, 0.9, 0.9, 0.9)
    records = [
        frame(n, [pose(person_at(100 + 2 * n, 100))._replace(appearance=bag if n % 10 > 6 else plain)])
        for n in range(60)
    ]
    assert {record.poses[0].id for record in through(Tracker(), records)} == {1}


def test_a_person_of_another_size_gets_another_number() -> None:
    """After a large person has left, a small person in the background at the same place gets a new number."""
    large = person_at(100, 100)
    small = large[0] + (large - large[0]) / 4
    found = through(
        Tracker(), [frame(n, [pose(large if n < 20 else small)] if not 20 <= n < 25 else []) for n in range(50)]
    )
    assert found[0].poses[0].id != found[-1].poses[0].id


def test_nearly_simultaneous_frames_do_not_cause_high_speeds() -> None:
    """After two frames with nearly equal times and noisy keypoints, the predicted position is not far away."""
    rng = np.random.default_rng(1)
    times = [n / RATE + (0.0001 - 1 / RATE if n == 10 else 0) for n in range(30)]
    records = [
        replace(frame(n, [pose(person_at(100, 100) + rng.normal(0, 2, (17, 2)))] if n != 11 else []), time=time)
        for n, time in enumerate(times)
    ]
    found = through(Tracker(), records)
    assert {one.id for record in found for one in record.poses} == {1}


def test_stills_and_failures_keep_their_order() -> None:
    still = replace(frame(0, [pose(person_at(100, 100))]), image="a.jpg", frame=None, time=None)
    failed = Record.failed("c.mp4", "unreadable_image", "it breaks off")
    frames = [frame(n, [pose(person_at(100, 100))]) for n in range(3)]
    for step in (Tracker(), Smoother()):
        found = through(step, [still, *frames, failed, still])
        assert [(record.image, record.frame) for record in found] == [
            ("a.jpg", None), ("c.mp4", 0), ("c.mp4", 1), ("c.mp4", 2), ("c.mp4", None), ("a.jpg", None),
        ]  # fmt: skip
        assert found[0] is still
        assert found[4] is failed


@pytest.mark.parametrize("rate", [1, 5, 25, 120])
def test_few_records_are_held_back(rate: int) -> None:
    """At any frame rate few frames are held back, to save memory."""
    tracker, held = Tracker(), []
    waiting = 0
    for n in range(60):
        record = replace(frame(n, [pose(person_at(100, 100))]), time=n / rate)
        waiting += 1 - len(list(tracker.take(record)))
        held.append(waiting)
    assert max(held) <= 7
    assert len(list(tracker.finish())) == waiting


def xy(record: Record) -> np.ndarray:
    return np.array([(point.x, point.y) for point in record.poses[0].keypoints])

"""Who is who from frame to frame, and steadier keypoints: on people whose ways are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from posecli.poses.tracking import Smoother, Tracker
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
    ways: list[Callable[[float], float]],
    frames: int,
    *,
    noise: float = 1.0,
    seen: Callable[[int, int], bool] = lambda n, p: True,
) -> list[tuple[list[int], Record]]:
    """Records of people who walk along, each at ways[person](seconds), in shuffled order; and who is who."""
    dice = np.random.default_rng(3)
    found = []
    for number in range(frames):
        people = [p for p in dice.permutation(len(ways)) if seen(number, int(p))]
        poses = [pose(person_at(ways[p](number / RATE), 100 + 12 * p) + dice.normal(0, noise, (17, 2))) for p in people]
        found.append(([int(p) for p in people], frame(number, poses)))
    return found


def numbers(tracker: Tracker, found: list[tuple[list[int], Record]]) -> dict[int, set[int]]:
    """The ids that each walker got."""
    given: dict[int, set[int]] = {}
    for people, record in found:
        for person, tracked in zip(people, tracker(record).poses, strict=True):
            assert tracked.id is not None
            given.setdefault(person, set()).add(tracked.id)
    return given


def test_everybody_keeps_a_number() -> None:
    given = numbers(Tracker(), walk([lambda t: 60 + 30 * t, lambda t: 300 - 10 * t, lambda t: 450], 100))
    assert all(len(ids) == 1 for ids in given.values())
    assert len(set.union(*given.values())) == 3


def test_walkers_who_cross_keep_theirs() -> None:
    given = numbers(Tracker(), walk([lambda t: 50 + 100 * t, lambda t: 450 - 100 * t], 100))
    assert given[0].isdisjoint(given[1])
    assert all(len(ids) == 1 for ids in given.values())


@pytest.mark.parametrize(("gap", "same"), [(1.0, True), (0.3, False)])
def test_who_is_hidden_for_a_while_keeps_his_number(gap: float, same: bool) -> None:
    found = walk([lambda t: 50 + 60 * t], 75, seen=lambda number, person: not 30 <= number < 45)
    assert (len(numbers(Tracker(gap=gap), found)[0]) == 1) is same


def test_clothes_tell_who_turned_round_behind_another() -> None:
    """Two meet, hide one another and part, each the way he came; or each goes on. Only what they wear tells which."""
    red, blue = (0.8, 0.2, 0.2) * 2, (0.2, 0.3, 0.8) * 2

    def meet(turn: bool) -> list[tuple[list[int], Record]]:
        def way(start: float, speed: float) -> Callable[[float], float]:
            return lambda t: start + speed * (t if t < 1.5 or not turn else 3 - t)

        ways = [way(50, 100), way(350, -100)]
        found = walk(ways, 75, seen=lambda number, person: person == 0 or not 30 <= number < 45)
        return [
            (who, replace(record, poses=tuple(
                one._replace(clothes=(red, blue)[person]) for person, one in zip(who, record.poses, strict=True)
            )))
            for who, record in found
        ]  # fmt: skip

    for turn in (False, True):
        given = numbers(Tracker(), meet(turn))
        assert [len(ids) for ids in given.values()] == [1, 1], turn
        assert given[0].isdisjoint(given[1])


def test_a_new_clip_begins_anew() -> None:
    tracker = Tracker()
    for image in ("a.mp4", "b.mp4"):
        (tracked,) = tracker(frame(0, [pose(person_at(100, 100))], image)).poses
        assert tracked.id == 1


def test_stills_and_failures_pass() -> None:
    still = frame(0, [pose(person_at(100, 100))])
    still = Record(**{**vars(still), "frame": None, "time": None})
    failed = Record.failed("c.mp4", "unreadable_image", "it breaks off")
    for step in (Tracker(), Smoother()):
        assert step(still) is still
        assert step(failed) is failed


def test_an_earlier_run_is_remembered() -> None:
    found = walk([lambda t: 60 + 30 * t, lambda t: 400 - 30 * t], 60)
    whole = Tracker()
    expected = [whole(record) for _, record in found]
    resumed = Tracker()
    for record in expected[:30]:
        resumed.remember(record)
    assert [resumed(record) for _, record in found[30:]] == expected[30:]


def test_an_earlier_run_is_smoothed_on() -> None:
    found = [record for _, record in walk([lambda t: 60 + 30 * t], 60)]
    tracker, whole, resumed = Tracker(), Smoother(), Smoother()
    tracked = [tracker(record) for record in found]
    expected = [whole(record) for record in tracked]
    for record in expected[:30]:
        resumed.remember(record)
    again = [resumed(record) for record in tracked[30:]]
    far = [np.abs(xy(one) - xy(other)).max() for one, other in zip(again, expected[30:], strict=True)]
    assert far[0] < 1
    assert far[-1] < 0.01


def test_smoothing_takes_out_jitter_at_rest_and_lags_little_in_movement() -> None:
    for speed, gain in ((0.0, 0.6), (150.0, 1.1)):
        tracker, smoother = Tracker(), Smoother()
        errors = []
        for number, (_, record) in enumerate(walk([lambda t, v=speed: 60 + v * t], 75, noise=2.0)):  # type: ignore[misc]
            tracked = tracker(record)
            steady = smoother(tracked)
            truth = person_at(60 + speed * number / RATE, 100)
            errors.append([np.linalg.norm(xy(one) - truth, axis=1).mean() for one in (tracked, steady)])
        raw, smoothed = np.mean(errors[10:], axis=0)
        assert smoothed < gain * raw


def xy(record: Record) -> np.ndarray:
    return np.array([(point.x, point.y) for point in record.poses[0].keypoints])

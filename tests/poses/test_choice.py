"""The choice of one person: in a picture, and over the frames of a clip."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from posecli.poses.choice import FollowedPerson, choose
from posecli.region import Region
from posecli.types import DecodedPose, Record

from ..tiny_model import person_at
from .test_tracking import RATE, frame, pose

SIZE = (640, 480)


def decoded(x: float, y: float, scale: float) -> DecodedPose:
    return DecodedPose(person_at(x, y, scale), np.full(17, 0.9), 0.9)


PEOPLE = [decoded(100, 100, 0.5), decoded(330, 180, 0.7), decoded(500, 200, 1.2)]


@pytest.mark.parametrize(
    ("person", "index"), [("best", 0), ("center", 1), ("largest", 2), (0, 0), (2, 2), (3, None), (10**9, None)]
)
def test_the_chosen_person(person: str | int, index: int | None) -> None:
    assert choose(PEOPLE, person, SIZE, None) == index
    assert choose([], person, SIZE, None) is None


def test_the_centre_is_that_of_the_region() -> None:
    assert choose(PEOPLE, "center", SIZE, Region.parse("0,0,200,300")) == 0
    assert choose(PEOPLE, "center", SIZE, Region.parse("60%,0,40%,100%")) == 2


def test_uncertain_keypoints_do_not_make_a_person_large() -> None:
    scores = np.full(17, 0.9)
    scores[15:] = 0.05
    wide = PEOPLE[0]._replace(xy=PEOPLE[0].xy.copy(), scores=scores)
    wide.xy[15:] = (5000, 5000)
    assert choose([wide, PEOPLE[2]], "largest", SIZE, None) == 1


def clip(frames: list[list[tuple[int | None, float]]], image: str = "c.mp4") -> list[Record]:
    """Records of a clip. frames: for each frame the id and scale of its people, in descending score."""
    return [
        frame(
            number,
            [
                pose(person_at(100 * index, 100, scale))._replace(id=track)
                for index, (track, scale) in enumerate(people)
            ],
            image,
        )
        for number, people in enumerate(frames)
    ]


def followed(records: list[Record], person: str | int, *, gap: float = 3.0) -> list[list[int | None]]:
    step = FollowedPerson(person, region=None, gap=gap)
    done = [one for record in records for one in step.take(record)] + list(step.finish())
    return [[pose.id for pose in record.poses] for record in done]


def test_the_first_chosen_person_is_followed() -> None:
    """Even if another person is larger, or scores higher, in later frames."""
    records = clip([[(1, 1.0), (2, 0.5)], [(2, 2.0), (1, 1.0)], [(2, 2.0)], [(2, 2.0), (1, 0.1)]])
    assert followed(records, "largest") == [[1], [1], [], [1]]
    assert followed(records, 1) == [[2], [2], [2], [2]]


def test_the_choice_waits_until_it_is_possible() -> None:
    records = clip([[(None, 1.0)], [(1, 1.0)], [(1, 1.0), (2, 1.0)], [(1, 1.0)]])
    assert followed(records, "best") == [[], [1], [1], [1]]
    assert followed(records, 1) == [[], [], [2], []]


def test_another_person_is_chosen_after_the_gap() -> None:
    records = clip([[(1, 1.0)], *([[(2, 1.0)]] * 10), [(1, 2.0), (2, 1.0)]])
    assert followed(records, "largest", gap=5 / RATE) == [[1], *([[]] * 5), *([[2]] * 6)]


def test_each_clip_has_its_own_choice() -> None:
    first, second = clip([[(1, 1.0), (2, 0.5)]]), clip([[(1, 0.5), (2, 1.0)]], "d.mp4")
    assert followed([*first, *second], "largest") == [[1], [2]]


def test_stills_and_failures_pass_unchanged() -> None:
    still = replace(frame(0, [pose(person_at(0, 0)), pose(person_at(300, 0))]), frame=None, time=None)
    failed = replace(Record.failed("c.mp4", "unreadable_image", "broken"), frame=1)
    step = FollowedPerson("best", region=None, gap=1)
    assert [one for record in (still, failed) for one in step.take(record)] == [still, failed]

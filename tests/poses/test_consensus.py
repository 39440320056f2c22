"""The merging of several passes, on synthetic poses."""

from __future__ import annotations

import numpy as np
import pytest

from posecli.inputs.pictures import turned_xy
from posecli.poses.consensus import (
    LEAST_VISIBILITY,
    TURNED_WEIGHT,
    UNSEEN_SCORE,
    Candidate,
    Pass,
    View,
    confirm,
    drop_worse_turns,
    merge,
    merge_passes,
    same_person,
    trunk_angle,
    visibility,
)
from posecli.types import DecodedPose

from ..tiny_model import person_at


def pose(x: float, y: float, *, score: float = 0.5, shift: float = 0.0, keypoint_score: float = 0.8) -> DecodedPose:
    return DecodedPose(person_at(x, y) + shift, np.full(17, keypoint_score), score)


def turned(person: DecodedPose, degrees: float) -> DecodedPose:
    """The same person turned clockwise about the centre of the keypoints."""
    centre = person.xy.mean(axis=0)
    return person._replace(xy=turned_xy(person.xy - centre, degrees) + centre)


def test_a_single_pass_is_unchanged() -> None:
    people = [pose(100, 100, score=0.4), pose(400, 100, score=0.9)]
    (first, second) = merge_passes([Pass(people, 1.0)])
    assert first.pose is people[1]
    assert second.pose is people[0]


def test_passes_that_agree_are_averaged() -> None:
    (person,) = merge_passes([Pass([pose(100, 100, score=0.6)], 1.0), Pass([pose(100, 100, score=0.6, shift=2)], 1.0)])
    np.testing.assert_allclose(person.pose.xy, person_at(100, 100) + 1, atol=1e-6)
    assert person.pose.score == pytest.approx(0.6)


def test_keypoints_are_averaged_by_the_squares_of_their_scores() -> None:
    high, low = pose(100, 100, keypoint_score=0.8), pose(100, 100, shift=3, keypoint_score=0.4)
    merged = merge([View(high, 1.0), View(low, 1.0)])
    np.testing.assert_allclose(merged.xy - high.xy, 3 * 0.4**2 / (0.8**2 + 0.4**2), rtol=0.01)


def test_a_person_that_one_of_two_passes_misses_loses_score() -> None:
    both, single = pose(100, 100, score=0.6), pose(400, 100, score=0.9)
    found = merge_passes([Pass([both, single], 1.0), Pass([both], 1.0)])
    assert [candidate.pose.score for candidate in found] == pytest.approx([0.6, 0.45])
    assert [view.pose is None for view in found[1].views] == [False, True]


def test_a_pass_has_one_view_for_each_person() -> None:
    """Two people who stand close together in one pass are not merged into one."""
    near = [pose(100, 100, score=0.9), pose(140, 100, score=0.8)]
    found = merge_passes([Pass(near, 1.0), Pass(near, 1.0)])
    assert len(found) == 2
    np.testing.assert_allclose([one.pose.xy[0] for one in found], [one.xy[0] for one in near])


def test_the_pass_at_the_better_size_counts_more() -> None:
    person = pose(100, 100)
    tall = float(np.ptp(person.xy, axis=0).max())
    good, tiny = 250 / tall, 25 / tall
    merged = merge([View(person, good), View(person._replace(xy=person.xy + 6), tiny)])
    share = LEAST_VISIBILITY / (1 + LEAST_VISIBILITY)
    np.testing.assert_allclose(merged.xy - person.xy, 6 * share, rtol=0.01)


@pytest.mark.parametrize(
    ("size", "trust"), [(200, 1), (300, 1), (400, 1), (100, np.exp(-1)), (800, np.exp(-1)), (1, 0.2), (1e6, 0.2)]
)
def test_visibility(size: float, trust: float) -> None:
    assert visibility(size) == pytest.approx(trust)


def test_a_second_pass_confirms_a_person() -> None:
    far = pose(100, 100, score=0.4)
    candidate = Candidate(far, (View(far, 1.0),))
    near = pose(100, 100, score=0.9, shift=1, keypoint_score=0.9)
    confirmed = confirm(candidate, [View(near, 1.0)]).pose
    assert confirmed.score == pytest.approx(0.6)
    assert (confirmed.scores > far.scores).all()
    assert (np.abs(confirmed.xy - near.xy) < np.abs(confirmed.xy - far.xy)).all()


def test_a_person_that_all_second_passes_miss_keeps_the_pose_and_loses_score() -> None:
    far = pose(100, 100, score=0.5)
    unseen = confirm(Candidate(far, (View(far, 1.0),)), [View(None, 1.0), View(None, 2.0)]).pose
    assert (unseen.xy == far.xy).all()
    assert unseen.score == pytest.approx((0.5 * UNSEEN_SCORE) ** 0.5)


def test_without_second_passes_nothing_changes() -> None:
    far = pose(100, 100)
    assert confirm(Candidate(far, (View(far, 1.0),)), []).pose is far


def test_another_person_in_a_crop_is_not_the_same_person() -> None:
    known, near = pose(100, 100), pose(100, 100, score=0.3, shift=2)
    assert same_person(known, [pose(400, 100, score=0.99), near]) is near
    assert same_person(known, [pose(400, 100)]) is None
    assert same_person(known, []) is None


def test_turned_poses_of_upright_people_are_dropped() -> None:
    upright = pose(100, 100, score=0.6)
    upside_down = turned(upright._replace(score=0.5), 180)
    elsewhere = turned(pose(600, 100, score=0.5), 90)
    people = [Candidate(upright, ()), Candidate(upside_down, (), 180.0), Candidate(elsewhere, (), 90.0)]
    assert drop_worse_turns(people) == [people[0], people[2]]


def test_a_better_turned_pose_stays() -> None:
    nonsense = pose(100, 100, score=0.2)
    lying = Candidate(turned(nonsense._replace(score=0.8), 90), (), 90.0)
    assert drop_worse_turns([Candidate(nonsense, ()), lying]) == [lying]


def test_people_found_at_one_turn_may_overlap() -> None:
    near = [Candidate(pose(100, 100), (), 90.0), Candidate(pose(110, 100), (), 90.0)]
    assert drop_worse_turns(near) == near


def test_turned_passes_lower_the_score() -> None:
    person = pose(100, 100, score=0.5)
    (found,) = merge_passes([Pass([person], 1.0)], turn=90.0)
    assert found.turn == 90
    assert found.pose.score == pytest.approx(0.5 * TURNED_WEIGHT)
    assert found.views[0].pose is person


@pytest.mark.parametrize("degrees", [0, 30, 90, 135, -90])
def test_the_angle_of_the_trunk(degrees: float) -> None:
    person = turned(pose(100, 100), degrees)
    upright = trunk_angle(pose(100, 100))
    assert upright is not None
    assert trunk_angle(person) == pytest.approx(upright + degrees, abs=1e-6)


def test_an_uncertain_trunk_has_no_angle() -> None:
    assert trunk_angle(pose(100, 100, keypoint_score=0.1)) is None

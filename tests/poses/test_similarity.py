"""OKS, matching and pose NMS, on synthetic poses with known results."""

from __future__ import annotations

import contextlib
import io
from math import exp
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posecli.poses.similarity import (
    as_decoded,
    body_area,
    body_box,
    extent,
    keypoint_similarities,
    match_greedily,
    oks,
    pose_nms,
    similarities,
    similarity,
)
from posecli.skeleton import KEYPOINT_NAMES, OKS_SIGMAS
from posecli.types import DecodedPose, Keypoint, Pose

from ..tiny_model import person_at

ALL = np.ones(17, bool)
#: Offsets of k times the person's size for each keypoint, for an area of 100 square pixels.
ONE_K = np.stack([2 * np.array(OKS_SIGMAS) * 10, np.zeros(17)], axis=1)


def pose(x: float, y: float, scale: float = 1.0, *, score: float = 0.5, shift: float = 0.0) -> DecodedPose:
    return DecodedPose(person_at(x, y, scale) + shift, np.full(17, 0.8), score)


def seen(one: DecodedPose, keypoints: range) -> DecodedPose:
    """The pose with the scores of all other keypoints set to 0."""
    return one._replace(scores=np.where(np.isin(np.arange(17), keypoints), one.scores, 0.0))


def test_a_records_pose_is_converted_to_arrays() -> None:
    points = [Keypoint(i, name, float(i), 2.0 * i, i / 20) for i, name in enumerate(KEYPOINT_NAMES)]
    decoded = as_decoded(Pose.from_keypoints(0.7, points))
    assert decoded.score == 0.7
    assert decoded.xy[3].tolist() == [3, 6]
    assert decoded.scores[4] == 0.2


def test_the_box_is_around_the_certain_keypoints() -> None:
    xy = np.stack([np.arange(17.0), 10 * np.arange(17.0)], axis=1)
    scores = np.where(np.isin(np.arange(17), (2, 5, 9)), 0.3, 0.29)
    corner, far_corner = body_box(DecodedPose(xy, scores, 0.5))
    assert (corner.tolist(), far_corner.tolist()) == ([2, 20], [9, 90])
    assert body_area(DecodedPose(xy, scores, 0.5)) == 7 * 70


def test_with_fewer_than_three_certain_keypoints_the_box_is_around_all() -> None:
    xy = np.stack([np.arange(17.0), 10 * np.arange(17.0)], axis=1)
    corner, far_corner = extent(xy, np.where(np.arange(17) < 2, 0.9, 0.1), 0.5)
    assert (corner.tolist(), far_corner.tolist()) == ([0, 0], [16, 160])


def test_the_area_is_at_least_one_pixel() -> None:
    assert body_area(DecodedPose(np.full((17, 2), 5.0), np.full(17, 0.8), 0.5)) == 1


@pytest.mark.parametrize(
    ("area", "tolerance", "expected"),
    [(100, 1, exp(-1 / 2)), (400, 1, exp(-1 / 8)), (100, 2, exp(-1 / 8)), (25, 2, exp(-1 / 2))],
)
def test_the_similarity_of_keypoints_at_a_distance_of_k(area: float, tolerance: float, expected: float) -> None:
    xy = person_at(50, 50)
    values = keypoint_similarities(xy, xy + ONE_K, area=area, tolerance=tolerance)
    assert values.tolist() == pytest.approx([expected] * 17)


def test_similarities_of_many_poses_at_once() -> None:
    xy = person_at(50, 50)
    values = keypoint_similarities(xy, np.stack([xy, xy + ONE_K, xy + 2 * ONE_K]), area=100)
    assert values.mean(axis=1).tolist() == pytest.approx([1, exp(-1 / 2), exp(-2)])


def test_only_counted_keypoints_contribute_to_the_oks() -> None:
    xy = person_at(50, 50)
    moved = xy + np.where(np.arange(17) < 5, 1000, 0)[:, None]
    assert oks(xy, moved, area=100, counted=np.arange(17) >= 5) == 1
    assert oks(xy, moved, area=100, counted=np.arange(17) < 10) == pytest.approx(0.5)


def test_all_keypoints_count_if_too_few_are_counted() -> None:
    xy = person_at(50, 50)
    moved = xy + np.where(np.arange(17) < 5, 1000, 0)[:, None]
    assert oks(xy, moved, area=100, counted=~ALL) == pytest.approx(12 / 17)
    two = np.arange(17) < 2
    assert oks(xy, moved, area=100, counted=two) == pytest.approx(0)
    assert oks(xy, moved, area=100, counted=two, least_counted=3) == pytest.approx(12 / 17)


def test_the_oks_is_that_of_pycocotools() -> None:
    truth, found = person_at(100, 100), person_at(100, 100) + np.random.default_rng(1).normal(0, 8, (17, 2))
    category = {"id": 1, "name": "person", "keypoints": list(KEYPOINT_NAMES)}
    person = {"id": 1, "image_id": 1, "category_id": 1, "area": 6000.0, "bbox": [0, 0, 90, 150], "iscrowd": 0}
    coco, visible = COCO(), np.full((17, 1), 2)
    coco.dataset = {"images": [{"id": 1}], "categories": [category], "annotations": [
        {**person, "num_keypoints": 17, "keypoints": np.hstack([truth, visible]).ravel().tolist()}
    ]}  # fmt: skip
    result = {"image_id": 1, "category_id": 1, "score": 0.9, "keypoints": np.hstack([found, visible]).ravel().tolist()}
    assert oks(truth, found, area=6000, counted=ALL) == pytest.approx(_oks_of_pycocotools(coco, result))


def _oks_of_pycocotools(coco: Any, result: dict[str, Any]) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes([result]), "keypoints")
        evaluation.evaluate()
    return float(evaluation.ious[1, 1][0, 0])


def test_a_person_is_similar_only_to_the_same_person() -> None:
    assert similarity(pose(100, 100), pose(100, 100)) == 1
    assert similarity(pose(100, 100), pose(100, 100, shift=2)) > 0.8
    assert similarity(pose(100, 100), pose(300, 100)) < 0.01


def test_the_oks_uses_the_area_of_the_first_pose() -> None:
    small, large = pose(100, 100, 0.5), pose(100, 100)
    assert similarity(large, small) > similarity(small, large)


def test_keypoints_that_are_not_seen_do_not_count() -> None:
    whole = pose(100, 100)
    head = seen(whole, range(5))._replace(xy=whole.xy + np.where(np.arange(17) < 5, 0, 500)[:, None])
    assert similarity(whole, head) == pytest.approx(5 / 17)
    assert similarity(whole, head, counted_in=head) == 1


def test_similarities_of_all_pairs_of_poses() -> None:
    poses, others = [pose(100, 100), pose(400, 100)], [pose(400, 100), pose(700, 100), pose(100, 100)]
    assert similarities(poses, others).round(2).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert similarities([], others).shape == (0, 3)


@pytest.mark.parametrize(
    ("values", "least", "pairs"),
    [
        ([[0.2, 0.9], [0.8, 0.1]], 0.5, {0: 1, 1: 0}),
        (
            [[0.9, 0.8], [0.8, 0.1]],
            0.1,
            {0: 0, 1: 1},
        ),  # the best pair comes first, at the expense of others
        ([[0.9, 0.8], [0.8, 0.1]], 0.2, {0: 0}),
        ([[0.7, 0.8], [0.6, 0.9]], 0.5, {1: 1, 0: 0}),
        ([[0.5, 0.5], [0.5, 0.5]], 0.5, {0: 0, 1: 1}),  # equal values: lower row and column first
        ([[0.3, 0.6, 0.9]], 0.5, {0: 2}),
        ([[0.3], [0.6]], 0.7, {}),
        (np.zeros((0, 3)), 0.0, {}),
        (np.zeros((3, 0)), 0.0, {}),
    ],
)
def test_the_most_similar_are_matched_first(values: Any, least: float, pairs: dict[int, int]) -> None:
    assert match_greedily(np.array(values, float), least=least) == pairs


def test_the_better_of_two_duplicates_stays() -> None:
    kept = pose_nms([pose(100, 100, score=0.3), pose(100, 100, score=0.7, shift=1), pose(300, 100, score=0.5)])
    assert [one.score for one in kept] == [0.7, 0.5]
    assert pose_nms([]) == []


def test_duplicates_are_found_with_the_area_of_either_pose() -> None:
    small, large = pose(100, 100, 0.8, score=0.9), pose(100, 100, score=0.4)
    least = (similarity(small, large) + similarity(large, small)) / 2
    assert pose_nms([small, large], duplicate=least) == [small]
    assert pose_nms([small._replace(score=0.1), large], duplicate=least) == [large]
    assert len(pose_nms([small, large], duplicate=1.0)) == 2


def test_a_dropped_pose_suppresses_no_other_pose() -> None:
    """A chain: neighbours are duplicates of each other; the first and the last are not."""
    chain = [pose(100 + 9 * index, 100, score=0.9 - index / 10) for index in range(3)]
    least = (similarity(chain[0], chain[1]) + similarity(chain[0], chain[2])) / 2
    assert [one.score for one in pose_nms(chain, duplicate=least)] == [chain[0].score, chain[2].score]

"""The multi-person decoder on maps that are made from known poses: it must return these poses."""

from __future__ import annotations

import numpy as np
import pytest

from posecli.decode import decode_multi
from posecli.skeleton import EDGE_COUNT, KEYPOINT_COUNT, PART_TREE
from posecli.types import Maps

from ..conftest import make_maps
from ..tiny_model import person_at

STRIDE = 16


def put_person(maps: Maps, xy: np.ndarray, score: float) -> None:
    """Write a person into maps: at the cell nearest to each part its score, short offset and displacements."""
    cells = np.floor(xy[:, ::-1] / STRIDE + 0.5).astype(int)
    for part, ((row, column), (x, y)) in enumerate(zip(cells, xy, strict=True)):
        maps.heatmaps[row, column, part] = score
        maps.offsets[row, column, [part, KEYPOINT_COUNT + part]] = y - row * STRIDE, x - column * STRIDE
    for edge, (parent, child) in enumerate(PART_TREE):
        for displacement, source, target in (
            (maps.displacement_fwd, parent, child),
            (maps.displacement_bwd, child, parent),
        ):
            change = xy[target] - xy[source]
            displacement[cells[source][0], cells[source][1], [edge, EDGE_COUNT + edge]] = change[::-1]


@pytest.fixture
def two_people() -> tuple[Maps, np.ndarray, np.ndarray]:
    maps = make_maps(25, 41, STRIDE)
    first, second = person_at(120.3, 90.7, 2.0), person_at(460.2, 101.9, 2.1)
    put_person(maps, first, 0.9)
    put_person(maps, second, 0.8)
    return maps, first, second


def test_known_people_are_decoded_exactly(two_people: tuple[Maps, np.ndarray, np.ndarray]) -> None:
    maps, *people = two_people
    poses = decode_multi(maps)
    assert len(poses) == 2
    for pose, xy, score in zip(poses, people, (0.9, 0.8), strict=True):
        np.testing.assert_allclose(pose.xy, xy, atol=1e-3)
        np.testing.assert_allclose(pose.scores, score, rtol=1e-6)
        assert pose.score == pytest.approx(score)


def test_max_poses_limits_the_number_of_poses(two_people: tuple[Maps, np.ndarray, np.ndarray]) -> None:
    maps, first, _ = two_people
    (only,) = decode_multi(maps, max_poses=1)
    np.testing.assert_allclose(only.xy, first, atol=1e-3)


def test_threshold_is_inclusive_and_in_double_precision() -> None:
    maps = make_maps(3, 3)
    maps.heatmaps[1, 1, 0] = 0.7  # float32(0.7) is slightly below 0.7
    assert decode_multi(maps, score_threshold=0.7) == []
    assert len(decode_multi(maps, score_threshold=float(np.float32(0.7)))) == 1


def test_maps_without_people_give_an_empty_list() -> None:
    assert decode_multi(make_maps(9, 9)) == []


def test_parts_of_an_earlier_person_do_not_count_in_the_score() -> None:
    maps = make_maps(25, 25, STRIDE)
    xy = person_at(200, 100, 2.0)
    put_person(maps, xy, 0.9)
    # A second root for the same nose, 32 px away: the rest of its skeleton has the first person's positions.
    maps.heatmaps[6, 15, 0] = 0.6
    poses = decode_multi(maps)
    assert len(poses) == 2
    assert poses[1].score < 0.1


def test_result_does_not_depend_on_memory_layout(two_people: tuple[Maps, np.ndarray, np.ndarray]) -> None:
    maps, *_ = two_people
    column_major = Maps(*(np.asfortranarray(getattr(maps, n)) for n in (
        "heatmaps", "offsets", "displacement_fwd", "displacement_bwd")), maps.output_stride)  # fmt: skip
    for a, b in zip(decode_multi(maps), decode_multi(column_major), strict=True):
        np.testing.assert_array_equal(a.xy, b.xy)

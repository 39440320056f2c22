"""The single-person decoder on small maps that can be checked by hand."""

from __future__ import annotations

import numpy as np

from posecli.decode import decode_single

from ..conftest import make_maps


def test_a_part_is_at_the_best_cell_plus_its_short_offset() -> None:
    maps = make_maps(3, 4)
    maps.heatmaps[2, 1, 5] = 0.8
    maps.offsets[2, 1, 5], maps.offsets[2, 1, 17 + 5] = -3.5, 7.25
    pose = decode_single(maps)
    assert pose.xy[5].tolist() == [1 * 32 + 7.25, 2 * 32 - 3.5]
    assert pose.scores[5] == np.float32(0.8)
    assert pose.score == np.float32(0.8) / 17


def test_the_first_cell_wins_among_equal_scores() -> None:
    maps = make_maps(2, 2)
    maps.heatmaps[..., 0] = 0.5
    assert decode_single(maps).xy[0].tolist() == [0, 0]


def test_maps_of_one_cell_are_decoded() -> None:
    assert decode_single(make_maps(1, 1)).xy.shape == (17, 2)

"""The decoder of MoveNet."""

from __future__ import annotations

import numpy as np
import pytest

from posecli.decode import SINGLE_PERSON_DECODERS, decode_output
from posecli.model.heads import SINGLE_PERSON_NETWORKS
from posecli.skeleton import KEYPOINT_IDS
from posecli.types import SinglePersonOutput


def test_fractions_become_input_pixels_x_first() -> None:
    values = np.zeros((1, 17, 3), np.float32)
    values[0, KEYPOINT_IDS["leftWrist"]] = 0.25, 0.75, 0.5
    pose = decode_output(SinglePersonOutput("movenet", values, 192))
    assert pose.xy[KEYPOINT_IDS["leftWrist"]].tolist() == [144, 48]
    assert pose.scores[KEYPOINT_IDS["leftWrist"]] == 0.5
    assert pose.score == pytest.approx(0.5 / 17)


def test_scores_are_clipped_and_positions_are_finite() -> None:
    values = np.full((1, 17, 3), np.finfo(np.float32).max)
    values[0, 0, 2] = -1
    pose = decode_output(SinglePersonOutput("movenet", values, 192))
    assert pose.scores.tolist() == [0, *[1] * 16]
    assert np.isfinite(pose.xy).all()


def test_every_single_person_network_has_a_decoder() -> None:
    assert set(SINGLE_PERSON_DECODERS) == {network.name for network in SINGLE_PERSON_NETWORKS}

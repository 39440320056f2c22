"""Both decoders equal the stored results of the reference decoders, for every case and every parameter set."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from posecli.decode import decode_multi, decode_single
from posecli.types import DecodedPose, Maps

from ..conftest import DATA

CASES = sorted((DATA / "fixtures" / "tfjs").glob("*.npz")) or [Path("absent.npz")]


def load(path: Path) -> tuple[Maps, dict, dict]:
    arrays = dict(np.load(path, allow_pickle=False))
    meta = json.loads(str(arrays["meta"]))
    names = ("heatmap", "offsets", "displacement_fwd", "displacement_bwd")
    return Maps(*(arrays[name] for name in names), meta["output_stride"]), meta, arrays


def assert_same(pose: DecodedPose, score: float, keypoints_yx: np.ndarray, scores: np.ndarray) -> None:
    # The relative tolerance is for cases with coordinates up to 1e25 px, the absolute one for all others.
    np.testing.assert_allclose(pose.xy, keypoints_yx[:, ::-1], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(pose.scores, scores, rtol=0, atol=1e-12)
    assert abs(pose.score - score) <= 1e-12


def multi_results(meta: dict, arrays: dict) -> Iterator[tuple[dict, list]]:
    for index, parameters in enumerate(meta["params"]):
        names = ("scores", "keypoints", "keypoint_scores")
        yield parameters, list(zip(*(arrays[f"multi{index}_{name}"] for name in names), strict=True))


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_decode_multi_equals_the_reference(path: Path, test_data: Path) -> None:
    maps, meta, arrays = load(path)
    for parameters, expected in multi_results(meta, arrays):
        poses = decode_multi(
            maps,
            max_poses=parameters["maxPoses"],
            score_threshold=parameters["scoreThreshold"],
            nms_radius=parameters["nmsRadius"],
        )
        assert len(poses) == len(expected)
        for pose, (score, keypoints, scores) in zip(poses, expected, strict=True):
            assert_same(pose, score, keypoints, scores)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_decode_single_equals_the_reference(path: Path, test_data: Path) -> None:
    maps, _, arrays = load(path)
    assert_same(
        decode_single(maps),
        arrays["single_score"],
        arrays["single_keypoints"],
        arrays["single_keypoint_scores"],
    )


def test_the_number_of_cases_is_complete(test_data: Path) -> None:
    assert len(CASES) == 61

"""The single-person decoder: each part is at the maximum of its heatmap."""

from __future__ import annotations

import numpy as np

from posecli.skeleton import KEYPOINT_COUNT
from posecli.types import DecodedPose, Maps


def decode_single(maps: Maps) -> DecodedPose:
    """Find one person. The position of each part is the cell with the highest score plus its short offset.

    There is always a pose, even if all its scores are low. The first cell in row-major order wins among equal scores.
    Positions are computed in float32, as in the reference (tfjs-models posenet 2.2, `decodeSinglePose`).
    """
    width = maps.heatmaps.shape[1]
    parts = np.arange(KEYPOINT_COUNT)
    rows, columns = np.divmod(maps.heatmaps.reshape(-1, KEYPOINT_COUNT).argmax(axis=0), width)
    cells_yx = np.stack([rows, columns], axis=1).astype(np.float32)
    offsets_yx = maps.offsets[rows, columns].reshape(KEYPOINT_COUNT, 2, KEYPOINT_COUNT)[parts, :, parts]
    position_yx = cells_yx * np.float32(maps.output_stride) + offsets_yx
    scores = maps.heatmaps[rows, columns, parts].astype(np.float64)
    return DecodedPose(
        xy=position_yx[:, ::-1].astype(np.float64),
        scores=scores,
        score=float(scores.mean()),
    )

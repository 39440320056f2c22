"""Refinement of decoded poses from the same maps: better positions and ranks, without a measurable cost.

The reference takes each part's position from one cell. The neighbouring cells have a short offset to the same part.
Each of these offsets is a vote for the part's position. The votes are averaged, weighted by their scores, like the
Hough voting of PersonLab (arXiv 1803.08225, section 3.1.1), which works on whole maps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from posecli.skeleton import FLIP_PAIRS, FLIPPED_EDGES, KEYPOINT_COUNT
from posecli.types import DecodedPose, Maps

#: Standard deviation of the weight of a vote over its distance from the decoded position, as a share of the output
#: stride.
VOTE_SPREAD = 0.5
#: Keypoints with a higher score count as detected in `certainty`.
DETECTED_SCORE = 0.2
_NEIGHBOURHOOD = np.stack(np.meshgrid((-1, 0, 1), (-1, 0, 1), indexing="ij"), axis=-1).reshape(-1, 2)


def refine(maps: Maps, pose: DecodedPose) -> DecodedPose:
    """Average each keypoint's position over the votes of the 3 × 3 nearest cells. Scores do not change."""
    stride, shape = maps.output_stride, np.array(maps.heatmaps.shape[:2])
    parts = np.arange(KEYPOINT_COUNT)[:, None]
    points_yx = pose.xy[:, None, ::-1]
    nearest = np.floor(points_yx / stride + 0.5).clip(0, shape - 1)
    cells = nearest + _NEIGHBOURHOOD
    inside = ((cells >= 0) & (cells < shape)).all(axis=2)
    rows, columns = np.moveaxis(cells.clip(0, shape - 1).astype(int), 2, 0)
    offsets = maps.offsets[rows, columns]
    votes_yx = cells * stride + np.stack(
        [
            np.take_along_axis(offsets, parts[:, :, None], axis=2)[:, :, 0],
            np.take_along_axis(offsets, parts[:, :, None] + KEYPOINT_COUNT, axis=2)[:, :, 0],
        ],
        axis=2,
    )
    squared_distances = ((votes_yx - points_yx) ** 2).sum(axis=2)
    weights = inside * maps.heatmaps[rows, columns, parts].astype(np.float64) ** 2
    weights *= np.exp(-squared_distances / (2 * (VOTE_SPREAD * stride) ** 2))
    total = weights.sum(axis=1)
    has_votes = total > 1e-9  # otherwise no vote is near, and the position does not change
    mean_yx = (weights[:, :, None] * votes_yx).sum(axis=1) / np.where(has_votes, total, 1)[:, None]
    return pose._replace(xy=np.where(has_votes[:, None], mean_yx[:, ::-1], pose.xy))


def certainty(pose: DecodedPose) -> float:
    """A pose's score for ranking, 0..1: the geometric mean of its score and the mean score of its detected keypoints.

    It separates poses of equal score: a pose with half of its keypoints at high scores ranks above one with all of
    them at half the score.
    """
    detected = pose.scores[pose.scores > DETECTED_SCORE]
    return float(np.sqrt(pose.score * detected.mean())) if detected.size else 0.0


def mirror_average(maps: Maps, mirrored: Maps, width: int) -> Maps:
    """Flip test: average the maps of an input and of its mirror image. Left and right parts are exchanged.

    width: width of the input in pixels. Short offsets are averaged with the heatmap scores as weights.
    """
    heat = mirrored.heatmaps[:, ::-1, list(FLIP_PAIRS)]
    # A point x of the mirror image is at width - x. The last cell is one pixel before the right border.
    border = width - (mirrored.heatmaps.shape[1] - 1) * maps.output_stride
    offsets = np.concatenate(
        [
            mirrored.offsets[:, ::-1, :KEYPOINT_COUNT][:, :, list(FLIP_PAIRS)],
            border - mirrored.offsets[:, ::-1, KEYPOINT_COUNT:][:, :, list(FLIP_PAIRS)],
        ],
        axis=2,
    )
    weights, mirrored_weights = (
        np.concatenate([scores, scores], axis=2) + np.float32(1e-3) for scores in (maps.heatmaps, heat)
    )
    return Maps(
        heatmaps=_mean(maps.heatmaps, heat),
        offsets=(maps.offsets * weights + offsets * mirrored_weights) / (weights + mirrored_weights),
        displacement_fwd=_mean(maps.displacement_fwd, _mirrored_edges(mirrored.displacement_fwd)),
        displacement_bwd=_mean(maps.displacement_bwd, _mirrored_edges(mirrored.displacement_bwd)),
        output_stride=maps.output_stride,
    )


def _mean(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return (first + second) * np.float32(0.5)


def _mirrored_edges(displacement: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    y, x = np.split(displacement[:, ::-1], 2, axis=2)
    return np.concatenate([y[:, :, list(FLIPPED_EDGES)], -x[:, :, list(FLIPPED_EDGES)]], axis=2)

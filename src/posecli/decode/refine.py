"""Better positions and ranks from the same maps, at no cost that could be measured.

The reference takes each part's position from one cell. The cells around it saw the same part and say by their own
short offsets where it lies: their votes, weighted by their scores, are averaged, as the Hough voting of PersonLab
(arXiv 1803.08225, section 3.1.1) does for whole maps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from posecli.skeleton import KEYPOINT_COUNT, TWIN_EDGES, TWIN_PARTS
from posecli.types import DecodedPose, Maps

#: Votes from further away than this count little: a share of the output stride (standard deviation).
VOTE_SPREAD = 0.5
#: Keypoints from this score on say how sure a pose is of what it sees.
SEEN_SCORE = 0.2
_AROUND = np.stack(np.meshgrid((-1, 0, 1), (-1, 0, 1), indexing="ij"), axis=-1).reshape(-1, 2)


def refine(maps: Maps, pose: DecodedPose) -> DecodedPose:
    """Average each keypoint's position over the votes of the nine cells around it. Scores stay as they are."""
    stride, shape = maps.output_stride, np.array(maps.heatmaps.shape[:2])
    parts = np.arange(KEYPOINT_COUNT)[:, None]
    points_yx = pose.xy[:, None, ::-1]
    nearest = np.floor(points_yx / stride + 0.5).clip(0, shape - 1)
    cells = nearest + _AROUND
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
    squared = ((votes_yx - points_yx) ** 2).sum(axis=2)
    weights = inside * maps.heatmaps[rows, columns, parts].astype(np.float64) ** 2
    weights *= np.exp(-squared / (2 * (VOTE_SPREAD * stride) ** 2))
    total = weights.sum(axis=1)
    heard = total > 1e-9  # nobody voted near enough: the position stays
    mean_yx = (weights[:, :, None] * votes_yx).sum(axis=1) / np.where(heard, total, 1)[:, None]
    return pose._replace(xy=np.where(heard[:, None], mean_yx[:, ::-1], pose.xy))


def certainty(pose: DecodedPose) -> float:
    """A pose's score for ranking, 0..1: the geometric mean of its share of the keypoints and of how sure it is of
    those that it sees. Two people of equal score differ in this: all of one half seen, or half of another well."""
    seen = pose.scores[pose.scores > SEEN_SCORE]
    return float(np.sqrt(pose.score * seen.mean())) if seen.size else 0.0


def mirror_average(maps: Maps, mirrored: Maps, width: int) -> Maps:
    """Join the maps of an input with those of its mirror image, whose left is the person's right.

    width: of the input, pixels. Offsets are averaged by the scores that stand behind them.
    """
    heat = mirrored.heatmaps[:, ::-1, list(TWIN_PARTS)]
    # A point x of the mirror image lies at width - x; the last cell lies a pixel before the right border.
    border = width - (mirrored.heatmaps.shape[1] - 1) * maps.output_stride
    offsets = np.concatenate(
        [
            mirrored.offsets[:, ::-1, :KEYPOINT_COUNT][:, :, list(TWIN_PARTS)],
            border - mirrored.offsets[:, ::-1, KEYPOINT_COUNT:][:, :, list(TWIN_PARTS)],
        ],
        axis=2,
    )
    ours, theirs = (np.concatenate([scores, scores], axis=2) + np.float32(1e-3) for scores in (maps.heatmaps, heat))
    return Maps(
        heatmaps=_mean(maps.heatmaps, heat),
        offsets=(maps.offsets * ours + offsets * theirs) / (ours + theirs),
        displacement_fwd=_mean(maps.displacement_fwd, _mirrored_edges(mirrored.displacement_fwd)),
        displacement_bwd=_mean(maps.displacement_bwd, _mirrored_edges(mirrored.displacement_bwd)),
        output_stride=maps.output_stride,
    )


def _mean(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return (first + second) * np.float32(0.5)


def _mirrored_edges(displacement: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    y, x = np.split(displacement[:, ::-1], 2, axis=2)
    return np.concatenate([y[:, :, list(TWIN_EDGES)], -x[:, :, list(TWIN_EDGES)]], axis=2)

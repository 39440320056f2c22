"""Similarity of poses: OKS, matching and pose NMS. All decisions whether two poses are one person are made here.

OKS (object keypoint similarity) is COCO's measure, https://cocodataset.org/#keypoints-eval: the mean over keypoints of
exp(-d² / (2 s² k²)). d is the distance of the two keypoints, s² the area of the person, k twice the keypoint's sigma.

Poses must be in one coordinate system before they are compared: picture pixels everywhere in posecli. Areas are in
square pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from posecli.skeleton import OKS_SIGMAS
from posecli.types import DecodedPose, Pose

#: Lowest score of certain keypoints: they define a person's box, and `compare` checks their positions.
CERTAIN_SCORE = 0.3
#: Lowest score of keypoints that count in the OKS of two poses.
COUNTED_SCORE = 0.15
#: Lowest score of keypoints that define the position and size of a tracked person.
VISIBLE_SCORE = 0.2
#: With fewer keypoints a person's position and size are unreliable, and all 17 keypoints are used instead.
LEAST_KEYPOINTS = 3

# The lowest OKS of two poses of one person, for each of four purposes.
#: Two passes, or two models, over one picture. People do not move between passes.
SAME_PERSON = 0.3
#: Pose NMS. Higher, because two people who stand close together must both stay.
DUPLICATE = 0.6
#: Two runs that are compared. Lower, because a large change must count as a moved person, not as one lost and one new.
MOVED_PERSON = 0.05
#: A tracked person in a later frame. Lower, because this OKS is multiplied by the similarity of colours.
TRACKED_PERSON = 0.1

_TWO_K_SQUARED = 2 * (2 * np.array(OKS_SIGMAS)) ** 2

Points = npt.NDArray[np.float64]
Values = npt.NDArray[np.float64]


def as_decoded(pose: Pose) -> DecodedPose:
    """A record's pose as arrays, in picture pixels."""
    numbers = np.array([(point.x, point.y, point.score) for point in pose.keypoints])
    return DecodedPose(numbers[:, :2], numbers[:, 2], pose.score)


def extent(xy: Points, scores: Values, least_score: float) -> tuple[Points, Points]:
    """The box around the keypoints of at least this score: corner of lowest x, y and corner of highest x, y.

    xy: [17, 2]. scores: [17]. If fewer than three keypoints have that score, the box is around all 17.
    """
    certain = xy[scores >= least_score]
    points = certain if len(certain) >= LEAST_KEYPOINTS else xy
    return points.min(axis=0), points.max(axis=0)


def mean_side(corner: Points, far_corner: Points) -> float:
    """The geometric mean of a box's sides, pixels, at least 1: the size of a person."""
    return float(np.sqrt(np.prod(np.maximum(far_corner - corner, 1))))


def body_box(pose: DecodedPose) -> tuple[Points, Points]:
    """The box around a person's certain keypoints: both corners, as `extent` gives them."""
    return extent(pose.xy, pose.scores, CERTAIN_SCORE)


def body_area(pose: DecodedPose) -> float:
    """The area of the body box, square pixels, at least 1: the scale s² of a pose's OKS."""
    corner, far_corner = body_box(pose)
    return max(float(np.prod(far_corner - corner)), 1.0)


def keypoint_similarities(xy: Points, other_xy: Points, *, area: float, tolerance: float = 1.0) -> Values:
    """The similarity of each keypoint, [..., 17] of 0..1.

    xy, other_xy: [..., 17, 2].
    area: the scale s², square pixels. COCO uses the area of the annotated person, posecli `body_area`.
    tolerance: factor on all sigmas, for poses that may differ by more than annotators disagree.
    """
    squared: Values = ((xy - other_xy) ** 2).sum(axis=-1)
    return np.exp(-squared / (area * tolerance**2 * _TWO_K_SQUARED))


def oks(
    xy: Points,
    other_xy: Points,
    *,
    area: float,
    counted: npt.NDArray[np.bool_],
    least_counted: int = 1,
    tolerance: float = 1.0,
) -> float:
    """The mean of `keypoint_similarities` over the counted keypoints; over all if fewer than `least_counted` count.

    xy, other_xy: [17, 2]. counted: [17].
    """
    values = keypoint_similarities(xy, other_xy, area=area, tolerance=tolerance)
    return float(values[counted if counted.sum() >= least_counted else slice(None)].mean())


def similarity(pose: DecodedPose, other: DecodedPose, *, counted_in: DecodedPose | None = None) -> float:
    """The OKS of two poses, 0..1, with the area of `pose`.

    counted_in: only keypoints that score at least `COUNTED_SCORE` in this pose count; None: in `pose`.
    """
    counted = (pose if counted_in is None else counted_in).scores >= COUNTED_SCORE
    return oks(pose.xy, other.xy, area=body_area(pose), counted=counted)


def mutual_similarity(pose: DecodedPose, other: DecodedPose) -> float:
    """The greater of the OKS with the area of `pose` and the OKS with the area of `other`, 0..1."""
    return max(similarity(pose, other), similarity(other, pose))


def similarities(poses: Sequence[DecodedPose], others: Sequence[DecodedPose]) -> Values:
    """The similarity of every other pose to every pose, [poses, others]."""
    values = [similarity(pose, other) for pose in poses for other in others]
    return np.array(values, np.float64).reshape(len(poses), len(others))


def match_greedily(values: Values, *, least: float) -> dict[int, int]:
    """Match rows to columns greedily, in descending similarity: each row and column at most once, none below `least`.

    values: [rows, columns]. Of equal values the one with the lower row, then with the lower column, comes first.
    """
    pairs: dict[int, int] = {}
    for (row, column), value in sorted(np.ndenumerate(values), key=lambda cell: -cell[1]):
        if value >= least and row not in pairs and column not in pairs.values():
            pairs[row] = column
    return pairs


def pose_nms(poses: Sequence[DecodedPose], *, duplicate: float = DUPLICATE) -> list[DecodedPose]:
    """Non-maximum suppression: of every two poses of one person keep that with the higher score. In descending score.

    duplicate: lowest `mutual_similarity` of two poses of one person.
    """
    kept: list[DecodedPose] = []
    for pose in sorted(poses, key=lambda pose: -pose.score):
        if all(mutual_similarity(other, pose) < duplicate for other in kept):
            kept.append(pose)
    return kept

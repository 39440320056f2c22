"""How similar poses are: OKS, matching and pose NMS. Whoever asks whether two poses are one person asks here.

OKS (object keypoint similarity) is COCO's measure, https://cocodataset.org/#keypoints-eval: the mean over keypoints of
exp(-d² / (2 s² k²)). d is the distance of the two keypoints, s² the area of the person, k twice the keypoint's sigma.

Poses that are compared share one frame: picture pixels everywhere in posecli. Areas are in its square pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from posecli.skeleton import OKS_SIGMAS
from posecli.types import DecodedPose, Pose

#: Keypoints from this score on are certain: they make up a person's box, and comparisons look at their positions.
CERTAIN_SCORE = 0.3
#: Keypoints from this score on count in the OKS of two poses.
COUNTED_SCORE = 0.15
#: Keypoints from this score on show where a tracked person is, and how large.
SEEN_SCORE = 0.2
#: Fewer keypoints do not show a person's size and position: all 17 are used instead.
LEAST_KEYPOINTS = 3

# The least OKS of two poses of one person. Four questions are asked, so there are four numbers.
#: Do two passes, or two models, see one person in one picture? People do not move between passes.
SAME_PERSON = 0.3
#: Is a pose a duplicate, to be dropped? Higher: two people who stand close together must both stay.
DUPLICATE = 0.6
#: Did a person move between two runs? Lower: a large change is reported as a moved person, not as one lost and one new.
MOVED_PERSON = 0.05
#: Is this a tracked person, in a later frame? Lower: this OKS is multiplied by the similarity of colours.
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

    xy: [17, 2]. scores: [17]. The box is around all keypoints where fewer than three have that score.
    """
    certain = xy[scores >= least_score]
    points = certain if len(certain) >= LEAST_KEYPOINTS else xy
    return points.min(axis=0), points.max(axis=0)


def mean_side(corner: Points, far_corner: Points) -> float:
    """The mean side of a box between two corners, pixels, at least 1: how large somebody is."""
    return float(np.sqrt(np.prod(np.maximum(far_corner - corner, 1))))


def body_box(pose: DecodedPose) -> tuple[Points, Points]:
    """The box around a person's certain keypoints: both corners, as `extent` gives them."""
    return extent(pose.xy, pose.scores, CERTAIN_SCORE)


def body_area(pose: DecodedPose) -> float:
    """The area of that box, square pixels, at least 1: the scale of the OKS of a pose."""
    corner, far_corner = body_box(pose)
    return max(float(np.prod(far_corner - corner)), 1.0)


def keypoint_similarities(xy: Points, other_xy: Points, *, area: float, tolerance: float = 1.0) -> Values:
    """The similarity of each keypoint, [..., 17] of 0..1.

    xy, other_xy: [..., 17, 2].
    area: the scale s², square pixels: COCO takes the area of the annotated person, posecli `body_area`.
    tolerance: factor on all sigmas, for poses that may be further apart than annotators disagree.
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
    """The mean of `keypoint_similarities` over the counted keypoints; over all where fewer than `least_counted` are.

    xy, other_xy: [17, 2]. counted: [17].
    """
    values = keypoint_similarities(xy, other_xy, area=area, tolerance=tolerance)
    return float(values[counted if counted.sum() >= least_counted else slice(None)].mean())


def similarity(pose: DecodedPose, other: DecodedPose, *, seen_by: DecodedPose | None = None) -> float:
    """The OKS of another pose to this one, 0..1, on the scale of this one.

    seen_by: the pose whose seen keypoints count; None: this one.
    """
    counted = (pose if seen_by is None else seen_by).scores >= COUNTED_SCORE
    return oks(pose.xy, other.xy, area=body_area(pose), counted=counted)


def mutual_similarity(pose: DecodedPose, other: DecodedPose) -> float:
    """The OKS of two poses on the scale of either, the greater one, 0..1."""
    return max(similarity(pose, other), similarity(other, pose))


def similarities(poses: Sequence[DecodedPose], others: Sequence[DecodedPose]) -> Values:
    """The similarity of every other pose to every pose, [poses, others]."""
    values = [similarity(pose, other) for pose in poses for other in others]
    return np.array(values, np.float64).reshape(len(poses), len(others))


def match_greedily(values: Values, *, least: float) -> dict[int, int]:
    """Pairs, row to column: the most similar first, each row and column once, none below `least`.

    values: [rows, columns]. Of equal pairs the one of the lower row, then of the lower column, goes first.
    """
    pairs: dict[int, int] = {}
    for (row, column), value in sorted(np.ndenumerate(values), key=lambda cell: -cell[1]):
        if value >= least and row not in pairs and column not in pairs.values():
            pairs[row] = column
    return pairs


def pose_nms(poses: Sequence[DecodedPose], *, duplicate: float = DUPLICATE) -> list[DecodedPose]:
    """Non-maximum suppression: of every two poses of one person that with the higher score, in falling score.

    duplicate: poses are of one person from this OKS on, measured on the scale of either.
    """
    kept: list[DecodedPose] = []
    for pose in sorted(poses, key=lambda pose: -pose.score):
        if all(mutual_similarity(other, pose) < duplicate for other in kept):
            kept.append(pose)
    return kept

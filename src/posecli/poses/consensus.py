"""Merge the poses of several passes over one picture.

A pass is one run of the network over a picture or a crop, at one input size, mirrored or turned. Poses of one person
are grouped by OKS, and their keypoints are averaged by score. A person that a pass could have seen and missed loses
score. Averaging is better than a union with NMS, because the errors of different passes cancel out. PersonLab merges
scales in the same way (arXiv 1803.08225, section 4.2), but on maps. Merging poses instead allows passes of different
size, crop, angle and network.

All poses are in picture pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np

from posecli.poses.angles import lean
from posecli.poses.similarity import (
    CERTAIN_SCORE,
    SAME_PERSON,
    body_box,
    keypoint_similarities,
    mutual_similarity,
    pose_nms,
    similarity,
)
from posecli.skeleton import KEYPOINT_IDS
from posecli.types import DecodedPose

#: Lowest OKS of one person's poses in two passes over the whole picture.
SAME_IN_PASSES = 0.45
#: Size at which PoseNet is most precise: longer side of the body box in the input, pixels.
BEST_SIZE_PX = (200.0, 400.0)
#: Outside of that range the visibility falls to 1/e at this distance, in natural logarithms of the size ...
SIZE_SPREAD = log(2)
#: ... but not below this value.
LEAST_VISIBILITY = 0.2
#: Weight of a second pass over a person, relative to a pass over the whole picture.
CROP_WEIGHT = 4.0
#: Score from second passes if all of them miss the person. It equals the default of `min_pose_score`, so that second
#: passes alone remove nobody.
UNSEEN_SCORE = 0.15
#: Factor on scores from turned pictures: they contain more false detections.
TURNED_WEIGHT = 0.8
#: Poses from passes at different turns are one person if their OKS, or the overlap of their boxes, is at least this.
TURNED_DUPLICATE = 0.3
TURNED_OVERLAP = 0.5

_LEAST_WEIGHT = 0.001
_SHOULDERS, _HIPS = ((KEYPOINT_IDS[f"left{part}"], KEYPOINT_IDS[f"right{part}"]) for part in ("Shoulder", "Hip"))


class Pass(NamedTuple):
    """The poses that one pass found. scale: input pixels per picture pixel."""

    poses: Sequence[DecodedPose]
    scale: float


class View(NamedTuple):
    """One person in one pass; pose is None if the pass did not find the person.

    scale: input pixels per picture pixel. weight: relative to a pass over the whole picture.
    """

    pose: DecodedPose | None
    scale: float
    weight: float = 1.0


class Candidate(NamedTuple):
    """A person found by the passes over the whole picture. pose: merged. views: one for each pass.

    turn: degrees by which the picture was turned back for these passes: the person's clockwise turn in the picture.
    """

    pose: DecodedPose
    views: tuple[View, ...]
    turn: float = 0.0


def merge_passes(passes: Sequence[Pass], *, turn: float = 0.0) -> list[Candidate]:
    """Merge passes over one region into candidates, without duplicates, in descending score.

    A person's score is the mean over all passes, weighted by `visibility`; a pass that missed the person counts as 0.
    turn: as in `Candidate`.
    """
    candidates = []
    for views in _group(passes):
        pose = merge(views)
        weighted = pose._replace(score=TURNED_WEIGHT * pose.score) if turn else pose
        candidates.append(Candidate(weighted, views, turn))
    return _without_duplicates(candidates)


def _without_duplicates(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates that pose NMS keeps, in descending score."""
    by_pose = {id(candidate.pose): candidate for candidate in candidates}
    return [by_pose[id(pose)] for pose in pose_nms([candidate.pose for candidate in by_pose.values()])]


def _group(passes: Sequence[Pass]) -> Iterator[tuple[View, ...]]:
    """For each person one view of each pass. Each group starts with the best free pose, the seed, and takes the most
    similar free pose of every other pass."""
    free = [list(one.poses) for one in passes]
    seeds = sorted(((pose, k) for k, poses in enumerate(free) for pose in poses), key=lambda seed: -seed[0].score)
    for seed, seed_pass in seeds:
        if not _remove(free[seed_pass], seed):
            continue
        found = [seed if k == seed_pass else _take_most_similar(seed, poses) for k, poses in enumerate(free)]
        yield tuple(View(pose, one.scale) for pose, one in zip(found, passes, strict=True))


def _remove(poses: list[DecodedPose], pose: DecodedPose) -> bool:
    """Remove a pose from a list. Return whether the list contained it."""
    for index, other in enumerate(poses):
        if other is pose:
            del poses[index]
            return True
    return False


def _take_most_similar(seed: DecodedPose, poses: list[DecodedPose]) -> DecodedPose | None:
    values = [similarity(seed, pose) for pose in poses]
    if not values or max(values) < SAME_IN_PASSES:
        return None
    return poses.pop(values.index(max(values)))


def visibility(size_px: float) -> float:
    """The weight of a pass for a person of this size, 0..1. size_px: longer side of the body box, input pixels."""
    low, high = BEST_SIZE_PX
    distance = max(log(low / size_px), log(size_px / high), 0.0) / SIZE_SPREAD
    return max(exp(-(distance**2)), LEAST_VISIBILITY)


def merge(views: Sequence[View]) -> DecodedPose:
    """Merge the views of one person into one pose. At least one view must have a pose.

    Positions are averaged with the weights: squared keypoint score, pose score, visibility. A keypoint's score is the
    maximum over the views of its score times the OKS of its position to the average, so that a limb which only one view
    sees clearly is not lost. The pose's score is as in `merge_passes`. A single view is returned unchanged.
    """
    if len(views) == 1 and views[0].pose is not None:
        return views[0].pose
    poses = [view.pose for view in views if view.pose is not None]
    size = float(np.median([longer_side(pose) for pose in poses]))
    trust = np.array([view.weight * visibility(size * view.scale) for view in views])
    seen = trust[[view.pose is not None for view in views]] * [pose.score for pose in poses]
    scores = np.array([pose.scores for pose in poses])
    weights = (scores + _LEAST_WEIGHT) ** 2 * (seen[:, None] + _LEAST_WEIGHT**2)
    weights /= weights.sum(axis=0)
    views_xy = np.array([pose.xy for pose in poses])
    xy = (weights[:, :, None] * views_xy).sum(axis=0)
    near = keypoint_similarities(views_xy, xy, area=size**2 / 2)
    return DecodedPose(xy, (near * scores).max(axis=0), float(seen.sum() / trust.sum()))


def longer_side(pose: DecodedPose) -> float:
    """The longer side of the body box, pixels, at least 1."""
    corner, far_corner = body_box(pose)
    return max(float((far_corner - corner).max()), 1.0)


def confirm(candidate: Candidate, second_views: Sequence[View]) -> Candidate:
    """Merge a candidate with the views of second passes.

    Positions are merged from all views. The score is the geometric mean of the first passes' score and the second
    passes' score: their errors are independent, because a crop hides what misled the first passes. If all second passes
    miss the person, the pose stays and its score falls.
    """
    if not second_views:
        return candidate
    pose = candidate.pose
    if all(view.pose is None for view in second_views):
        return candidate._replace(pose=pose._replace(score=sqrt(pose.score * UNSEEN_SCORE)))
    second = merge(second_views)
    weighted = [view._replace(weight=CROP_WEIGHT * view.weight) for view in second_views]
    merged = merge([*candidate.views, *weighted])
    return candidate._replace(pose=merged._replace(score=sqrt(pose.score * second.score)))


def same_person(reference: DecodedPose, found: Iterable[DecodedPose]) -> DecodedPose | None:
    """The pose of a crop that shows the same person as `reference`, by OKS times score; None if there is none."""
    similar = [(similarity(reference, pose), pose) for pose in found]
    matches = [(value * pose.score, pose) for value, pose in similar if value >= SAME_PERSON]
    return max(matches, key=lambda match: match[0])[1] if matches else None


def drop_worse_turns(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Drop candidates of people whom passes at another turn show with a higher score. In descending score.

    A network mixes up the parts of a person that is upside down, and such a pose has a low OKS to the right one.
    Therefore the overlap of the boxes counts too.
    """
    kept: list[Candidate] = []
    for one in sorted(candidates, key=lambda candidate: -candidate.pose.score):
        if not any(other.turn != one.turn and _show_one_person(one.pose, other.pose) for other in kept):
            kept.append(one)
    return kept


def _show_one_person(pose: DecodedPose, other: DecodedPose) -> bool:
    return mutual_similarity(pose, other) >= TURNED_DUPLICATE or _overlap(pose, other) >= TURNED_OVERLAP


def _overlap(pose: DecodedPose, other: DecodedPose) -> float:
    """The intersection of two body boxes as a share of the smaller one."""
    (low, high), (other_low, other_high) = body_box(pose), body_box(other)
    common = np.maximum(np.minimum(high, other_high) - np.maximum(low, other_low), 0).prod()
    smaller = min((high - low).prod(), (other_high - other_low).prod())
    return float(common / max(smaller, 1.0))


def trunk_angle(pose: DecodedPose) -> float | None:
    """The clockwise angle of a person's trunk, hips to shoulders, from upright, degrees, -180..180.

    None if shoulders or hips are uncertain.
    """
    if min(pose.scores[list(pair)].mean() for pair in (_SHOULDERS, _HIPS)) < CERTAIN_SCORE:
        return None
    hips, shoulders = (pose.xy[list(pair)].mean(axis=0) for pair in (_HIPS, _SHOULDERS))
    return lean(tuple(hips), tuple(shoulders))

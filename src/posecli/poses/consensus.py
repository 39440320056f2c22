"""Where passes meet: what several passes over one picture say together about the people in it.

A pass is one run of the network over a picture or a crop, at some size, mirrored or turned. Passes that see the same
person are grouped by OKS, keypoints are averaged by score, and a person whom a pass could have seen and did not see
loses rank. Averages over passes gain where a plain union with NMS does not: each pass has errors of its own, and they
cancel out. PersonLab joins scales so (arXiv 1803.08225, section 4.2); the rules here work on poses instead of maps, so
that passes may differ in size, crop, angle and network.

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

#: Two whole-picture passes show one person from this OKS on.
SAME_IN_PASSES = 0.45
#: PoseNet sees people best who are this large in its input: longer side of the body box, pixels ...
BEST_SIZE_PX = (200.0, 400.0)
#: ... and trusts a pass less, the further it is from there (in natural logarithms of the size) ...
SIZE_SPREAD = log(2)
#: ... but never less than this.
LEAST_VISIBILITY = 0.2
#: A closer pass says more about a person than a pass over all of the picture does.
CROP_WEIGHT = 4.0
#: The score of closer passes none of which shows the person: that of the least pose that is kept by default, so that a
#: closer look alone makes nobody disappear.
UNSEEN_SCORE = 0.15
#: People found in a turned picture are people more rarely: their scores are multiplied by this.
TURNED_WEIGHT = 0.8
#: Poses of passes at different turns show one person from this OKS on, or from this overlap of their boxes on.
TURNED_DUPLICATE = 0.3
TURNED_OVERLAP = 0.5

_LEAST_WEIGHT = 0.001
_SHOULDERS, _HIPS = ((KEYPOINT_IDS[f"left{part}"], KEYPOINT_IDS[f"right{part}"]) for part in ("Shoulder", "Hip"))


class Pass(NamedTuple):
    """Everybody whom one pass found. scale: input pixels to a picture pixel."""

    poses: Sequence[DecodedPose]
    scale: float


class View(NamedTuple):
    """One person in one pass; pose is None where the pass did not find the person.

    scale: input pixels to a picture pixel. weight: relative to one pass over the whole picture.
    """

    pose: DecodedPose | None
    scale: float
    weight: float = 1.0


class Candidate(NamedTuple):
    """A person as the passes over the whole picture agree, and what each of them says.

    turn: degrees clockwise by which the picture was turned back for these passes.
    """

    pose: DecodedPose
    views: tuple[View, ...]
    turn: float = 0.0


def agree(passes: Sequence[Pass], *, turn: float = 0.0) -> list[Candidate]:
    """The people whom passes over one region show, without duplicates, in falling score.

    A person's score is the mean over all passes, 0 where a pass did not see the person, weighted by `visibility`.
    turn: degrees clockwise by which the picture was turned back for the passes.
    """
    candidates = []
    for views in _group(passes):
        pose = merge(views)
        ranked = pose._replace(score=TURNED_WEIGHT * pose.score) if turn else pose
        candidates.append(Candidate(ranked, views, turn))
    return _without_duplicates(candidates)


def _without_duplicates(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates that pose NMS keeps, in falling score."""
    by_pose = {id(candidate.pose): candidate for candidate in candidates}
    return [by_pose[id(pose)] for pose in pose_nms([candidate.pose for candidate in by_pose.values()])]


def _group(passes: Sequence[Pass]) -> Iterator[tuple[View, ...]]:
    """One view of each pass for each person: the pose of highest score, and the most similar of each other pass."""
    free = [list(one.poses) for one in passes]
    seeds = sorted(((pose, k) for k, poses in enumerate(free) for pose in poses), key=lambda seed: -seed[0].score)
    for seed, own in seeds:
        if not _remove(free[own], seed):
            continue
        found = [seed if k == own else _take_most_similar(seed, poses) for k, poses in enumerate(free)]
        yield tuple(View(pose, one.scale) for pose, one in zip(found, passes, strict=True))


def _remove(poses: list[DecodedPose], pose: DecodedPose) -> bool:
    """Whether it was there."""
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
    """How far a pass can be trusted with a person of this size in its input (longer side of the body box), 0..1."""
    low, high = BEST_SIZE_PX
    distance = max(log(low / size_px), log(size_px / high), 0.0) / SIZE_SPREAD
    return max(exp(-(distance**2)), LEAST_VISIBILITY)


def merge(views: Sequence[View]) -> DecodedPose:
    """One pose of all views of a person, at least one of which has a pose.

    Positions are averaged by the squares of keypoint scores, by pose scores and by visibility. A keypoint's score is
    the highest that a view gives it, multiplied by the similarity of that view's position to the average: a limb that
    one view sees clearly is not lost. The pose's score is as in `agree`. A single view stays as it is.
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
    """Of the box around a person's certain keypoints, pixels, at least 1."""
    corner, far_corner = body_box(pose)
    return max(float((far_corner - corner).max()), 1.0)


def confirm(candidate: Candidate, closer: Sequence[View]) -> Candidate:
    """A person after closer views.

    All views are merged into the positions. The rank is the geometric mean of what the passes over the whole picture
    say and of what the closer ones say: they err independently, for a crop hides what misled the others. Where none of
    these shows the person, the pose stays and loses rank.
    """
    if not closer:
        return candidate
    pose = candidate.pose
    if all(view.pose is None for view in closer):
        return candidate._replace(pose=pose._replace(score=sqrt(pose.score * UNSEEN_SCORE)))
    near = merge(closer)
    weighted = [view._replace(weight=CROP_WEIGHT * view.weight) for view in closer]
    everything = merge([*candidate.views, *weighted])
    return candidate._replace(pose=everything._replace(score=sqrt(pose.score * near.score)))


def same_person(known: DecodedPose, found: Iterable[DecodedPose]) -> DecodedPose | None:
    """Of the poses in a crop the one of a known person, by OKS and score; None where there is none."""
    similar = [(similarity(known, pose), pose) for pose in found]
    matches = [(value * pose.score, pose) for value, pose in similar if value >= SAME_PERSON]
    return max(matches, key=lambda match: match[0])[1] if matches else None


def best_way_up(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates, in falling score, without those that show somebody whom passes at another turn show better.

    A network that sees a person upside down mixes up the parts: such a pose is far from the right one by OKS, so the
    overlap of the boxes decides too.
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
    """Degrees by which a person's trunk, hips to shoulders, is turned clockwise from upright, -180..180.

    None where shoulders or hips are uncertain.
    """
    if min(pose.scores[list(pair)].mean() for pair in (_SHOULDERS, _HIPS)) < CERTAIN_SCORE:
        return None
    hips, shoulders = (pose.xy[list(pair)].mean(axis=0) for pair in (_HIPS, _SHOULDERS))
    return lean(tuple(hips), tuple(shoulders))

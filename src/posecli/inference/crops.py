"""The second look: where to crop, and what of a crop belongs to whom. Works on poses in picture pixels.

PoseNet sees people best at one size and with some room around them. The first look tells where people are; each is
cropped from the full-resolution picture at that size and looked at again, and what both looks say is joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log, sqrt
from typing import NamedTuple

import numpy as np

from posecli.poses.similarity import SAME_PERSON, body_area, body_box, keypoint_similarities, similarity
from posecli.types import INPUT_SIZE_STEP, MAX_INPUT_SIZE, DecodedPose

#: A crop's sides relative to the box around the person's certain keypoints: the room helps up to here.
MARGIN = 2.0
#: Crops smaller than this, in picture pixels, show nothing more.
MIN_CROP_PX = 8.0
#: Shapes of crops, longer to shorter side, upright or lying: few, so that interpreters are used again.
_SHAPES = (1.0, 1.6, 2.4)

Box = tuple[float, float, float, float]


class Crop(NamedTuple):
    """A part of the picture to look at again: left, top, right, bottom in picture pixels; the input's height, width."""

    box: Box
    size_hw: tuple[int, int]

    @property
    def scale(self) -> float:
        """Picture pixels to an input pixel."""
        left, _, right, _ = self.box
        return (right - left) / self.size_hw[1]


def person_crop(
    pose: DecodedPose,
    picture_wh: tuple[int, int],
    size: int,
    *,
    least_scale: float = 0.0,
    largest: int = MAX_INPUT_SIZE,
) -> Crop | None:
    """The crop around a person, inside the picture; None where there is nothing to see.

    size: the input has about size × size pixels, and more where that would show a picture pixel at less than
    least_scale input pixels, up to about largest × largest.
    """
    corner, far_corner = body_box(pose)
    half = np.maximum((far_corner - corner) / 2 * MARGIN, MIN_CROP_PX / 2)
    half = np.maximum(half, half.max() / _SHAPES[-1])
    centre = (corner + far_corner) / 2
    low, high = np.maximum(centre - half, 0), np.minimum(centre + half, picture_wh)
    width, height = high - low
    if min(width, height) < MIN_CROP_PX / 2:
        return None
    shape = min(_SHAPES, key=lambda ratio: abs(log(ratio) - abs(log(width / height))))
    wanted = min(max(size, least_scale * sqrt(width * height)), max(size, largest))
    size_hw = _crop_size(shape, wanted, upright=width < height)
    return Crop((low[0], low[1], high[0], high[1]), size_hw)


def _crop_size(shape: float, size: float, *, upright: bool) -> tuple[int, int]:
    """Height and width of an input of about size × size pixels, the longer side `shape` times the shorter."""
    longer, shorter = (_whole_cells(size * shape**power) for power in (0.5, -0.5))
    return (longer, shorter) if upright else (shorter, longer)


def _whole_cells(pixels: float) -> int:
    return max(round((pixels - 1) / INPUT_SIZE_STEP), 2) * INPUT_SIZE_STEP + 1


def fills(pose: DecodedPose, picture_wh: tuple[int, int]) -> float:
    """The share of a picture's height or width, whichever is more, that a person takes up."""
    corner, far_corner = body_box(pose)
    return float(((far_corner - corner) / picture_wh).max())


def join_looks(first: DecodedPose, found: Iterable[DecodedPose]) -> DecodedPose | None:
    """What the two looks say together about one person; None where the second did not find it.

    Positions are averaged by scores where the looks agree; the rank is the geometric mean of both.
    """
    second = same_person(first, found)
    if second is None:
        return None
    weight = second.scores**2 + 1e-6
    first_weight = first.scores**2 * keypoint_similarities(first.xy, second.xy, area=body_area(first))
    xy = (first.xy * first_weight[:, None] + second.xy * weight[:, None]) / (first_weight + weight)[:, None]
    return DecodedPose(xy, second.scores, float(np.sqrt(first.score * second.score)))


def same_person(known: DecodedPose, found: Iterable[DecodedPose]) -> DecodedPose | None:
    """Who of those found is a person known, by similarity and by how sure they are; None where nobody is."""
    similar = [(similarity(known, pose), pose) for pose in found]
    matches = [(likeness * pose.score, pose) for likeness, pose in similar if likeness >= SAME_PERSON]
    return max(matches, key=lambda match: match[0])[1] if matches else None


def average(poses: Sequence[DecodedPose]) -> DecodedPose:
    """What several looks at one person say: positions by the squares of their scores, scores alike."""
    scores = np.array([pose.scores for pose in poses])
    weights = (scores**2 + 1e-6)[:, :, None]
    xy = (weights * np.array([pose.xy for pose in poses])).sum(axis=0) / weights.sum(axis=0)
    return DecodedPose(xy, scores.mean(axis=0), float(np.mean([pose.score for pose in poses])))


def put_together(poses: Sequence[DecodedPose], large: Iterable[DecodedPose]) -> list[DecodedPose]:
    """Add large people to those that a finer look found. It may have seen pieces of them, which then go; where it saw
    one of them better, they stay as it saw them."""
    together = list(poses)
    for person in large:
        pieces = [pose for pose in together if _lies_on(pose, person)]
        if all(pose.score < person.score for pose in pieces):
            together = [pose for pose in together if not any(pose is piece for piece in pieces)] + [person]
    return together


def _lies_on(piece: DecodedPose, person: DecodedPose) -> bool:
    """Whether what one pose sees are keypoints of the other."""
    return similarity(person, piece, seen_by=piece) >= SAME_PERSON

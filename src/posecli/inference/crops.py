"""The crops of second passes: which part of a picture, at which input size and angle.

PoseNet is most precise for people of one size, upright, and with some margin around them. The first passes find the
people; each person is then cropped from the full-resolution picture at that size and angle.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from posecli.inputs.pictures import turned_bounds, turned_xy
from posecli.poses.similarity import Points, body_box
from posecli.types import INPUT_SIZE_STEP, DecodedPose

#: The sides of a crop relative to the body box. A larger margin does not improve precision.
MARGIN = 2.0
#: The same for networks for a single person, which are trained with people who fill the input.
SQUARE_MARGIN = 1.3
#: Smallest side of a crop, picture pixels: smaller crops show no more detail.
MIN_CROP_PX = 8.0
#: Aspect ratios of crops, longer to shorter side, portrait or landscape. Few, so that interpreters can be reused.
_SHAPES = (1.0, 1.6, 2.4)

Box = tuple[float, float, float, float]


class Crop(NamedTuple):
    """A part of a picture.

    box: left, top, right, bottom in pixels of the picture turned back by `turn` degrees (`inputs.pictures.Transform`).
    size_hw: height and width of the input.
    """

    box: Box
    size_hw: tuple[int, int]
    turn: float = 0.0

    @property
    def scale(self) -> float:
        """Picture pixels per input pixel."""
        left, _, right, _ = self.box
        return (right - left) / self.size_hw[1]


def person_crop(pose: DecodedPose, picture_wh: tuple[int, int], size: int, *, turn: float = 0.0) -> Crop | None:
    """The crop around a person, inside the picture; None if the person is outside.

    size: the input has about size × size pixels. turn: the person's clockwise angle from upright, degrees; the crop is
    turned by the same angle.
    """
    centre, half = _upright_box(pose, turn)
    half = np.maximum(half * MARGIN, MIN_CROP_PX / 2)
    half = np.maximum(half, half.max() / _SHAPES[-1])
    bounds: npt.NDArray[np.float64] = np.array(turned_bounds(picture_wh, turn)).reshape(2, 2)
    low, high = np.maximum(centre - half, bounds[0]), np.minimum(centre + half, bounds[1])
    width, height = high - low
    if min(width, height) < MIN_CROP_PX / 2:
        return None
    shape = min(_SHAPES, key=lambda ratio: abs(log(ratio) - abs(log(width / height))))
    return Crop((low[0], low[1], high[0], high[1]), _crop_size(shape, size, upright=width < height), turn)


def square_crop(pose: DecodedPose, picture_wh: tuple[int, int], size: int, *, turn: float = 0.0) -> Crop | None:
    """The square around a person, for a network with an input of size × size; None if the person is outside.

    The square may extend beyond the picture, so that proportions are kept.
    """
    (x, y), sides = _upright_box(pose, turn)
    half = max(float(sides.max()) * SQUARE_MARGIN, MIN_CROP_PX / 2)
    left, top, right, bottom = turned_bounds(picture_wh, turn)
    if not (left < x < right and top < y < bottom):
        return None
    return Crop((x - half, y - half, x + half, y + half), (size, size), turn)


def _upright_box(pose: DecodedPose, turn: float) -> tuple[Points, Points]:
    """The centre and half the sides (x, y) of the body box in the picture turned back by `turn` degrees."""
    corner, far_corner = body_box(pose._replace(xy=turned_xy(pose.xy, -turn)))
    return (corner + far_corner) / 2, (far_corner - corner) / 2


def _crop_size(shape: float, size: float, *, upright: bool) -> tuple[int, int]:
    """Height and width of an input of about size × size pixels. shape: longer to shorter side."""
    longer, shorter = (_valid_side(size * shape**power) for power in (0.5, -0.5))
    return (longer, shorter) if upright else (shorter, longer)


def _valid_side(pixels: float) -> int:
    """The nearest valid side of an input, at least two steps."""
    return max(round((pixels - 1) / INPUT_SIZE_STEP), 2) * INPUT_SIZE_STEP + 1

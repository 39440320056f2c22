"""Which part of a picture a second pass looks at, at which size and angle.

PoseNet sees people best at one size, upright, and with some room around them. The first passes tell where people are;
each is cropped from the full-resolution picture so.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from posecli.inputs.pictures import turned_bounds, turned_xy
from posecli.poses.similarity import Points, body_box
from posecli.types import INPUT_SIZE_STEP, DecodedPose

#: A crop's sides relative to the box around the person's certain keypoints: the room helps up to here.
MARGIN = 2.0
#: The same for networks of a single person, which were trained with people who fill the input.
SQUARE_MARGIN = 1.3
#: Crops smaller than this, in picture pixels, show nothing more.
MIN_CROP_PX = 8.0
#: Shapes of crops, longer to shorter side, upright or lying: few, so that interpreters are used again.
_SHAPES = (1.0, 1.6, 2.4)

Box = tuple[float, float, float, float]


class Crop(NamedTuple):
    """A part of the picture: left, top, right, bottom in pixels of the picture turned back by `turn` degrees
    (`inputs.pictures.Transform`); the input's height, width."""

    box: Box
    size_hw: tuple[int, int]
    turn: float = 0.0

    @property
    def scale(self) -> float:
        """Picture pixels to an input pixel."""
        left, _, right, _ = self.box
        return (right - left) / self.size_hw[1]


def person_crop(pose: DecodedPose, picture_wh: tuple[int, int], size: int, *, turn: float = 0.0) -> Crop | None:
    """The crop around a person, inside the picture; None where there is nothing to see.

    size: the input has about size × size pixels. turn: degrees by which the person is turned clockwise from upright;
    the crop is turned with the person.
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
    """The square around a person for a network whose input is size × size; None where there is nothing to see.

    It may reach out of the picture: proportions are kept.
    """
    (x, y), sides = _upright_box(pose, turn)
    half = max(float(sides.max()) * SQUARE_MARGIN, MIN_CROP_PX / 2)
    left, top, right, bottom = turned_bounds(picture_wh, turn)
    if not (left < x < right and top < y < bottom):
        return None
    return Crop((x - half, y - half, x + half, y + half), (size, size), turn)


def _upright_box(pose: DecodedPose, turn: float) -> tuple[Points, Points]:
    """The centre of the body box and half of its sides, x and y, in the picture turned back by `turn` degrees."""
    corner, far_corner = body_box(pose._replace(xy=turned_xy(pose.xy, -turn)))
    return (corner + far_corner) / 2, (far_corner - corner) / 2


def _crop_size(shape: float, size: float, *, upright: bool) -> tuple[int, int]:
    """Height and width of an input of about size × size pixels, the longer side `shape` times the shorter."""
    longer, shorter = (_whole_cells(size * shape**power) for power in (0.5, -0.5))
    return (longer, shorter) if upright else (shorter, longer)


def _whole_cells(pixels: float) -> int:
    return max(round((pixels - 1) / INPUT_SIZE_STEP), 2) * INPUT_SIZE_STEP + 1

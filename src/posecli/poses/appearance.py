"""The colours of people's clothes. Tracking uses them to tell people apart when their paths cross."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from posecli.skeleton import KEYPOINT_IDS

# Colours are sampled inside the trunk and the thighs, away from the body's outline. Each sample point is a weighted
# mean of four keypoints: upper left, upper right, lower left, lower right.
_CORNER_NAMES = [
    ("leftShoulder", "rightShoulder", "leftHip", "rightHip"),
    ("leftHip", "rightHip", "leftKnee", "rightKnee"),
]
_CORNERS = [[KEYPOINT_IDS[name] for name in names] for names in _CORNER_NAMES]
#: Sample points: shares of the way down, and of the way from left to right.
_TRUNK = [(down, across) for down in (0.15, 0.35, 0.55, 0.75) for across in (0.2, 0.4, 0.6, 0.8)]
_THIGHS = [(down, across) for down in (0.2, 0.4, 0.6, 0.8) for across in (0.0, 1.0)]


def _weights(points: list[tuple[float, float]]) -> npt.NDArray[np.float64]:
    return np.array([((1 - d) * (1 - a), (1 - d) * a, d * (1 - a), d * a) for d, a in points])


_WEIGHTS = (_weights(_TRUNK), _weights(_THIGHS))


def clothing_colours(image: Image.Image, xy: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """The median colours of trunk and thighs: RGB and RGB, 0..1. Points outside the image are moved to its border.

    image: RGB. xy: [17, 2] keypoints, in image pixels.
    """
    colours: list[float] = []
    for corners, weights in zip(_CORNERS, _WEIGHTS, strict=True):
        points = np.floor(weights @ xy[corners]).clip(0, (image.width - 1, image.height - 1)).astype(int)
        pixels = np.array([image.getpixel((int(x), int(y))) for x, y in points])
        colours.extend((np.median(pixels, axis=0) / 255).tolist())
    return tuple(colours)

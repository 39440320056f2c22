"""The colours that somebody wears: what tells people apart where their ways cross."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from posecli.skeleton import KEYPOINT_IDS

#: Where trunk and thighs are looked at, as weights of four keypoints each (left and right above, left and right below):
#: inside the body, away from its outline.
_ABOVE = [("leftShoulder", "rightShoulder", "leftHip", "rightHip"), ("leftHip", "rightHip", "leftKnee", "rightKnee")]
_CORNERS = [[KEYPOINT_IDS[name] for name in names] for names in _ABOVE]
_TRUNK = [(down, across) for down in (0.15, 0.35, 0.55, 0.75) for across in (0.2, 0.4, 0.6, 0.8)]
_THIGHS = [(down, across) for down in (0.2, 0.4, 0.6, 0.8) for across in (0.0, 1.0)]


def _weights(places: list[tuple[float, float]]) -> npt.NDArray[np.float64]:
    return np.array([((1 - d) * (1 - a), (1 - d) * a, d * (1 - a), d * a) for d, a in places])


_PLACES = (_weights(_TRUNK), _weights(_THIGHS))


def clothes(image: Image.Image, xy: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Median colours of trunk and thighs: RGB and RGB, 0..1. Outside the picture its border is taken.

    image: RGB. xy: [17, 2] keypoints, in its pixels.
    """
    colours: list[float] = []
    for corners, weights in zip(_CORNERS, _PLACES, strict=True):
        places = np.floor(weights @ xy[corners]).clip(0, (image.width - 1, image.height - 1)).astype(int)
        pixels = np.array([image.getpixel((int(x), int(y))) for x, y in places])
        colours.extend((np.median(pixels, axis=0) / 255).tolist())
    return tuple(colours)

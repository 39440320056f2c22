"""Faces that nobody shall recognise: where they are by a person's keypoints, and how they are hidden.

What is covered is rather too large than too small. A projection only shortens a body, so its longest parts tell best
how large it is. Where the face's own keypoints are uncertain, the shoulders tell where it may be, and more is covered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, hypot
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFilter

from posecli.types import Keypoint, Pose

#: Keypoints from this score on tell where a face is and how large.
SURE_SCORE = 0.3
#: Centimetres of a grown person: what is covered around the middle of a face, and between keypoints.
RADIUS_CM = 18.0
_LENGTHS_CM = {
    ("leftEar", "rightEar"): 15.0, ("leftEye", "rightEye"): 6.3, ("nose", "leftEar"): 12.0, ("nose", "rightEar"): 12.0,
    ("leftShoulder", "rightShoulder"): 36.0, ("leftHip", "rightHip"): 28.0,
    ("leftShoulder", "leftHip"): 50.0, ("rightShoulder", "rightHip"): 50.0,
    ("leftShoulder", "leftElbow"): 29.0, ("rightShoulder", "rightElbow"): 29.0,
    ("leftHip", "leftKnee"): 43.0, ("rightHip", "rightKnee"): 43.0,
    ("leftKnee", "leftAnkle"): 41.0, ("rightKnee", "rightAnkle"): 41.0,
}  # fmt: skip
#: One misplaced keypoint makes one length too long: no more than so many times the next one counts.
_LONGEST_OUTLIER = 1.5
_FACE = ("nose", "leftEye", "rightEye", "leftEar", "rightEar")
_SHOULDERS = ("leftShoulder", "rightShoulder")
#: Sure keypoints of a face that tell its middle; where there are fewer, so many times the radius is covered.
_ENOUGH, _WIDER = 3, 1.5
#: Radii: around each sure keypoint of a face; from the middle of the shoulders up to that of the face.
_AROUND_KEYPOINT, _ABOVE_SHOULDERS = 0.6, 1.4
#: Radii that a face may move between two frames.
_SAME_FACE = 3.0
LEAST_RADIUS_PX = 6.0
#: What stays of a face: cells as wide as this share of the radius, 6 cm.
_CELL, _LEAST_CELL_PX = 1 / 3, 4.0
_FEATHER = 1 / 12


class Disc(NamedTuple):
    """A part of a picture that is hidden: middle and radius in pixels."""

    x: float
    y: float
    radius: float


def face_discs(pose: Pose) -> list[Disc]:
    """The discs that cover a person's face, the one around its middle first. They may lie outside the picture."""
    points = {point.part: point for point in pose.keypoints}
    radius = _radius(points)
    face = [points[part] for part in _FACE]
    sure = [point for point in face if point.score >= SURE_SCORE]
    x, y = _middle(sure or face)
    if len(sure) >= _ENOUGH:
        return [Disc(x, y, radius), *(Disc(point.x, point.y, _AROUND_KEYPOINT * radius) for point in sure)]
    discs = [Disc(x, y, _WIDER * radius)]
    shoulders = [points[part] for part in _SHOULDERS]
    if not sure and min(point.score for point in shoulders) >= SURE_SCORE:
        discs.append(_above(shoulders, [points["leftHip"], points["rightHip"]], radius))
    return discs


def _radius(points: dict[str, Keypoint]) -> float:
    """How far a face is covered from its middle on, by the lengths that are seen; by all where no end is sure."""
    found = [
        (min(points[start].score, points[end].score), _distance(points[start], points[end]) * RADIUS_CM / length)
        for (start, end), length in _LENGTHS_CM.items()
    ]
    sure = [radius for score, radius in found if score >= SURE_SCORE]
    longest, *rest = sorted(sure or (radius for _, radius in found), reverse=True)
    if rest:
        longest = min(longest, _LONGEST_OUTLIER * rest[0])
    return max(longest, LEAST_RADIUS_PX)


def _distance(start: Keypoint, end: Keypoint) -> float:
    return hypot(start.x - end.x, start.y - end.y)


def _middle(points: Sequence[Keypoint]) -> tuple[float, float]:
    """The mean of keypoints, the more certain counting more."""
    weights = [point.score + 1e-6 for point in points]
    x = sum(weight * point.x for weight, point in zip(weights, points, strict=True))
    y = sum(weight * point.y for weight, point in zip(weights, points, strict=True))
    return x / sum(weights), y / sum(weights)


def _above(shoulders: Sequence[Keypoint], hips: Sequence[Keypoint], radius: float) -> Disc:
    """Where the head is by shoulders and hips: along the trunk."""
    (x, y), (hip_x, hip_y) = _middle(shoulders), _middle(hips)
    length = hypot(x - hip_x, y - hip_y)
    up_x, up_y = ((x - hip_x) / length, (y - hip_y) / length) if length else (0.0, -1.0)
    rise = _ABOVE_SHOULDERS * radius
    return Disc(x + rise * up_x, y + rise * up_y, _WIDER * radius)


def unseen(earlier: Iterable[Pose], poses: Sequence[Pose]) -> list[Pose]:
    """Those people of earlier frames whose faces are not near anybody's of this one: they may have been missed."""
    here = [face_discs(pose)[0] for pose in poses]
    return [pose for pose in earlier if not any(_is_near(face_discs(pose)[0], disc) for disc in here)]


def _is_near(before: Disc, now: Disc) -> bool:
    return hypot(before.x - now.x, before.y - now.y) < _SAME_FACE * max(before.radius, now.radius)


def hide_faces(image: Image.Image, poses: Iterable[Pose], how: str) -> Image.Image:
    """A new RGB picture of the same size in which the faces of these people cannot be recognised. how: of
    `types.FACES`. Either way, what is left of a face is a few cells."""
    hidden = image.copy()
    for pose in poses:
        _hide(hidden, face_discs(pose), how)
    return hidden


def _hide(image: Image.Image, discs: Sequence[Disc], how: str) -> None:
    """Hide discs of one face, in place."""
    feather = _FEATHER * discs[0].radius if how == "blurred" else 0.0
    reach = [Disc(disc.x, disc.y, disc.radius + 2 * feather) for disc in discs]
    left, top = (
        max(int(min(edges)), 0) for edges in ([d.x - d.radius for d in reach], [d.y - d.radius for d in reach])
    )
    right = min(ceil(max(disc.x + disc.radius for disc in reach)), image.width)
    bottom = min(ceil(max(disc.y + disc.radius for disc in reach)), image.height)
    if left >= right or top >= bottom:
        return
    size = (right - left, bottom - top)
    cell = max(_CELL * discs[0].radius, _LEAST_CELL_PX)
    cells = (max(round(size[0] / cell), 1), max(round(size[1] / cell), 1))
    resample = Image.Resampling.NEAREST if how == "pixelated" else Image.Resampling.BICUBIC
    coarse = image.crop((left, top, right, bottom)).resize(cells, Image.Resampling.BOX).resize(size, resample)
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    for x, y, radius in reach:
        pen.ellipse((x - left - radius, y - top - radius, x - left + radius, y - top + radius), fill=255)
    image.paste(coarse, (left, top), mask.filter(ImageFilter.GaussianBlur(feather)) if feather else mask)

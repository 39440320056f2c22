"""Hides faces: locates them by keypoints, and makes them unrecognisable.

The covered area is too large rather than too small. Projection can only shorten a body, so its longest parts give the
best estimate of its size. If the keypoints of a face are uncertain, its position is estimated from the shoulders too,
and a larger area is covered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, hypot
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFilter

from posecli.types import Keypoint, Pose

#: Keypoints from this score on determine a face's position and size.
SURE_SCORE = 0.3
#: Centimetres, for an adult: covered radius around the middle of a face, and distances between keypoints.
RADIUS_CM = 18.0
_LENGTHS_CM = {
    ("leftEar", "rightEar"): 15.0, ("leftEye", "rightEye"): 6.3, ("nose", "leftEar"): 12.0, ("nose", "rightEar"): 12.0,
    ("leftShoulder", "rightShoulder"): 36.0, ("leftHip", "rightHip"): 28.0,
    ("leftShoulder", "leftHip"): 50.0, ("rightShoulder", "rightHip"): 50.0,
    ("leftShoulder", "leftElbow"): 29.0, ("rightShoulder", "rightElbow"): 29.0,
    ("leftHip", "leftKnee"): 43.0, ("rightHip", "rightKnee"): 43.0,
    ("leftKnee", "leftAnkle"): 41.0, ("rightKnee", "rightAnkle"): 41.0,
}  # fmt: skip
#: One misplaced keypoint makes one length too long: the longest is limited to this many times the second longest.
_LONGEST_OUTLIER = 1.5
_FACE = ("nose", "leftEye", "rightEye", "leftEar", "rightEar")
_SHOULDERS = ("leftShoulder", "rightShoulder")
#: Sure keypoints that suffice to find the middle of a face; factor on the radius if there are fewer.
_ENOUGH, _WIDER = 3, 1.5
#: In radii: the radius around each sure keypoint of a face; the distance from the shoulders' middle to the face's.
_AROUND_KEYPOINT, _ABOVE_SHOULDERS = 0.6, 1.4
#: Most radii that a face moves between two frames.
_SAME_FACE = 3.0
LEAST_RADIUS_PX = 6.0
#: The face is reduced to cells of this share of the radius, 6 cm.
_CELL, _LEAST_CELL_PX = 1 / 3, 4.0
_FEATHER = 1 / 12


class Disc(NamedTuple):
    """A hidden part of a picture: middle and radius in pixels."""

    x: float
    y: float
    radius: float


def face_discs(pose: Pose) -> list[Disc]:
    """The discs that cover a person's face. The first is around its middle. They may lie outside the picture."""
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
    """The covered radius of a face, by the lengths between sure keypoints, or by all lengths if none are sure."""
    estimates = [
        (min(points[start].score, points[end].score), _distance(points[start], points[end]) * RADIUS_CM / length)
        for (start, end), length in _LENGTHS_CM.items()
    ]
    sure = [radius for score, radius in estimates if score >= SURE_SCORE]
    longest, *rest = sorted(sure or (radius for _, radius in estimates), reverse=True)
    if rest:
        longest = min(longest, _LONGEST_OUTLIER * rest[0])
    return max(longest, LEAST_RADIUS_PX)


def _distance(start: Keypoint, end: Keypoint) -> float:
    return hypot(start.x - end.x, start.y - end.y)


def _middle(points: Sequence[Keypoint]) -> tuple[float, float]:
    """The mean of keypoints, weighted by their scores."""
    weights = [point.score + 1e-6 for point in points]
    x = sum(weight * point.x for weight, point in zip(weights, points, strict=True))
    y = sum(weight * point.y for weight, point in zip(weights, points, strict=True))
    return x / sum(weights), y / sum(weights)


def _above(shoulders: Sequence[Keypoint], hips: Sequence[Keypoint], radius: float) -> Disc:
    """The disc of a head, estimated from shoulders and hips: along the trunk's direction."""
    (x, y), (hip_x, hip_y) = _middle(shoulders), _middle(hips)
    length = hypot(x - hip_x, y - hip_y)
    up_x, up_y = ((x - hip_x) / length, (y - hip_y) / length) if length else (0.0, -1.0)
    rise = _ABOVE_SHOULDERS * radius
    return Disc(x + rise * up_x, y + rise * up_y, _WIDER * radius)


def missed_people(earlier: Iterable[Pose], poses: Sequence[Pose]) -> list[Pose]:
    """People of earlier frames whose faces are not near a face of this frame: they may have been missed."""
    faces = [face_discs(pose)[0] for pose in poses]
    return [pose for pose in earlier if not any(_is_near(face_discs(pose)[0], disc) for disc in faces)]


def _is_near(before: Disc, now: Disc) -> bool:
    return hypot(before.x - now.x, before.y - now.y) < _SAME_FACE * max(before.radius, now.radius)


def hide_faces(image: Image.Image, poses: Iterable[Pose], how: str) -> Image.Image:
    """Hide the faces of people on a copy of an RGB picture. how: of `types.FACES`. Both ways reduce a face to a few
    cells."""
    hidden = image.copy()
    for pose in poses:
        _hide(hidden, face_discs(pose), how)
    return hidden


def _hide(image: Image.Image, discs: Sequence[Disc], how: str) -> None:
    """Hide the discs of one face, in place."""
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

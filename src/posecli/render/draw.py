"""Draws people over a picture: smooth lines in proportion to it, one hue per person, left sides lighter than right.

Strokes are painted from distance fields: a pixel's coverage is computed from its distance to the stroke. Edges are
smooth at any size, without supersampling.
"""

from __future__ import annotations

import colorsys
from collections.abc import Collection, Iterator, Sequence
from math import hypot
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from posecli.poses.angles import angles_of, joint_positions
from posecli.render.faces import hide_faces
from posecli.skeleton import DRAWN_EDGES, side_of
from posecli.types import Drawing, Keypoint, Pose

#: Keypoints below the first score are not drawn; from the second score on they are opaque.
FAINTEST_SCORE, FULL_SCORE = 0.1, 0.6
FAINTEST_OPACITY = 0.25
#: Half the width of a line, as a share of the picture's mean side, and its maximum as a share of the person's extent.
LINE_OF_PICTURE, LINE_OF_PERSON = 0.0032, 0.016
MIN_LINE_PX = 1.0
#: Radius of a dot and width of a rim, relative to half the width of a line.
DOT, RIM = 1.7, 0.7
#: One hue per person. Neighbours in the list differ clearly; dark blue is not used.
_HUES = (0.52, 0.92, 0.27, 0.09, 0.76, 0.15, 0.42, 0.99, 0.58, 0.83)
#: Saturation and value by side of the body.
_SHADES = {"left": (0.45, 1.0), "middle": (0.65, 1.0), "right": (0.9, 0.92)}
_RIM_COLOUR = (16, 18, 24)
_RIM_OPACITY = 0.55
#: Rows painted at a time: this keeps the distance field of a long diagonal line close to the line.
_BAND_ROWS = 96
_LABEL_OF_PICTURE, _MIN_LABEL_PX = 0.024, 11

RGB = tuple[int, int, int]
Canvas = npt.NDArray[np.uint8]


class _End(NamedTuple):
    """One end of a stroke: position in pixels, colour, opacity 0..1."""

    x: float
    y: float
    colour: RGB
    opacity: float


def draw_poses(
    image: Image.Image, poses: Sequence[Pose], *, extras: Collection[str] = (), background: str = "picture"
) -> Image.Image:
    """Draw people on a copy of a picture.

    image: RGB, in the coordinates of the poses. extras: of `types.OVERLAYS`. background: of `types.BACKGROUNDS`; `none`
    is transparent and gives an RGBA picture. Keypoints may lie outside the picture.
    """
    canvas = _blank(image, background)
    # The most certain person is drawn last, on top.
    people = [(_HUES[colour_number(index, pose)], pose) for index, pose in enumerate(poses)][::-1]
    for hue, pose in people:
        _draw_person(canvas, pose, hue)
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    for hue, pose in people:
        _draw_extras(pen, picture.size, pose, hue, extras)
    return picture


def draw(image: Image.Image, poses: Sequence[Pose], drawing: Drawing, *, missed: Sequence[Pose] = ()) -> Image.Image:
    """Draw on a copy of a picture as `drawing` says. missed: more people whose faces to hide, if faces are hidden."""
    if drawing.faces is not None and drawing.background == "picture":
        image = hide_faces(image, (*poses, *missed), drawing.faces)
    shown = poses if drawing.skeletons else ()
    return draw_poses(image, shown, extras=drawing.extras, background=drawing.background)


def colour_number(index: int, pose: Pose) -> int:
    """The number of a person's colour: by track or, without a track, by index in the record."""
    return (index if pose.id is None else pose.id - 1) % len(_HUES)


def web_colours() -> list[dict[str, str]]:
    """All colours by number: side of the body → shade as #rrggbb."""
    return [{side: "#{:02x}{:02x}{:02x}".format(*_colour(hue, side)) for side in _SHADES} for hue in _HUES]


def _blank(image: Image.Image, background: str) -> Canvas:
    if background == "picture":
        return np.array(image)
    if background == "none":
        return np.zeros((image.height, image.width, 4), np.uint8)
    return np.full((image.height, image.width, 3), 255 if background == "white" else 0, np.uint8)


def _colour(hue: float, side: str) -> RGB:
    red, green, blue = colorsys.hsv_to_rgb(hue, *_SHADES[side])
    return round(255 * red), round(255 * green), round(255 * blue)


def _draw_person(canvas: Canvas, pose: Pose, hue: float) -> None:
    height, width = canvas.shape[:2]
    ends = {point.id: _end(point, hue) for point in pose.keypoints if _is_drawn(point, width, height)}
    if not ends:
        return
    radius = _line_radius(list(ends.values()), width, height)
    limbs = [(ends[a], ends[b]) for a, b in DRAWN_EDGES if a in ends and b in ends]
    rim = max(radius * RIM, 0.8)
    for start, end in limbs:
        _stroke(canvas, _rim(start), _rim(end), radius + rim)
    for start, end in limbs:
        _stroke(canvas, start, end, radius)
    for dot in ends.values():
        _stroke(canvas, _rim(dot), _rim(dot), DOT * radius + rim)
        _stroke(canvas, dot, dot, DOT * radius)


def _is_drawn(point: Keypoint, width: int, height: int) -> bool:
    """Whether a keypoint is certain enough, and not so far outside that only a stray line would be visible."""
    return point.score >= FAINTEST_SCORE and -width < point.x < 2 * width and -height < point.y < 2 * height


def _end(point: Keypoint, hue: float) -> _End:
    certainty = min((point.score - FAINTEST_SCORE) / (FULL_SCORE - FAINTEST_SCORE), 1.0)
    opacity = FAINTEST_OPACITY + (1 - FAINTEST_OPACITY) * certainty
    return _End(point.x, point.y, _colour(hue, side_of(point.id)), opacity)


def _rim(end: _End) -> _End:
    return _End(end.x, end.y, _RIM_COLOUR, _RIM_OPACITY * end.opacity)


def _line_radius(ends: Sequence[_End], width: int, height: int) -> float:
    extent = hypot(max(e.x for e in ends) - min(e.x for e in ends), max(e.y for e in ends) - min(e.y for e in ends))
    of_picture = LINE_OF_PICTURE * float(width * height) ** 0.5
    return float(max(min(of_picture, LINE_OF_PERSON * extent), MIN_LINE_PX))


def _stroke(canvas: Canvas, start: _End, end: _End, radius: float) -> None:
    """Paint a line with round ends. Its colour and opacity change from one end to the other."""
    step_x, step_y = end.x - start.x, end.y - start.y
    length_squared = step_x**2 + step_y**2
    colour: npt.NDArray[np.float32] = np.array(start.colour, np.float32)
    opacity: npt.NDArray[np.float32] | float = start.opacity
    changes = end.colour != start.colour or end.opacity != start.opacity
    for rows, columns in _bands(canvas, start, end, radius):
        y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - start.y)
        x = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] + np.float32(0.5 - start.x)
        along: npt.NDArray[np.float32] = np.zeros((1, 1), np.float32)
        if length_squared > 0:
            along = np.clip(x * (step_x / length_squared) + y * (step_y / length_squared), 0, 1)
        distance = np.sqrt((x - along * step_x) ** 2 + (y - along * step_y) ** 2)
        covered = np.clip(radius + 0.5 - distance, 0, 1)[:, :, None]
        if changes:
            along = along[:, :, None]
            opacity = start.opacity + along * (end.opacity - start.opacity)
            colour = np.array(start.colour, np.float32) + along * (np.array(end.colour, np.float32) - start.colour)
        _blend(canvas[rows, columns], colour, covered * opacity)


def _bands(canvas: Canvas, start: _End, end: _End, radius: float) -> Iterator[tuple[slice, slice]]:
    """Yield the parts of the canvas that a stroke covers, in bands of rows."""
    height, width = canvas.shape[:2]
    reach = radius + 1
    upper, lower = sorted((start, end), key=lambda e: e.y)
    first, last = max(int(upper.y - reach), 0), min(int(lower.y + reach) + 1, height)
    for top in range(first, last, _BAND_ROWS):
        bottom = min(top + _BAND_ROWS, last)
        xs = [_x_at(upper, lower, y) for y in (top - reach, bottom + reach)]
        left, right = max(int(min(xs) - reach), 0), min(int(max(xs) + reach) + 1, width)
        if left < right:
            yield slice(top, bottom), slice(left, right)


def _x_at(upper: _End, lower: _End, y: float) -> float:
    """The x of a stroke's centre line at a row; beyond the ends, that of the nearer end."""
    if y <= upper.y:
        return upper.x
    if y >= lower.y:
        return lower.x
    return upper.x + (lower.x - upper.x) * (y - upper.y) / (lower.y - upper.y)


def _blend(area: Canvas, colour: npt.NDArray[np.float32], opacity: npt.NDArray[np.float32]) -> None:
    """Blend a colour over an area, in place. The area is RGB, or RGBA with its own opacity."""
    below = area[:, :, :3].astype(np.float32)
    if area.shape[2] == 3:
        area[...] = below + opacity * (colour - below) + 0.5
        return
    below_opacity = area[:, :, 3:].astype(np.float32) / 255
    total = opacity + below_opacity * (1 - opacity)
    mixed = (colour * opacity + below * below_opacity * (1 - opacity)) / np.maximum(total, 1e-6)
    area[:, :, :3] = mixed + 0.5
    area[:, :, 3:] = 255 * total + 0.5


def _draw_extras(
    pen: ImageDraw.ImageDraw, size: tuple[int, int], pose: Pose, hue: float, extras: Collection[str]
) -> None:
    drawn = [point for point in pose.keypoints if _is_drawn(point, *size)]
    if not drawn:
        return
    font = ImageFont.load_default(max(_LABEL_OF_PICTURE * (size[0] * size[1]) ** 0.5, _MIN_LABEL_PX))
    colour = _colour(hue, "middle")
    left, top = min(p.x for p in drawn), min(p.y for p in drawn)
    right, bottom = max(p.x for p in drawn), max(p.y for p in drawn)
    line = max(round(LINE_OF_PICTURE * (size[0] * size[1]) ** 0.5), 1)
    if "boxes" in extras:
        pen.rectangle((left, top, right, bottom), outline=colour, width=line)
    if "names" in extras:
        for point in drawn:
            _label(
                pen, size, (point.x + 2 * line, point.y), f"{point.part} {point.score:.2f}", colour=colour, font=font
            )
    if "angles" in extras:
        angles, places = angles_of(pose), joint_positions(pose)
        for name, point in places.items():
            if (angle := angles[name]) is not None and _is_drawn(point, *size):
                _label(pen, size, (point.x + 2 * line, point.y), f"{angle:.0f}°", colour=colour, font=font)
    if "scores" in extras:
        _label(
            pen,
            size,
            ((left + right) / 2, top - 6 * line),
            f"{_name_of(pose)}{pose.score:.2f}",
            colour=colour,
            font=font,
            anchor="ms",
        )


def _name_of(pose: Pose) -> str:
    return "" if pose.id is None else f"#{pose.id} "


def _label(
    pen: ImageDraw.ImageDraw,
    size: tuple[int, int],
    xy: tuple[float, float],
    text: str,
    *,
    colour: RGB,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    anchor: str = "lm",
) -> None:
    """Write a text with a dark outline, moved to stay inside the picture."""
    stroke = max(round(getattr(font, "size", _MIN_LABEL_PX) / 8), 1)
    left, top, right, bottom = pen.textbbox(xy, text, font=font, anchor=anchor, stroke_width=stroke)
    x = xy[0] + max(-left, 0) - max(right - size[0], 0)
    y = xy[1] + max(-top, 0) - max(bottom - size[1], 0)
    pen.text((x, y), text, fill=colour, font=font, anchor=anchor, stroke_width=stroke, stroke_fill=_RIM_COLOUR)

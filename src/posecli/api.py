"""Public functions besides `PoseEstimator`: drawing, and the frames of clips."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import NamedTuple

from PIL import Image

from posecli.errors import UsageError
from posecli.inputs.clips import ClipOptions, check_clip, check_options, frames_of, unpack
from posecli.inputs.pictures import AnyImage, check_is_image, frame_from
from posecli.render.draw import draw as draw_people
from posecli.types import BACKGROUNDS, FACES, OVERLAYS, Drawing, Record, Settings


class ClipFrame(NamedTuple):
    """A frame of a clip: its number from 0, its time in seconds (None for pages), and its upright RGB image."""

    number: int
    time: float | None
    image: Image.Image


def frames(
    clip: str | os.PathLike[str] | bytes,
    *,
    every: int = 1,
    start: float = 0.0,
    end: float | None = None,
    fps: float | None = None,
    max_pixels: int = Settings.max_pixels,
) -> Iterator[ClipFrame]:
    """Decode the frames of a clip lazily: the same frames that `PoseEstimator.estimate_clip` uses.

    clip: the path or the bytes of a video (extra `video`), of an animation, or of a file of several pictures.
    every: yield every n-th frame only.
    start, end: yield the frames from `start` to before `end`, seconds.
    fps: yield at most this many frames per second.
    max_pixels: a frame with more pixels is refused before it is decoded.
    Raises UsageError for invalid options, MissingExtra if a video needs the extra, and InputError if the clip cannot be
    read or is truncated.
    """
    source = clip if isinstance(clip, bytes) else os.fspath(clip)
    options = check_options(ClipOptions(every, start, end, fps))
    check_clip(source)
    return (
        ClipFrame(number, time, Image.fromarray(unpack(pixels)))
        for number, time, pixels in frames_of(source, options, max_pixels=max_pixels)
    )


def draw(
    image: AnyImage,
    record: Record,
    *,
    extras: Collection[str] = (),
    background: str = "picture",
    faces: str | None = None,
    skeletons: bool = True,
) -> Image.Image:
    """Draw the people of a record on a copy of its picture. Returns an RGB image, or RGBA if `background` is none.

    image: the picture of the record, in any form that `PoseEstimator.estimate` accepts.
    extras: any of scores, boxes, names and angles.
    background: picture, none (transparent), black or white.
    faces: blurred or pixelated, for all people of the record; None: unchanged. People not in the record stay visible.
    skeletons: if False, neither skeletons nor extras are drawn.
    Raises TypeError if `image` is of another type; UsageError for an array of another shape or dtype, for unknown
    extras, backgrounds or faces, and if the picture's size differs from the record's; InputError if the picture cannot
    be read.
    """
    check_is_image(image)
    wanted = (extras,) if isinstance(extras, str) else tuple(extras)
    choice_arguments = [("background", background, BACKGROUNDS), *(("extras", one, OVERLAYS) for one in wanted)]
    for name, value, choices in (*choice_arguments, ("faces", faces or FACES[0], FACES)):
        if value not in choices:
            raise UsageError(f"{name}: {value!r} is not one of {', '.join(choices)}")
    picture = frame_from(image, max_pixels=Settings.max_pixels).image
    if record.ok and picture.size != (record.width, record.height):
        width, height = picture.size
        raise UsageError(
            f"the picture has {width} x {height} pixels, but the record's picture has {record.width} x {record.height}"
        )
    return draw_people(picture, record.poses, Drawing(wanted if skeletons else (), background, faces, skeletons))

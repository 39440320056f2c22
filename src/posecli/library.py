"""What `import posecli` offers besides `PoseEstimator`: drawing, and the frames of clips."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import NamedTuple

from PIL import Image

from posecli.errors import UsageError
from posecli.inputs.clips import ClipOptions, check_clip, check_options, frames_of, unpack
from posecli.inputs.pictures import AnyImage, check_is_image, frame_from
from posecli.render.draw import draw as draw_people
from posecli.types import BACKGROUNDS, EXTRAS, FACES, Drawing, Record, Settings


class ClipFrame(NamedTuple):
    """A frame of a clip: its number from 0, its time in seconds (None for pages), its upright RGB picture."""

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
    """The frames of a clip, decoded as they are asked for: those that `PoseEstimator.estimate_clip` looks at.

    clip: the path or the bytes of a video (extra `video`), of an animation, or of a file of several pictures.
    every, start, end, fps: every n-th frame; from `start` until before `end`, seconds; at most so many a second.
    max_pixels: a frame of more is refused before it is decoded.
    Raises UsageError for impossible options, MissingExtra for a video without the extra, and InputError where the clip
    cannot be read or breaks off.
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
    """A new picture with the people of a record drawn on it: RGB, or RGBA where the background is `none`.

    image: the picture that the record is of, as `PoseEstimator.estimate` takes it.
    extras: any of scores, boxes, names and angles.
    background: picture, none (transparent), black or white.
    faces: blurred or pixelated, for all people of the record; None: as they are. Who is not in the record is shown.
    skeletons: False draws neither these nor extras.
    Raises TypeError for what is no picture; UsageError for arrays that are none, for other extras and backgrounds, and
    for a picture of another size than the record's; InputError where the picture cannot be read.
    """
    check_is_image(image)
    wanted = (extras,) if isinstance(extras, str) else tuple(extras)
    asked = [("background", background, BACKGROUNDS), *(("extras", one, EXTRAS) for one in wanted)]
    for name, value, choices in (*asked, ("faces", faces or FACES[0], FACES)):
        if value not in choices:
            raise UsageError(f"{name}: {value!r} is not one of {', '.join(choices)}")
    picture = frame_from(image, max_pixels=Settings.max_pixels).image
    if record.ok and picture.size != (record.width, record.height):
        width, height = picture.size
        raise UsageError(
            f"the picture has {width} x {height} pixels, and that of the record {record.width} x {record.height}"
        )
    return draw_people(picture, record.poses, Drawing(wanted if skeletons else (), background, faces, skeletons))

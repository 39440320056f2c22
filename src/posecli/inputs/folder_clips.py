"""Folders whose pictures are the frames of a clip (`--as-clip`). The clip has its folder's name.

Each frame is a file of its own. Its worker reads it like a still, and it fails alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from posecli.inputs.clips import Choice, ClipOptions, frame_output
from posecli.inputs.walk import natural_key
from posecli.types import ImageInput


def as_clips(images: Iterable[ImageInput]) -> Iterator[ImageInput]:
    """Yield one input per folder, with the folder's pictures as its `members`, in natural order. Bytes of a picture,
    and folders that cannot be listed, stay unchanged."""
    folders: dict[str, list[ImageInput]] = {}
    for image in images:
        if image.data is not None or image.failure is not None:
            yield image
        else:
            folders.setdefault(os.path.dirname(image.name), []).append(image)
    for folder, members in folders.items():
        output = os.path.dirname(members[0].output) or os.path.basename(os.path.abspath(folder)) or "clip"
        members.sort(key=lambda member: natural_key(member.name))
        yield ImageInput(folder or os.curdir, output, members=tuple(members))


def clips_apart(image: ImageInput, holds_frames: Callable[[ImageInput], bool]) -> Iterator[ImageInput]:
    """Yield a folder's clip with its stills only, then the files in the folder that are clips themselves. Any other
    input is unchanged."""
    if not image.members:
        yield image
        return
    stills: list[ImageInput] = []
    clips: list[ImageInput] = []
    for member in image.members:
        (clips if holds_frames(member) else stills).append(member)
    if stills:
        yield image._replace(members=tuple(stills))
    yield from clips


def frames_of_folder(clip: ImageInput, options: ClipOptions) -> Iterator[ImageInput]:
    """Yield the frames of a folder's clip that the options choose. `options.fps` is the clip's frame rate."""
    assert options.fps is not None
    choice = Choice(options._replace(fps=None))
    for number, member in enumerate(clip.members):
        time = round(number / options.fps, 6)
        if choice.is_over(time):
            break
        if choice.takes(number, time):
            output = frame_output(clip.output, number)
            yield clip._replace(members=(), output=output, frame=number, time=time, file=member.name)
    if not choice.has_chosen:
        failure = choice.nothing_chosen(clip.name).reason
        yield clip._replace(members=(), output=frame_output(clip.output, 0), failure=failure)

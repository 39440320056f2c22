"""What a worker does: one input → one record, and the files that belong to that one image."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from posecli.errors import INTERNAL_ERROR, ModelError, OutputError
from posecli.inference.estimator import PoseEstimator
from posecli.inputs.clips import unpack
from posecli.inputs.pictures import lift_pillow_limit
from posecli.model.locate import ModelFile, read_model_file
from posecli.records.formats import get_format
from posecli.records.formats.base import WriteOptions, output_path, whole_file
from posecli.types import ImageInput, Pose, Record, Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

#: PNG compression: level 6 takes three times as long for pictures 3 % smaller.
PNG_LEVEL, LOSSY_QUALITY = 3, 90


class PictureOutput(NamedTuple):
    """Annotated pictures: into a folder, or (`is_file`) the one picture at `path`."""

    path: str
    is_file: bool
    kind: str = "png"  # png, jpg or webp
    extras: tuple[str, ...] = ()
    background: str = "picture"

    def path_for(self, image: ImageInput) -> str:
        """Where the annotated picture of an input goes."""
        return self.path if self.is_file else output_path(self.path, image.output, "." + self.kind)

    def write(self, picture: Image.Image, record: Record, image: ImageInput) -> None:
        """Draw the people of a record over its picture and write that, whole. Raises OutputError."""
        from posecli.render.draw import draw_poses  # only who draws pays for loading it

        drawn = draw_poses(picture, record.poses, extras=self.extras, background=self.background)
        save_picture(drawn, self.path_for(image), self.kind)


class DataOutput(NamedTuple):
    """One data file an image, into a folder."""

    folder: str
    format_name: str
    options: WriteOptions = WriteOptions()

    def path_for(self, image: ImageInput) -> str:
        """Where the data file of an input goes."""
        return output_path(self.folder, image.output, get_format(self.format_name).image_suffix)

    def write(self, record: Record, image: ImageInput) -> None:
        """Write the file of one image, whole. Raises OutputError."""
        get_format(self.format_name).write_image(record, self.path_for(image), self.options)


class Job(NamedTuple):
    """All that a worker must know; plain data that travels to other processes."""

    settings: Settings
    model_path: str
    model_sha256: str
    pictures: PictureOutput | None = None
    data: DataOutput | None = None

    def read_model(self) -> ModelFile:
        """The model's file. Raises ModelError where it cannot be read, or is another one than the job was made for."""
        model = read_model_file(Path(self.model_path))
        if model.sha256 != self.model_sha256:
            raise ModelError(f"the model {self.model_path} changed while it was in use")
        return model


class Worker:
    """Loads the model once, then makes records. Raises FatalError where nothing can run."""

    def __init__(self, job: Job, *, threads: int) -> None:
        lift_pillow_limit()
        self._job = job
        self._estimator = PoseEstimator.from_settings(job.settings, model=job.read_model(), threads=threads)
        self._before: tuple[ImageInput, Record] | None = None  # the last frame of a group, without its pixels

    def __call__(self, image: ImageInput) -> Record:
        """The record of one input; its files are written, whole, before it is returned."""
        try:
            return self._process(image)
        except OutputError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno == errno.ENAMETOOLONG:
                return image.failed(INTERNAL_ERROR, str(error))  # this name's fault alone
            raise

    def _process(self, image: ImageInput) -> Record:
        if image.failure is not None:
            return image.failed(*image.failure)
        pictures = self._job.pictures if image.frame is None else None  # frames are drawn where they are in order
        record, frame = self._estimator.estimate_with_frame(
            _source(image), name=image.name, full_size=pictures is not None, known=self._known(image)
        )
        if image.frame is not None:
            record = replace(record, frame=image.frame, time=image.time)
            self._before = (image._replace(pixels=None), record)
        if pictures is not None and frame is not None:
            pictures.write(frame.image, record, image)
        if self._job.data is not None:
            self._job.data.write(record, image)
        return record

    def _known(self, image: ImageInput) -> tuple[Pose, ...]:
        """The people of the frame before, where that was just before this one."""
        if self._before is None or not image.continues(self._before[0]):
            return ()
        return self._before[1].poses


def _source(image: ImageInput) -> str | bytes | npt.NDArray[np.uint8]:
    if image.pixels is not None:
        return unpack(image.pixels)
    return image.data if image.data is not None else image.name


def save_picture(picture: Image.Image, path: str, kind: str) -> None:
    """Write a picture whole, as png, jpg or webp. Raises OutputError."""
    with whole_file(path) as file:
        if kind == "png":
            picture.save(file, "PNG", compress_level=PNG_LEVEL)
        elif kind == "webp":
            picture.save(file, "WEBP", quality=LOSSY_QUALITY)
        else:
            picture.convert("RGB").save(file, "JPEG", quality=LOSSY_QUALITY)


def picture_kind(path: str) -> str | None:
    """png, jpg or webp by a path's extension; None for any other."""
    extension = os.path.splitext(path)[1].lower()
    return {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp"}.get(extension)

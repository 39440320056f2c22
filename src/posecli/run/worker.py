"""The work of one worker: turns one input into one record, and writes the files of that image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from posecli.errors import ImageTooLarge, InputError, ModelError
from posecli.inference.estimator import PoseEstimator
from posecli.inputs.clips import unpack
from posecli.inputs.opening import limit_pillow
from posecli.inputs.pictures import read_frame
from posecli.model.locate import ModelFile, read_model_file
from posecli.run.destinations import AnnotatedPictures, ImageFiles, has_file, is_drawn
from posecli.types import ImageInput, Pose, Record, Settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class JobModel(NamedTuple):
    """A model file, identified by its hash."""

    path: str
    sha256: str

    @classmethod
    def of(cls, model: ModelFile) -> JobModel:
        """Make one from a loaded model file."""
        return cls(str(model.path), model.sha256)

    def read(self) -> ModelFile:
        """Read the file. Raises ModelError if it cannot be read, or if its hash has changed."""
        model = read_model_file(Path(self.path))
        if model.sha256 != self.sha256:
            raise ModelError(f"the model {self.path} changed while it was in use")
        return model


class Job(NamedTuple):
    """All that a worker needs to know; plain data that is sent to other processes. zoom_model: for second passes."""

    settings: Settings
    model: JobModel
    pictures: AnnotatedPictures | None = None
    image_files: ImageFiles | None = None
    max_memory: int | None = None  # bytes of one process; None: no limit
    zoom_model: JobModel | None = None

    @property
    def models(self) -> tuple[JobModel, ...]:
        """All models that a worker reads."""
        return (self.model,) if self.zoom_model is None else (self.model, self.zoom_model)

    def with_models(self, model: JobModel, zoom_model: JobModel | None = None) -> Job:
        """The same job with other paths of its models."""
        return self._replace(model=model, zoom_model=zoom_model)


class Worker:
    """Loads the model once, then computes records. Raises FatalError if the model cannot run."""

    def __init__(self, job: Job, *, threads: int) -> None:
        limit_pillow(job.settings.max_pixels)
        self._job = job
        zoom_model = None if job.zoom_model is None else job.zoom_model.read()
        self._estimator = PoseEstimator.from_settings(
            job.settings, model=job.model.read(), zoom_model=zoom_model, threads=threads
        )
        self._before: tuple[ImageInput, Record] | None = None  # the last frame of a group, without its pixels

    def __call__(self, image: ImageInput) -> Record:
        """Compute the record of one input. Its files are written, atomically, before the record is returned."""
        try:
            return self._process(image)
        except InputError as error:
            return image.failed(*error.reason)
        except MemoryError:
            return image.failed(ImageTooLarge.code, f"{image.name}: not enough memory to draw it")

    def _process(self, image: ImageInput) -> Record:
        if image.failure is not None:
            return image.failed(*image.failure)
        if image.recorded is not None:
            return self._replay(image, image.recorded)
        pictures = self._job.pictures if image.frame is None else None  # frames are drawn later, in order
        record, frame = self._estimator.estimate_with_frame(
            _source(image),
            name=image.name,
            full_size=pictures is not None,
            previous=self._previous_people(image),
            all_people=image.frame is not None and self._job.settings.track,  # --person is then a step over time
        )
        if image.frame is not None:
            record = replace(record, frame=image.frame, time=image.time, file=image.file)
            self._before = (image._replace(pixels=None), record)
        if pictures is not None and frame is not None:
            pictures.write(frame.image, record, image)
        if self._job.image_files is not None:
            self._job.image_files.write(record, image)
        return record

    def _replay(self, image: ImageInput, record: Record) -> Record:
        """Write the missing files of an input from its record of an earlier run."""
        if image.frame is not None:
            self._before = (image, record)
        pictures, files = self._job.pictures, self._job.image_files
        if pictures is not None and image.frame is None and not is_drawn(pictures, image):
            frame = read_frame(image.data or image.name, max_pixels=self._job.settings.max_pixels)
            pictures.write(frame.image, record, image)
        if files is not None and not has_file(files.path_for(image)):
            files.write(record, image)
        return record

    def _previous_people(self, image: ImageInput) -> tuple[Pose, ...]:
        """The people of the previous frame; empty if this worker's last frame is not of the same group."""
        if self._before is None or not image.continues(self._before[0]):
            return ()
        return self._before[1].poses


def _source(image: ImageInput) -> str | bytes | npt.NDArray[np.uint8]:
    if image.pixels is not None:
        return unpack(image.pixels)
    return image.data if image.data is not None else image.place

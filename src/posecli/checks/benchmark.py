"""Benchmark on the user's machine: milliseconds per stage, pictures per second."""

from __future__ import annotations

import io
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple

from PIL import Image

from posecli.errors import UsageError
from posecli.inference.estimator import PoseEstimator
from posecli.model.locate import ModelFile
from posecli.records.formats import get_format
from posecli.records.formats.base import WriteOptions
from posecli.run.engines import EngineOptions, get_engine
from posecli.run.worker import Job
from posecli.types import ImageInput, Record, Settings

STAGES = ("read", "prepare", "infer", "decode", "zoom", "write")
#: Pictures that are not timed: the first calls of an interpreter pack its weights.
WARM_UP = 2
_PICTURE_SIZE = (640, 480)


class StageTimes(NamedTuple):
    """One interpreter over several pictures. milliseconds: median per picture, by stage."""

    stride: int
    input: tuple[int, int]  # height and width of the last picture's input
    threads: int
    milliseconds: dict[str, float]

    @property
    def pictures_per_second(self) -> float:
        """The throughput of one worker with these times."""
        return 1000 / sum(self.milliseconds.values())


class Throughput(NamedTuple):
    """Pictures per second of several workers, without their start."""

    workers: int
    threads: int
    pictures_per_second: float


def example_picture() -> bytes:
    """A JPEG of noise, 640 × 480, for benchmarks without a picture."""
    file = io.BytesIO()
    Image.effect_noise(_PICTURE_SIZE, 40).convert("RGB").save(file, "JPEG")
    return file.getvalue()


def measure_stages(model: ModelFile, settings: Settings, images: list[ImageInput], *, threads: int) -> StageTimes:
    """Time every picture once, after a warm-up. Raises UsageError if no picture can be read."""
    estimator = PoseEstimator.from_settings(settings, model=model, threads=threads)
    records = [_timed_record(estimator, image) for image in images[:1] * WARM_UP + images][-len(images) :]
    good = [record for record in records if record.ok]
    if not good:
        raise UsageError("none of the pictures can be read")
    times = {stage: statistics.median(record.timings.get(stage, 0.0) for record in good) for stage in STAGES}
    shown = good[-1].model
    assert shown is not None
    return StageTimes(shown.stride, shown.input, threads, times)


def _timed_record(estimator: PoseEstimator, image: ImageInput) -> Record:
    record = estimator.estimate(image.data if image.data is not None else image.name, name=image.name)
    start = perf_counter()
    get_format("jsonl").write((record,), io.BytesIO(), WriteOptions())
    return replace(record, timings={**record.timings, "write": 1000 * (perf_counter() - start)})


def measure_throughput(job: Job, images: Sequence[ImageInput], *, workers: int, count: int) -> Throughput:
    """Run `count` pictures through worker processes. The clock starts when all workers are busy."""
    threads = 1
    options = EngineOptions(workers=workers, threads=threads, timeout=60)
    warm_up = 2 * workers
    records = get_engine("processes")(_repeated(images, count + warm_up), job, options)
    for _ in range(warm_up):
        next(records)
    start = perf_counter()
    done = sum(1 for _ in records)
    return Throughput(workers, threads, done / (perf_counter() - start))


def _repeated(images: Sequence[ImageInput], count: int) -> Iterator[ImageInput]:
    for number in range(count):
        yield images[number % len(images)]

"""The contract of all engines: one test for each of its sentences."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from posecli.errors import FatalError
from posecli.inputs.clip_decoder import ReadLimits, expand
from posecli.inputs.clips import ClipOptions
from posecli.model.locate import read_model_file
from posecli.records.identity import RunIdentity
from posecli.run import batch, engines
from posecli.run.destinations import AnnotatedClips, AnnotatedPictures, Destinations, ImageFiles, Policy
from posecli.run.engines import EngineOptions, get_engine, processes, ray
from posecli.run.pipeline import Work
from posecli.run.report import Report
from posecli.run.worker import Job, JobModel
from posecli.types import ImageInput, Record, Settings

from ..conftest import Gate, spawned_children, wait_for
from ..tiny_model import draw_discs, person_at

OPTIONS = EngineOptions(workers=2, threads=1, timeout=60)


@pytest.fixture(params=engines.ENGINE_NAMES)
def engine(request: pytest.FixtureRequest) -> engines.Engine:
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return get_engine(request.param)


@pytest.fixture
def job(tiny_model: Path) -> Job:
    return Job(Settings(), JobModel.of(read_model_file(tiny_model)))


@pytest.fixture
def pictures(tmp_path: Path) -> list[ImageInput]:
    """Thirty inputs, every tenth damaged."""
    inputs = []
    for index in range(30):
        path = tmp_path / f"{index:02d}.png"
        if index % 10 == 3:
            path.write_bytes(b"damaged")
        else:
            draw_discs([person_at(60 + 3 * index, 60)]).save(path)
        inputs.append(ImageInput(str(path), path.name))
    return inputs


def names(records: list[Record]) -> list[str]:
    return [record.image for record in records]


def test_each_input_has_one_record_in_order(engine: engines.Engine, pictures: list[ImageInput], job: Job) -> None:
    records = list(engine(iter(pictures), job, OPTIONS))
    assert names(records) == [image.name for image in pictures]
    assert records == list(get_engine("serial")(pictures, job, OPTIONS))
    assert [record.ok for record in records] == [index % 10 != 3 for index in range(30)]


def test_no_input_gives_no_record(engine: engines.Engine, job: Job) -> None:
    assert list(engine([], job, OPTIONS)) == []


def test_work_in_flight_is_bounded(engine: engines.Engine, pictures: list[ImageInput], job: Job) -> None:
    taken = 0

    def endless() -> Iterator[ImageInput]:
        nonlocal taken
        while True:
            taken += 1
            yield pictures[0]

    with closing(engine(endless(), job, OPTIONS)) as records:  # type: ignore[type-var]
        for _ in range(50):
            next(records)
    in_flight = {
        "serial": engines.PICTURES_AHEAD + 1,
        "processes": engines.PICTURES_AHEAD + 1,
        "ray": (ray.TASKS_AHEAD + 1) * ray.CHUNK,
    }
    assert taken <= 50 + in_flight[engine.__module__.rpartition(".")[2]]


def test_a_model_that_cannot_load_is_one_fatal_error(
    engine: engines.Engine, pictures: list[ImageInput], job: Job
) -> None:
    with pytest.raises(FatalError):
        list(engine(pictures, job._replace(model=job.model._replace(path="/no/such/model")), OPTIONS))
    with pytest.raises(FatalError, match="changed while it was in use"):
        list(engine(pictures, job._replace(model=job.model._replace(sha256="0" * 64)), OPTIONS))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_picture_that_hangs_costs_only_its_own_record(
    engine: engines.Engine, pictures: list[ImageInput], job: Job, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "hang.png")
    inputs = [*pictures[:5], ImageInput(str(tmp_path / "hang.png"), "hang.png"), *pictures[5:]]
    records = list(engine(inputs, job, OPTIONS._replace(timeout=5)))
    assert sorted(names(records)) == sorted(image.name for image in inputs)
    (hung,) = [record for record in records if record.image.endswith("hang.png")]
    assert hung.error is not None
    assert hung.error.code == "timed_out"
    assert sum(record.ok for record in records) == 27


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_killed_worker_costs_only_its_current_picture(
    pictures: list[ImageInput], job: Job, tmp_path: Path, make_gate: Callable[[Path], Gate]
) -> None:
    many = [ImageInput(image.name, image.output) for _ in range(10) for image in pictures]
    gates = {number: make_gate(tmp_path / f"gate{number}.png") for number in (20, 120, 200)}
    for number, gate in gates.items():
        many[number] = ImageInput(str(gate.path), gate.path.name)
    records: list[Record] = []
    for record in processes.run(many, job, OPTIONS):
        records.append(record)
        if len(records) in gates:  # a worker is waiting at that picture
            os.kill(gates[len(records)].reader().pid, signal.SIGKILL)
    assert sorted(names(records)) == sorted(image.name for image in many)
    crashed = [record for record in records if record.error and record.error.code == "worker_crashed"]
    assert sorted(names(crashed)) == sorted(str(gate.path) for gate in gates.values())
    assert all("signal 9" in record.error.message for record in crashed if record.error)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_no_process_is_left_behind(pictures: list[ImageInput], job: Job) -> None:
    before = spawned_children()
    records = processes.run(pictures, job, OPTIONS)
    next(records)
    assert len(spawned_children() - before) == 2
    records.close()
    wait_for(lambda: not spawned_children() - before)


def test_results_are_ordered_and_their_number_in_flight_is_bounded() -> None:
    order: engines.InOrder[int] = engines.InOrder()
    assert [order.begin() for _ in range(3)] == [0, 1, 2]
    assert [list(order.take(number, 10 * number)) for number in (2, 1)] == [[], []]
    assert (order.may_begin(ahead=4), order.may_begin(ahead=3)) == (True, False)
    assert list(order.take(0, 0)) == [0, 10, 20]
    assert order.may_begin(ahead=1)


def test_bytes_in_flight_are_bounded() -> None:
    order: engines.InOrder[str] = engines.InOrder()
    assert order.may_begin(100, ahead=9, bytes_ahead=10)  # a single piece of any size may begin
    assert [order.begin(weight) for weight in (5, 3)] == [0, 1]
    assert [order.may_begin(weight, ahead=9, bytes_ahead=10) for weight in (0, 2, 3)] == [True, True, False]
    list(order.take(1, "waits for the first"))
    assert not order.may_begin(3, ahead=9, bytes_ahead=10)
    list(order.take(0, "first"))
    assert order.may_begin(10, ahead=9, bytes_ahead=10)


def test_a_slow_picture_delays_a_bounded_number_of_pictures(
    pictures: list[ImageInput], job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe without a writer blocks until the timeout. Until then, a bounded number of other inputs is read."""
    monkeypatch.setattr(processes, "PICTURES_AHEAD", 12)
    os.mkfifo(tmp_path / "slow.png")
    pulled = 0

    def many() -> Iterator[ImageInput]:
        nonlocal pulled
        yield ImageInput(str(tmp_path / "slow.png"), "slow.png")
        for image in pictures:
            pulled += 1
            yield image

    records = processes.run(many(), job, OPTIONS._replace(timeout=2))
    first = next(records)
    assert (first.error and first.error.code, pulled <= 13) == ("timed_out", True)
    assert names([first, *records])[1:] == [image.name for image in pictures]


def test_pixels_in_flight_are_bounded(engine: engines.Engine, job: Job) -> None:
    """The pixels of a chunk that is being collected are added to the limit."""
    taken, size = 0, (1600, 1000)
    weight = 3 * size[0] * size[1]

    def endless() -> Iterator[ImageInput]:
        nonlocal taken
        while True:
            taken += 1
            yield ImageInput("a.mp4", "a.mp4", frame=taken, time=float(taken), pixels=(*size, bytes(weight)))

    with closing(engine(endless(), job, OPTIONS)) as records:  # type: ignore[type-var]
        assert [next(records).frame for _ in range(30)] == list(range(1, 31))
    assert (taken - 30) * weight <= engines.FRAME_BYTES_AHEAD + ray.CHUNK_BYTES + weight


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_slow_picture_delays_a_bounded_number_of_pixels(job: Job, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "slow.png")
    pulled, size = 0, (1280, 1024)
    weight = 3 * size[0] * size[1]

    def many() -> Iterator[ImageInput]:
        nonlocal pulled
        yield ImageInput(str(tmp_path / "slow.png"), "slow.png")
        for number in range(80):
            pulled += 1
            yield ImageInput("a.mp4", "a.mp4", frame=number, time=float(number), pixels=(*size, bytes(weight)))

    records = processes.run(many(), job, OPTIONS._replace(timeout=2))
    first = next(records)
    assert (first.error and first.error.code) == "timed_out"
    assert (pulled - 1) * weight <= engines.FRAME_BYTES_AHEAD
    assert [record.frame for record in records] == list(range(80))


@pytest.fixture
def clips_and_pictures(tmp_path: Path, pictures: list[ImageInput]) -> list[ImageInput]:
    """Two clips of a moving person, between pictures."""
    found = pictures[:8]
    for place, step in ((2, 6), (5, -4)):
        frames = [draw_discs([person_at(120 + step * index, 60)]) for index in range(9)]
        path = tmp_path / f"clip{place}.webp"
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=80, lossless=True)
        found.insert(place, ImageInput(str(path), path.name))
    return found


@pytest.mark.parametrize("settings", [Settings(), Settings(track=True, smooth=True, zoom=True)])
def test_all_engines_write_the_same_clips_and_files(
    settings: Settings, engine: engines.Engine, clips_and_pictures: list[ImageInput], job: Job, tmp_path: Path
) -> None:
    def run(which: engines.Engine, name: str) -> dict[str, bytes]:
        files = ImageFiles(str(tmp_path / name), "json")
        pictures = AnnotatedPictures(str(tmp_path / name), is_file=False)
        clips = AnnotatedClips(str(tmp_path / name), is_file=False)
        work = Work(settings, ClipOptions(), Destinations(None, files, pictures, clips), timeout=20)
        mine = job._replace(settings=settings, pictures=pictures, image_files=None if work.has_steps else files)
        status = batch.run(
            iter(clips_and_pictures),
            lambda inputs: which(inputs, mine, OPTIONS),
            work,
            Report(quiet=True),
            policy=Policy.REFUSE,
            identity=RunIdentity(job.model.sha256, settings),
        )
        assert status == 1  # one of the pictures is damaged
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    found = run(engine, "found")
    assert found == run(get_engine("serial"), "expected")
    assert len([name for name in found if name.startswith("clip")]) == 2 * (9 + 1)


def test_all_engines_give_the_same_records_of_a_folder_read_as_a_clip(
    engine: engines.Engine, pictures: list[ImageInput], job: Job, tmp_path: Path
) -> None:
    clip = ImageInput(str(tmp_path), "clip", members=tuple(pictures))
    frames = list(expand([clip], ClipOptions(fps=20), limits=ReadLimits(), grouped=True))
    mine = job._replace(settings=Settings(track=True, zoom=True))
    records = list(engine(frames, mine, OPTIONS))
    assert [(record.frame, record.file, record.ok) for record in records] == [
        (index, image.name, index % 10 != 3) for index, image in enumerate(pictures)
    ]
    assert records == list(get_engine("serial")(frames, mine, OPTIONS))

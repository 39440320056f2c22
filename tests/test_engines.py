"""The contract of all engines, one test for each of its sentences."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from posecli import engines
from posecli.engines import EngineOptions, get_engine, processes, ray
from posecli.errors import FatalError
from posecli.model.catalog import read_model_file
from posecli.types import ImageInput, Record, Settings
from posecli.worker import Job

from .conftest import Gate, spawned_children, wait_for
from .tiny_model import draw_discs, person_at

OPTIONS = EngineOptions(workers=2, threads=1, timeout=60)


@pytest.fixture(params=engines.ENGINE_NAMES)
def engine(request: pytest.FixtureRequest) -> engines.Engine:
    if request.param == "ray":
        request.getfixturevalue("ray_cluster")
    return get_engine(request.param)


@pytest.fixture
def job(tiny_model: Path) -> Job:
    return Job(Settings(), str(tiny_model), read_model_file(tiny_model).sha256)


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


def test_same_records_in_order_n_in_n_out(engine: engines.Engine, pictures: list[ImageInput], job: Job) -> None:
    records = list(engine(iter(pictures), job, OPTIONS))
    assert names(records) == [image.name for image in pictures]
    assert records == list(get_engine("serial")(pictures, job, OPTIONS))
    assert [record.ok for record in records] == [index % 10 != 3 for index in range(30)]


def test_no_input_no_record(engine: engines.Engine, job: Job) -> None:
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
        "serial": 1,
        "processes": processes.ORDER_WINDOW + processes.IN_HAND * OPTIONS.workers,
        "ray": (ray.ORDER_WINDOW + 2 * ray.AHEAD + 1) * ray.CHUNK,
    }
    assert taken <= 50 + in_flight[engine.__module__.rpartition(".")[2]]


def test_a_model_that_cannot_load_is_one_fatal_error(
    engine: engines.Engine, pictures: list[ImageInput], job: Job
) -> None:
    with pytest.raises(FatalError):
        list(engine(pictures, job._replace(model_path="/no/such/model"), OPTIONS))
    with pytest.raises(FatalError, match="changed while it was in use"):
        list(engine(pictures, job._replace(model_sha256="0" * 64), OPTIONS))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_hanging_picture_costs_itself_only(
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
def test_a_killed_worker_costs_its_own_picture_only(
    pictures: list[ImageInput], job: Job, tmp_path: Path, make_gate: Callable[[Path], Gate]
) -> None:
    many = [ImageInput(image.name, image.output) for _ in range(10) for image in pictures]
    gates = {number: make_gate(tmp_path / f"gate{number}.png") for number in (20, 120, 200)}
    for number, gate in gates.items():
        many[number] = ImageInput(str(gate.path), gate.path.name)
    records: list[Record] = []
    for record in processes.run(many, job, OPTIONS):
        records.append(record)
        if len(records) in gates:  # and that picture is the next one of a worker
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


def test_a_slow_picture_does_not_hold_up_the_output_for_ever() -> None:
    def late_first() -> Iterator[tuple[int, Record]]:
        for index in [*range(1, 400), 0]:
            yield index, Record.failed(str(index), "internal_error", "x")

    order = [int(record.image) for record in engines.in_order(late_first(), window=256)]
    assert sorted(order) == list(range(400))
    assert order[:10] == list(range(1, 11))
    assert order.index(0) == 399

"""Failures on a cluster: lost workers and machines, killed drivers, missing models.

A real cluster of two nodes runs on this machine. `test_engines.py` tests the contract of all engines.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from posecli.errors import EngineError, ModelError
from posecli.model.locate import read_model_file
from posecli.records.parts import list_parts, read_parts
from posecli.run.engines import EngineOptions, ray
from posecli.run.worker import Job, JobModel
from posecli.types import ImageInput, Record, Settings

from ..conftest import PATIENCE, Gate, Posecli, running, wait_for
from ..tiny_model import draw_discs, person_at

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")]
OPTIONS = EngineOptions(workers=2, threads=1, timeout=60)


@pytest.fixture
def job(tiny_model: Path) -> Job:
    return Job(Settings(), JobModel.of(read_model_file(tiny_model)))


@pytest.fixture
def many(tmp_path: Path) -> list[ImageInput]:
    """Eight hundred links to one picture."""
    picture = tmp_path / "picture.png"
    draw_discs([person_at(80, 60)]).save(picture)
    inputs = []
    for number in range(800):
        path = tmp_path / f"{number:04d}.png"
        path.symlink_to(picture)
        inputs.append(ImageInput(str(path), path.name))
    return inputs


@pytest.fixture
def gate(many: list[ImageInput], make_gate: Callable[[Path], Gate]) -> Gate:
    """Picture 100 of the many. Its task is submitted before 64 records are returned: a task has 32 pictures, and more
    than one task is in flight even if the cluster has one CPU core."""
    return make_gate(Path(many[100].name))


def names(records: list[Record]) -> list[str]:
    return sorted(Path(record.image).name for record in records)


def run_with(fault: Any, many: list[ImageInput], job: Job) -> list[Record]:
    """All records of a run in which a fault happens after 64 records."""
    records: list[Record] = []
    for record in ray.run(many, job, OPTIONS):
        records.append(record)
        if len(records) == 64:
            fault()
    assert names(records) == names([Record.failed(image.name, "", "") for image in many])
    return records


def test_a_killed_task_is_retried(ray_cluster: Any, many: list[ImageInput], gate: Gate, job: Job) -> None:
    def kill() -> None:
        worker = gate.reader()
        gate.replace(Path(many[0].name))
        os.kill(worker.parent, signal.SIGKILL)

    assert all(record.ok for record in run_with(kill, many, job))


def test_a_picture_that_crashes_its_process_costs_only_its_own_record(
    ray_cluster: Any, many: list[ImageInput], gate: Gate, job: Job
) -> None:
    def kill() -> None:
        os.kill(gate.reader().pid, signal.SIGKILL)

    failed = [record for record in run_with(kill, many, job) if record.error is not None]
    assert [(record.image, record.error.code) for record in failed if record.error] == [
        (str(gate.path), "worker_crashed")
    ]


@pytest.mark.parametrize("allow_graceful", [True, False])
def test_no_record_is_lost_with_a_node(
    allow_graceful: bool, ray_cluster: Any, many: list[ImageInput], job: Job
) -> None:
    node = ray_cluster.add_node(num_cpus=1)
    records = run_with(lambda: ray_cluster.remove_node(node, allow_graceful=allow_graceful), many, job)
    assert all(record.ok for record in records)


def test_a_run_whose_driver_was_killed_is_resumed(
    ray_cluster: Any, many: list[ImageInput], gate: Gate, tiny_model: Path, tmp_path: Path, posecli: Posecli
) -> None:
    listing, out = tmp_path / "list.txt", tmp_path / "out"
    listing.write_text("\n".join(image.name for image in many))
    command = [
        "estimate", "--files-from", listing, "-o", f"{out}/", "--shards", "--shard-size", "16",
        "--engine", "ray", "--ray-address", ray_cluster.address,
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "posecli", *map(str, command), "--model", str(tiny_model)], stderr=subprocess.PIPE
    )
    wait_for(lambda: process.poll() is not None or len(list(list_parts(str(out)))) >= 3)
    process.kill()
    gate.replace(Path(many[0].name))
    gate.close()
    process.communicate()
    result = posecli(*command, "--resume")
    assert result.returncode == 0, result.stderr
    assert b"800 pictures = " in result.stderr
    assert b"= 0 ok" not in result.stderr
    assert b" + 0 failed" in result.stderr
    assert b" + 0 skipped" not in result.stderr
    assert names(list(read_parts(str(out)))) == names([Record.failed(image.name, "", "") for image in many])


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_stops_its_own_cluster(
    stop: int, status: int, many: list[ImageInput], gate: Gate, tiny_model: Path, tmp_path: Path
) -> None:
    listing, out = tmp_path / "list.txt", tmp_path / "out.jsonl"
    listing.write_text("\n".join(image.name for image in many))
    command = ["estimate", "--files-from", listing, "-o", out, "--engine", "ray", "--model", tiny_model]
    process = subprocess.Popen(
        [sys.executable, "-m", "posecli", *map(str, command)], stderr=subprocess.PIPE, start_new_session=True
    )
    wait_for(lambda: process.poll() is not None or (out.exists() and out.stat().st_size))
    os.killpg(process.pid, stop) if stop == signal.SIGINT else process.terminate()
    text = process.communicate(timeout=PATIENCE)[1].decode()
    gate.close()
    assert process.returncode == status, text
    assert "Traceback" not in text
    assert "--resume continues" in text
    wait_for(lambda: not any(found.session == process.pid for found in running()))


def test_pieces_in_flight_are_bounded(ray_cluster: Any, job: Job) -> None:
    taken = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    with closing(ray.run_pieces(endless(), _echo, job, OPTIONS)) as results:  # type: ignore[type-var]
        given = [next(results) for _ in range(100)]
    assert given == list(range(1, 101))
    assert taken <= 100 + ray.TASKS_AHEAD + 1


def test_summaries_are_in_the_order_of_the_pieces(ray_cluster: Any, job: Job) -> None:
    """Even if a worker starts late."""
    pieces = range(2 * ray.TASKS_AHEAD)
    assert list(ray.run_pieces(pieces, _echo, job, OPTIONS)) == list(pieces)


def _echo(number: int, estimate: object) -> int:
    return number


def test_an_address_without_a_cluster_is_an_error(
    many: list[ImageInput], job: Job, tmp_path: Path, posecli: Posecli
) -> None:
    result = posecli("estimate", many[0].name, "--engine", "ray", "--ray-address", "127.0.0.1:1")
    assert result.returncode == 4
    assert b"cannot reach the Ray cluster at 127.0.0.1:1" in result.stderr
    assert b"Traceback" not in result.stderr


def test_a_model_is_written_on_machines_that_do_not_have_it(job: Job, tiny_model: Path, tmp_path: Path) -> None:
    elsewhere = job.model._replace(path=str(tmp_path / "elsewhere" / tiny_model.name))
    second = tmp_path / "second.tflite"
    second.write_bytes(b"second")
    zoom_model = JobModel(str(tmp_path / "elsewhere" / second.name), read_model_file(second).sha256)
    there, models = job.with_models(elsewhere, zoom_model), [tiny_model.read_bytes(), b"second"]
    here = ray.with_models_here(there, models)
    assert [Path(model.path).read_bytes() for model in here.models] == models
    assert [Path(model.path).name for model in here.models] == [tiny_model.name, second.name]
    assert ray.with_models_here(there, [b"not looked at again"] * 2) == here
    assert ray.with_models_here(job, [b""]) == job
    with pytest.raises(ModelError, match="changed"):
        ray.with_models_here(there.with_models(elsewhere._replace(sha256="1" * 64)), models[:1])


def test_another_version_on_the_cluster_is_refused(ray_cluster: Any, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "__version__", "9.9")
    context = ray.Context(job, OPTIONS, os.getcwd(), version="0.0")
    assert isinstance(ray._do(0, _echo, context, b""), EngineError)


def test_chunks_of_frames_are_small() -> None:
    still = ImageInput("a", "a")
    frame = still._replace(pixels=(1, 1, bytes(ray.CHUNK_BYTES // 4)))
    assert [len(chunk) for chunk in ray.chunks([still] * 70)] == [32, 32, 6]
    assert [len(chunk) for chunk in ray.chunks([frame] * 10)] == [4, 4, 2]

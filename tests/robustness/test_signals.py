"""Processes that are stopped, killed or terminated at critical moments."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from posecli.errors import EngineError
from posecli.files import child_process
from posecli.files.child_process import Child, RunningTime
from posecli.inputs.clip_decoder import ReadLimits, expand
from posecli.inputs.clips import ClipOptions
from posecli.model.locate import read_model_file
from posecli.run.engines import EngineOptions, processes
from posecli.run.worker import Job, JobModel
from posecli.types import ImageInput, Settings

from ..conftest import Gate, spawned_children, wait_for
from ..tiny_model import draw_discs, person_at

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
OPTIONS = EngineOptions(workers=1, threads=1, timeout=60)


@pytest.fixture
def job(tiny_model: Path) -> Job:
    return Job(Settings(), JobModel.of(read_model_file(tiny_model)))


@pytest.fixture
def clip(tmp_path: Path) -> ImageInput:
    first, *others = [draw_discs([person_at(60 + 8 * number, 80)]) for number in range(3)]
    path = tmp_path / "clip.webp"
    first.save(path, save_all=True, append_images=others, duration=100, lossless=True)
    return ImageInput(str(path), path.name)


def test_a_stopped_worker_does_not_stop_the_run(job: Job) -> None:
    """Frames of a megabyte are larger than a pipe: a blocking parent would wait until the worker reads."""
    pixels = (640, 480, np.full((480, 640, 3), 128, np.uint8).tobytes())
    frames = [ImageInput("clip", f"clip_{number}", frame=number, pixels=pixels) for number in range(12)]
    before = spawned_children()
    records = processes.run(frames, job, OPTIONS._replace(timeout=1.5))
    found = [next(records)]
    for pid in spawned_children() - before:
        os.kill(pid, signal.SIGSTOP)
    found += records
    assert [record.frame for record in found] == list(range(12))
    assert [record.error.code for record in found if record.error is not None] == ["timed_out"]


def test_a_worker_that_hangs_during_loading_is_an_error(
    job: Job, tmp_path: Path, make_gate: Callable[[Path], Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "LOADING_SECONDS", 0.2)
    model = make_gate(tmp_path / "model")
    with pytest.raises(
        EngineError, match=r"3 worker processes failed to load the model; the last one hung for 0\.2 seconds"
    ):
        list(
            processes.run(
                [ImageInput("a.png", "a.png")], job._replace(model=JobModel(str(model.path), "0" * 64)), OPTIONS
            )
        )


def test_the_timeout_does_not_include_time_in_which_all_processes_were_stopped(
    job: Job, tmp_path: Path, make_gate: Callable[[Path], Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, real, jump, calls = make_gate(tmp_path / "gate.png"), child_process.monotonic, [0.0], [0]

    def clock() -> float:
        calls[0] += 1
        return real() + jump[0]

    def stop_and_continue() -> None:
        gate.reader()
        jump[0], before = 1000.0, calls[0]  # the clock jumps, as for a process group that was stopped
        wait_for(lambda: calls[0] > before + 2)
        gate.close()

    monkeypatch.setattr(child_process, "monotonic", clock)
    thread = threading.Thread(target=stop_and_continue)
    thread.start()
    (record,) = processes.run([ImageInput(str(gate.path), "gate.png")], job, OPTIONS)
    thread.join()
    assert record.error is not None
    assert record.error.code == "unreadable_image"


def test_the_running_time_does_not_include_stopped_time(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.25, 0.75, 600.0, 600.5])
    monkeypatch.setattr(child_process, "monotonic", lambda: next(times))
    clock = RunningTime()
    assert [clock.now() for _ in range(4)] == [0.25, 0.75, 1.75, 2.25]


def test_a_decoder_killed_between_two_clips_costs_no_clip(clip: ImageInput) -> None:
    before = spawned_children()
    frames = []
    for image in expand([clip, clip], ClipOptions(), limits=ReadLimits()):
        frames.append(image)
        if len(frames) == 3:  # the next frame is from the second clip
            (pid,) = spawned_children() - before
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: pid not in spawned_children())  # noqa: B023 (called at once)
    failures = [frame.failure for frame in frames if frame.failure is not None]
    assert all(code == "worker_crashed" for code, _ in failures)
    assert [frame.frame for frame in frames[:3]] == [0, 1, 2]
    assert [frame.frame for frame in frames if frame.failure is None][-3:] == [0, 1, 2]


#: Prints the blocked signals of a child. Runs in a separate process: other modules loaded by tests do not survive a
#: fork.
FIRST_CHILD = """
import signal, sys
from posecli.files.child_process import Child

def blocked_signals(connection):
    connection.send(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))

if __name__ == "__main__":
    child = Child(blocked_signals, name="test", forked=sys.argv[1] == "forked")
    print(*map(int, child.connection.recv()))
    child.stop()
"""


@pytest.mark.parametrize("how", ["forked", "spawned"])
def test_ctrl_c_is_blocked_in_the_first_child_too(how: str, tmp_path: Path) -> None:
    (tmp_path / "first_child.py").write_text(FIRST_CHILD)
    found = subprocess.run([sys.executable, tmp_path / "first_child.py", how], capture_output=True, check=True)
    blocked = [int(number) for number in found.stdout.split()]
    assert (signal.SIGINT in blocked, signal.SIGTERM in blocked) == (True, False)


@pytest.mark.skipif(sys.platform != "linux", reason="forks only there")
def test_a_single_picture_that_crashes_gives_an_error_record(
    tiny_model: Path, tmp_path: Path, make_gate: Callable[[Path], Gate]
) -> None:
    gate = make_gate(tmp_path / "gate.png")
    run = subprocess.Popen(
        [sys.executable, "-m", "posecli", "estimate", gate.path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "POSECLI_MODEL": str(tiny_model)},
    )
    reader = gate.reader()
    assert reader.parent == run.pid
    os.kill(reader.pid, signal.SIGKILL)
    out, errors = run.communicate(timeout=60)
    assert (json.loads(out)["error"]["code"], run.returncode) == ("worker_crashed", 1)
    assert b"was killed by signal 9" in errors


def noisy(connection: Connection) -> None:
    warnings.warn("odd bytes", stacklevel=1)
    os.write(2, b"native text")
    connection.send(None)


@pytest.mark.parametrize("debugging", ["", "1"])
def test_output_of_workers_is_shown_only_with_debug(
    debugging: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSECLI_DEBUG", debugging)
    child = Child(noisy, name="test")
    try:
        assert child.wait_for_message(60)
    finally:
        child.stop()
    said = capfd.readouterr().err
    assert ("odd bytes" in said, "native text" in said) == (bool(debugging), bool(debugging))

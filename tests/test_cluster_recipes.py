"""The recipes for Kubernetes and Slurm in docs/cluster/."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from posecli.records.parts import read_parts

from .conftest import ROOT, running
from .tiny_model import draw_discs, person_at

RECIPES = ROOT / "docs" / "cluster"


def test_the_kubernetes_manifest_is_a_ray_job_that_runs_posecli(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((RECIPES / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    groups = [job["spec"]["rayClusterSpec"]["headGroupSpec"], *job["spec"]["rayClusterSpec"]["workerGroupSpecs"]]
    for group in groups:
        (container,) = group["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "object-storage"}}]
    words = job["spec"]["entrypoint"].split()
    help_text = subprocess.run(
        [sys.executable, "-m", "posecli", words[1], "--help"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert set(re.findall(r"--[a-z-]+", " ".join(words))) <= set(re.findall(r"--[a-z][a-z-]+", help_text))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="for Linux")
def test_the_slurm_script_runs_on_one_machine(tmp_path: Path, tiny_model: Path) -> None:
    """With fakes of Slurm's commands, and the real Ray."""
    pytest.importorskip("ray")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in {
        "scontrol": "echo localhost",
        "srun": 'while case "$1" in --*) ;; *) false ;; esac; do shift; done; exec "$@"',
        "hostname": "echo 127.0.0.1",
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    pictures = tmp_path / "in"
    pictures.mkdir()
    for number in range(5):
        draw_discs([person_at(80, 80)]).save(pictures / f"{number}.png")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "SLURM_JOB_NODELIST": "localhost", "SLURM_CPUS_PER_TASK": "1", "RAY_PORT": str(_free_port()),
        "POSECLI_MODEL": str(tiny_model), "POSECLI_TEST_MARK": str(tmp_path),
    }  # fmt: skip
    with (tmp_path / "log").open("wb") as log:
        script = subprocess.Popen(
            [RECIPES / "slurm.sh", pictures, f"{tmp_path}/out/", "--shard-size", "2"],
            env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        assert script.wait(timeout=300) == 0, (tmp_path / "log").read_text()
        assert len(list(read_parts(f"{tmp_path}/out/"))) == 5
    finally:
        os.killpg(script.pid, signal.SIGTERM)  # as Slurm does at the end of a job
        _kill_all(f"POSECLI_TEST_MARK={tmp_path}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _kill_all(variable: str) -> None:
    """Kill the processes with this variable in their environment. `ray stop` would also stop other clusters of the
    machine."""
    for found in running():
        with suppress(OSError):
            if variable.encode() in Path(f"/proc/{found.pid}/environ").read_bytes().split(b"\0"):
                os.kill(found.pid, signal.SIGKILL)

"""posecli does not use the network with --offline, and never sends usage data."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from .conftest import SAMPLES, records_of
from .cut_off import CutOff, run_cut_off

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="attempts are counted by a filter of the Linux kernel")


def run(*command: object, model: Path | None = None, **environment: str) -> CutOff:
    named = {"POSECLI_MODEL": str(model)} if model is not None else {}
    return run_cut_off(list(map(os.fspath, command)), env={**os.environ, **named, **environment})  # type: ignore[arg-type]


def posecli(*arguments: object, model: Path | None = None, **environment: str) -> CutOff:
    return run(sys.executable, "-m", "posecli", *arguments, model=model, **environment)


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK])
def test_attempts_are_refused_and_counted(family: int) -> None:
    """Those of child processes are counted too."""
    code = f"import socket\ntry: socket.socket({int(family)}, socket.SOCK_DGRAM)\nexcept OSError as e: print(e.errno)"
    starter = f"import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', {code!r}]).returncode)"
    result = run(sys.executable, "-c", starter)
    assert (result.returncode, result.stdout, result.attempts) == (0, b"101\n", [family])


def test_local_sockets_are_allowed() -> None:
    """Socket pairs, for communication between the processes of one program, do not reach the network."""
    result = run(sys.executable, "-c", "import socket; socket.socket(socket.AF_UNIX); socket.socketpair()")
    assert (result.returncode, result.attempts) == (0, [socket.AF_UNIX])


def test_a_download_attempts_a_connection(tmp_path: Path) -> None:
    environment = {"POSECLI_CACHE": str(tmp_path), "POSECLI_MODEL_SOURCES": "official"}
    result = posecli("model", "download", "--force", **environment)
    assert result.returncode == 4, result.stderr
    assert socket.AF_INET in result.attempts


@pytest.mark.parametrize("offline", [["--offline"], []])
@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_estimate_does_not_use_the_network(engine: str, offline: list[str], real_model: Path, tmp_path: Path) -> None:
    """With LiteRT and the real model, in all processes. If the model is present, --offline changes nothing."""
    words = ("estimate", SAMPLES, *offline, "--engine", engine, "--workers", "2", "-a", f"{tmp_path}/a/", "-f", "jsonl")
    result = posecli(*words, model=real_model)
    assert result.returncode == 0, result.stderr
    assert sum(len(record.poses) for record in records_of(result.stdout)) >= 5
    assert len(list((tmp_path / "a").rglob("*.png"))) == 3
    assert result.attempts == []


def test_offline_without_a_model_fails_without_an_attempt(tmp_path: Path) -> None:
    """The model of the checkout has another name, so it is not used."""
    result = posecli("estimate", SAMPLES, "--offline", "--model", "movenet_singlepose_lightning_int8")
    assert result.returncode == 4, result.stderr
    assert result.attempts == []

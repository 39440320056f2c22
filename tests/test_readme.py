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
BLOCKS = re.findall(r"^```(sh install|sh|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def workspace(tmp_path: Path, real_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the samples, with posecli on the PATH and the model in POSECLI_MODEL."""
    shutil.copytree(SAMPLES, tmp_path / "samples")
    monkeypatch.setenv("POSECLI_MODEL", str(real_model))
    monkeypatch.setenv("PIP_TARGET", str(tmp_path / "installed"))  # installed packages must not affect other tests
    monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind == "sh"])
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


@pytest.mark.parametrize("block", [text for kind, text in BLOCKS if kind == "python"])
def test_python_code_runs(block: str, workspace: Path) -> None:
    subprocess.run([sys.executable, "-c", block], cwd=workspace, timeout=300, check=True)


@pytest.mark.slow
def test_the_installation_works(tmp_path: Path) -> None:
    """In a copy of the checkout, without its build files and environments."""
    (block,) = [text for kind, text in BLOCKS if kind == "sh install"]
    for name in ("pyproject.toml", "README.md", "LICENSE", "src"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    block = block.replace("python3 -m venv", f"{sys.executable} -m venv").replace("pip install", "pip install -q")
    subprocess.run(["bash", "-euo", "pipefail", "-c", block], cwd=tmp_path, timeout=300, check=True)
    version = subprocess.run(
        [tmp_path / ".venv/bin/posecli", "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert version.stdout.startswith("posecli ")


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

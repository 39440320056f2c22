"""Every command in the README and in docs/ runs as written, on the sample pictures and with the real model."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, SAMPLES

DOCUMENTS = {
    str(path.relative_to(ROOT)): path.read_text("utf-8")
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
}
BLOCK = re.compile(r"^```(.*?)\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: Everything else in code blocks is for the eye: data, diagrams, and the steps that `.ci/run` takes.
NOT_RUN = {"", "json", "yaml", "python no-test", "sh contributing"}
#: Made from docstrings, which have no commands.
GENERATED = ("docs/python-reference.md", "docs/options.md")


def _blocks(kind: str) -> list[Any]:
    """The blocks of one kind in all documents, each once."""
    found = {
        text: pytest.param(text, id=f"{name}-{number}")
        for name, document in DOCUMENTS.items()
        if name not in GENERATED
        for number, (its_kind, text) in enumerate(BLOCK.findall(document), 1)
        if its_kind == kind
    }
    return list(found.values())


def test_every_block_of_code_is_run_or_known_not_to_be() -> None:
    kinds = {kind for name, text in DOCUMENTS.items() if name not in GENERATED for kind, _ in BLOCK.findall(text)}
    assert kinds <= {"sh", "python", "sh install", "sh docker", *NOT_RUN}


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
    for name in (
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "Dockerfile",
        ".dockerignore",
        "hatch_build.py",
        "src",
        "samples",
    ):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    return copy


@pytest.mark.slow
@pytest.mark.parametrize("block", _blocks("sh install"))
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
        subprocess.run(["bash", "-euo", "pipefail", "-c", block.values[0]], cwd=checkout, timeout=900, check=True)
    assert (checkout / "poses.jsonl").read_bytes().count(b"\n") >= len(list(SAMPLES.glob("*.jpg")))
    assert (checkout / "samples/poses.jsonl").is_file()
    assert (checkout / "samples/annotated/wave.jpg.png").is_file()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_have_a_target(name: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", DOCUMENTS[name]):
        assert ((ROOT / name).parent / target).exists(), target


@pytest.mark.parametrize("name", ["README.md", *(name for name in DOCUMENTS if name.startswith("docs/"))])
def test_options_in_documents_exist(name: str) -> None:
    """Those in running text. Blocks of code are run, and those of other programs have a page of their own."""
    known = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", DOCUMENTS["docs/options.md"])) | {"--help", "--version"}
    of_others = {
        "docs/install.md": {"--init", "--user"},
        "docs/clusters.md": {"--block", "--address"},
    }.get(name, set())
    text = BLOCK.sub("", DOCUMENTS[name])
    spans = " ".join(re.findall(r"`([^`]+)`", text))
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", spans))
    assert named - known - of_others <= {"--no-deps", "--wheel-dir", "--debug", "--strict"}


def test_the_readme_is_short() -> None:
    assert len(DOCUMENTS["README.md"].splitlines()) <= 200


def test_the_documentation_builds_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("zensical", reason="needs the extra docs")
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    pages = {path.stem for path in ROOT.glob("docs/*.md")} - {"index"}
    assert {path.parent.name for path in (tmp_path / "site").glob("*/index.html")} >= pages


@pytest.mark.slow
def test_the_source_distribution_has_man_pages(checkout: Path, tmp_path: Path) -> None:
    uv = str(Path(sys.executable).parent / "uv")
    build = [uv, "build", "--sdist", "--out-dir", str(tmp_path / "dist")]
    subprocess.run(build, cwd=checkout, timeout=300, check=True)
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {Path(name).name for name in file.getnames() if "/man/" in name}
        assert {"posecli.1", "posecli-estimate.1", "posecli-model-download.1"} <= names
        member = file.extractfile(next(one for one in file if one.name.endswith("/man/posecli-estimate.1")))
        assert member is not None
        page = member.read().decode().replace("\\-", "-")
    assert "Find people" in page
    assert "--preset" in page

"""The Dockerfile, without Docker: what it names exists, and its steps make a posecli that works.

The workflow builds the image and runs it as two users.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pytest

from .conftest import ROOT, SAMPLES, records_of

DOCKERFILE = (ROOT / "Dockerfile").read_text()


class Step(NamedTuple):
    """An instruction of the Dockerfile, and the number of its stage from 0; -1 before the first."""

    stage: int
    word: str
    text: str


def _steps() -> list[Step]:
    lines = "".join(line for line in DOCKERFILE.splitlines(keepends=True) if not line.startswith("#"))
    steps: list[Step] = []
    for line in lines.replace("\\\n", " ").splitlines():
        if line.strip():
            word, text = line.split(maxsplit=1)
            stage = (steps[-1].stage if steps else -1) + (word == "FROM")
            steps.append(Step(stage, word, text))
    return steps


STEPS = _steps()
LAST_STAGE = STEPS[-1].stage


def _texts(word: str, stage: int | None = None) -> list[str]:
    return [step.text for step in STEPS if step.word == word and stage in (None, step.stage)]


def _copied() -> list[str]:
    """What is copied from the checkout."""
    return [name for text in _texts("COPY") if not text.startswith("--") for name in text.split()[:-1]]


def _is_let_through(name: str) -> bool:
    """By .dockerignore: the last line that fits decides."""
    let_through = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and fnmatch(name, line.lstrip("!")):
            let_through = line.startswith("!")
    return let_through


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    for name in _copied():
        assert (ROOT / name).exists(), name
        assert _is_let_through(name), name


def test_what_is_not_copied_is_ignored() -> None:
    for path in ROOT.iterdir():
        assert _is_let_through(path.name) == (path.name in _copied()), path.name
    assert not _is_let_through("src/posecli/__pycache__")


def test_both_stages_have_the_same_base_which_posecli_supports() -> None:
    bases = _texts("FROM")
    assert [base.split(" AS ")[0] for base in bases] == ["python:${PYTHON}-slim"] * 2
    (argument,) = _texts("ARG", stage=-1)
    assert (
        f"Programming Language :: Python :: {argument.removeprefix('PYTHON=')}" in (ROOT / "pyproject.toml").read_text()
    )


def test_what_is_copied_from_a_stage_is_made_there() -> None:
    (copied,) = [text.split() for text in _texts("COPY") if text.startswith("--from=")]
    assert _texts("FROM")[0].endswith(f" AS {copied[0].removeprefix('--from=')}")
    assert copied[1] == copied[2]
    assert any(copied[1] in text for text in _texts("RUN", stage=0))


def test_the_comment_lists_the_build_arguments() -> None:
    listed = re.findall(r"^#   ([A-Z_]+) {2}", DOCKERFILE, re.MULTILINE)
    assert set(listed) == {text.split("=")[0] for text in _texts("ARG")}


def test_posecli_is_process_1_of_a_user_who_is_not_root() -> None:
    """In exec form no shell stands between posecli and the signals; Kubernetes refuses users by name."""
    (entry,) = _texts("ENTRYPOINT")
    assert json.loads(entry) == ["posecli"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", _texts("USER", LAST_STAGE)[-1])
    assert _texts("WORKDIR", LAST_STAGE) == ["/data"]


class Image(NamedTuple):
    """A folder in the place of the image's root."""

    root: Path
    environment: dict[str, str]

    def run(self, text: str, *, folder: str) -> subprocess.CompletedProcess[bytes]:
        """Run a shell command whose absolute paths are those of the image."""
        command = ["/bin/sh", "-euc", self.inside(text)]
        place = self.inside(folder)
        return subprocess.run(command, env=self.environment, cwd=place, capture_output=True, timeout=300, check=False)

    def inside(self, text: str) -> str:
        return re.sub(r"/(opt|data|tmp|build)\b", rf"{self.root}/\1", text)


@pytest.fixture
def image() -> Iterator[Image]:
    """An empty folder with a fresh Python, on whose PATH there is nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        for name in ("build", "data", "tmp"):
            (root / name).mkdir()
        subprocess.run([sys.executable, "-m", "venv", root / "python"], check=True, timeout=120)
        kept = {name: value for name, value in os.environ.items() if not re.match("POSECLI_|PYTHON|VIRTUAL_ENV", name)}
        yield Image(root, {**kept, "HOME": str(root / "build"), "PATH": str(root / "python/bin")})


def _copy(image: Image, text: str, folder: str) -> None:
    """What comes from another stage is there already: stages share the folder."""
    if not text.startswith("--"):
        *names, place = text.split()
        for name in names:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(image.inside(folder), place if copy is shutil.copytree else "."))


def _set(image: Image, text: str) -> None:
    for name, value in re.findall(r'(\w+)=("[^"]*"|\S+)', text):
        image.environment[name] = re.sub(
            r"\$\{?(\w+)\}?", lambda found: image.environment[found[1]], image.inside(value.strip('"'))
        )


def _follow(image: Image, step: Step, folder: str) -> None:
    if step.word == "COPY":
        _copy(image, step.text, folder)
    elif step.word in ("ARG", "ENV"):
        _set(image, step.text)
    elif step.word == "RUN":
        result = image.run(step.text, folder=folder)
        assert result.returncode == 0, (step.text, result.stdout, result.stderr)


@contextmanager
def _written_by_nobody(folder: Path) -> Iterator[None]:
    """No file below this folder is new, gone or changed afterwards."""

    def state() -> dict[Path, int]:
        return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}

    before = state()
    yield
    assert state() == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="for Linux")
def test_its_steps_make_a_posecli_that_writes_to_its_working_folder_alone(image: Image) -> None:
    """Its steps run as shell commands, in a folder instead of an image. The model is found without a network."""
    folder = "/"
    for step in STEPS:
        folder = step.text if step.word == "WORKDIR" else folder
        _follow(image, step, folder)
    shutil.copy(SAMPLES / "wave.jpg", image.root / "data")
    (entry,) = json.loads(_texts("ENTRYPOINT")[0])
    with _written_by_nobody(image.root / "opt"), _written_by_nobody(image.root / "tmp"):
        result = image.run(f"{entry} estimate /data --require-pose --offline -o poses.jsonl", folder=folder)
    assert result.returncode == 0, result.stderr
    (record,) = records_of((image.root / "data" / "poses.jsonl").read_bytes())
    assert record.status == "ok"

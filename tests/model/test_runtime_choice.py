"""Choice of the TFLite runtime. An unusable runtime is one error before the first picture."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from posecli import PoseEstimator
from posecli.errors import EngineError, PosecliError, UsageError
from posecli.model import runtime_choice
from posecli.model.locate import read_model_file
from posecli.model.runtime import find_runtime
from posecli.model.runtime_choice import choose_runtime
from posecli.run.engines import ENGINE_NAMES, EngineOptions, get_engine
from posecli.run.worker import Job, JobModel
from posecli.types import ImageInput, Settings

from ..conftest import Posecli
from ..tiny_model import draw_discs, person_at

LITERT, TFLITE = "ai-edge-litert", "tflite-runtime"
NUMPY_2 = int(np.__version__.split(".")[0]) >= 2


def installed(monkeypatch: pytest.MonkeyPatch, *packages: str, numpy: str = "2.1.0", wanted: str = "") -> None:
    """Simulate these installed runtimes, this NumPy version and this POSECLI_RUNTIME."""
    modules = [package.replace("-", "_") for package in packages]
    monkeypatch.setattr(runtime_choice, "find_spec", lambda name: object() if name in modules else None)
    monkeypatch.setattr(np, "__version__", numpy)
    monkeypatch.setenv("POSECLI_RUNTIME", wanted)


@pytest.mark.parametrize(
    ("packages", "numpy", "wanted", "chosen"),
    [
        ((LITERT, TFLITE), "2.1.0", "", LITERT),
        ((LITERT, TFLITE), "1.26.4", "", LITERT),
        ((LITERT,), "2.1.0", "", LITERT),
        ((TFLITE,), "1.26.4", "", TFLITE),
        ((LITERT, TFLITE), "1.26.4", TFLITE, TFLITE),
        ((LITERT, TFLITE), "2.1.0", LITERT, LITERT),
    ],
)
def test_litert_is_the_default(
    packages: tuple[str, ...], numpy: str, wanted: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, *packages, numpy=numpy, wanted=wanted)
    assert choose_runtime() == chosen


@pytest.mark.parametrize(
    ("packages", "wanted", "message", "remedies"),
    [
        ((), "", "no TFLite runtime is installed", ["pip install ai-edge-litert"]),
        ((TFLITE,), LITERT, "ai-edge-litert is not installed", ["pip install ai-edge-litert", "unset POSECLI_RUNTIME"]),
        ((TFLITE,), "", "tflite-runtime needs NumPy 1", ["pip install ai-edge-litert", 'pip install "numpy<2"']),
        ((LITERT, TFLITE), TFLITE, "NumPy 2.1.0 is installed", ["unset POSECLI_RUNTIME", 'pip install "numpy<2"']),
        ((TFLITE,), TFLITE, "NumPy 2.1.0", ["pip install ai-edge-litert", "unset POSECLI_RUNTIME", '"numpy<2"']),
    ],
)
def test_an_unusable_runtime_is_an_error_with_remedies(
    packages: tuple[str, ...], wanted: str, message: str, remedies: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, *packages, wanted=wanted)
    with pytest.raises(EngineError, match=message) as caught:
        choose_runtime()
    for remedy in remedies:
        assert remedy in caught.value.hint


def test_the_hint_for_tflite_runtime_depends_on_its_wheels(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, LITERT, wanted=TFLITE)
    monkeypatch.setattr(runtime_choice, "TFLITE_RUNTIME_HAS_WHEELS", True)
    with pytest.raises(EngineError, match="tflite-runtime is not installed") as caught:
        choose_runtime()
    assert 'pip install tflite-runtime "numpy<2"' in caught.value.hint
    monkeypatch.setattr(runtime_choice, "TFLITE_RUNTIME_HAS_WHEELS", False)
    with pytest.raises(EngineError, match="Python up to 3") as caught:
        choose_runtime()
    assert caught.value.hint == "unset POSECLI_RUNTIME"


def test_an_unknown_runtime_name_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, LITERT, wanted="litert")
    with pytest.raises(UsageError, match="POSECLI_RUNTIME is 'litert', expected ai-edge-litert or tflite-runtime"):
        choose_runtime()


def test_find_runtime_returns_the_chosen_runtime() -> None:
    name, interpreter = find_runtime()
    assert name == choose_runtime()
    assert interpreter.__module__.partition(".")[0] == name.replace("-", "_")
    assert (find_spec("tflite_runtime") is not None and not NUMPY_2) == (name == TFLITE)


def test_an_estimator_cannot_be_made_with_an_unusable_runtime(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSECLI_RUNTIME", "nonsense")
    with pytest.raises(UsageError, match="POSECLI_RUNTIME"):
        PoseEstimator(tiny_model)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        draw_discs([person_at(60, 60)]).save(path)
    return paths


@pytest.mark.parametrize("engine", ["serial", "processes"])
def test_workers_do_not_start_with_an_unusable_runtime(
    engine: str, pictures: list[Path], tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers of a cluster may have other packages than the machine that starts the run."""
    job = Job(Settings(), JobModel.of(read_model_file(tiny_model)))
    monkeypatch.setenv("POSECLI_RUNTIME", "nonsense")
    images = [ImageInput(str(path), path.name) for path in pictures]
    with pytest.raises(PosecliError, match="POSECLI_RUNTIME"):
        list(get_engine(engine)(images, job, EngineOptions(2, 1, 20)))


def assert_one_error(result: object, status: int, message: bytes, hint: bytes) -> None:
    """Assert that a command printed one error with its hint, and no record."""
    assert (result.returncode, result.stdout) == (status, b""), result.stderr  # type: ignore[attr-defined]
    error, remedy = result.stderr.splitlines()  # type: ignore[attr-defined]
    assert error.startswith(b"posecli: error: ")
    assert remedy.startswith(b"posecli: hint: ")
    assert message in error
    assert hint in remedy


@pytest.mark.parametrize("shards", [False, True])
@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_an_unknown_runtime_name_is_one_error(
    engine: str, shards: bool, posecli: Posecli, pictures: list[Path], tmp_path: Path
) -> None:
    more = ("-o", f"{tmp_path}/parts/", "--shards") if shards else ()
    result = posecli("estimate", *pictures, "--engine", engine, *more, env={"POSECLI_RUNTIME": "nonsense"})
    assert_one_error(result, 2, b"POSECLI_RUNTIME is 'nonsense'", b"unset POSECLI_RUNTIME")
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_tflite_runtime_with_numpy_2_is_one_error(
    engine: str, count: int, posecli: Posecli, pictures: list[Path], tmp_path: Path
) -> None:
    packages = tmp_path / "packages"
    (packages / "tflite_runtime").mkdir(parents=True)
    (packages / "sitecustomize.py").write_text("import numpy\nnumpy.__version__ = '2.1.0'\n")
    environment = {"POSECLI_RUNTIME": TFLITE, "PYTHONPATH": str(packages)}
    result = posecli("estimate", *pictures[:count], "--engine", engine, env=environment)
    assert_one_error(result, 4, b"tflite-runtime needs NumPy 1", b"unset POSECLI_RUNTIME")


@pytest.mark.parametrize("command", ["estimate", "benchmark"])
def test_a_broken_package_is_one_error(command: str, posecli: Posecli, pictures: list[Path], tmp_path: Path) -> None:
    package = tmp_path / "packages" / "ai_edge_litert"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text("raise ImportError('libshared.so: no such file')")
    environment = {"POSECLI_RUNTIME": LITERT, "PYTHONPATH": str(package.parent)}
    result = posecli(command, *pictures, env=environment)
    assert_one_error(result, 4, b"libshared.so: no such file", b"pip install --force-reinstall ai-edge-litert")


def test_every_command_that_runs_a_model_checks_the_runtime_first(
    posecli: Posecli, pictures: list[Path], tmp_path: Path
) -> None:
    quantize = ("model", "quantize", "-o", tmp_path / "int8.tflite", "--calibrate", tmp_path)
    for command in (("estimate", pictures[0]), ("benchmark", pictures[0]), quantize):
        # There is no model on this machine: the runtime is checked before the download.
        result = posecli(*command, env={"POSECLI_RUNTIME": "nonsense", "POSECLI_MODEL": "", "POSECLI_OFFLINE": "1"})
        assert_one_error(result, 2, b"POSECLI_RUNTIME", b"unset POSECLI_RUNTIME")


def test_doctor_reports_an_unknown_runtime_name(posecli: Posecli) -> None:
    result = posecli("doctor", "--json", env={"POSECLI_RUNTIME": "nonsense"})
    findings = {finding["what"]: finding for finding in json.loads(result.stdout)}
    assert result.returncode == 3
    assert (findings["runtime"]["ok"], "POSECLI_RUNTIME" in findings["runtime"]["remedy"]) == (False, True)

"""`posecli doctor`: exit status 0 if all checks pass; 3 and a remedy for each failure."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from posecli.checks import doctor
from posecli.checks.doctor import Finding, examine
from posecli.model.catalog import OFFICIAL_257

from ..conftest import Posecli


def test_all_checks_pass(posecli: Posecli) -> None:
    result = posecli("doctor")
    assert result.returncode == 0, result.stdout
    assert all(line.startswith(b"ok ") for line in result.stdout.splitlines())
    assert {finding["what"] for finding in json.loads(posecli("doctor", "--json").stdout)} >= {"model", "inference"}


def test_a_missing_model_file_is_reported(posecli: Posecli, tmp_path: Path) -> None:
    result = posecli("doctor", model=tmp_path / "none.tflite")
    assert result.returncode == 3
    assert b"FAIL  model" in result.stdout
    assert b"ok    runtime" in result.stdout


def failures(model: Path | None) -> dict[str, Finding]:
    """The failed findings by the name of the check. Each must have a remedy."""
    found = {finding.what: finding for finding in examine(str(model) if model else None) if not finding.ok}
    assert all(finding.found and finding.remedy for finding in found.values()), found
    assert all("\n" not in finding.found + finding.remedy for finding in found.values())
    return found


def test_a_missing_official_model_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("posecli.model.locate.find_local_file", lambda wanted: None)
    found = failures(None)
    assert set(found) == {"model", "inference"}
    assert OFFICIAL_257.name in found["model"].found


@pytest.mark.parametrize(
    ("name", "data", "remedy"),
    [
        ("mine.tflite", b"\0" * 100, "--model"),
        ("mine.tflite", b"", "--model"),
        (OFFICIAL_257.file_name, b"\0" * 100, "posecli model download"),
    ],
)
def test_a_damaged_model_is_reported(name: str, data: bytes, remedy: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    found = failures(tmp_path / name)
    assert set(found) == {"model", "inference"}
    assert remedy in found["model"].remedy
    assert remedy in found["inference"].remedy


def test_a_failing_inference_is_reported(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise RuntimeError("no such operator")

    monkeypatch.setattr("posecli.model.runtime.Runtime.run", fail)
    found = failures(tiny_model)
    assert set(found) == {"inference"}
    assert "no such operator" in found["inference"].found


@pytest.mark.parametrize("wanted", ["nonsense", "tflite-runtime", "ai-edge-litert"])
def test_an_unusable_runtime_is_reported(wanted: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posecli.model.runtime_choice.find_spec", lambda name: None)
    monkeypatch.setenv("POSECLI_RUNTIME", wanted)
    found = failures(tiny_model)
    assert set(found) == {"runtime", "inference"}
    assert "POSECLI_RUNTIME" in found["runtime"].remedy


def test_tflite_runtime_with_numpy_2_is_reported(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posecli.model.runtime_choice.find_spec", lambda name: object())
    monkeypatch.setattr("numpy.__version__", "2.1.0")
    monkeypatch.setenv("POSECLI_RUNTIME", "tflite-runtime")
    found = failures(tiny_model)
    assert set(found) == {"runtime", "inference"}
    assert "needs NumPy 1" in found["runtime"].found
    assert 'pip install "numpy<2"' in found["runtime"].remedy


def failing_for(name: str, error: Exception, original: Callable[[str], Any]) -> Callable[[str], Any]:
    """A function that raises for one argument, and calls the original for all others."""

    def stand_in(argument: str) -> Any:
        if argument == name:
            raise error
        return original(argument)

    return stand_in


def test_a_missing_package_is_reported(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = failing_for("tqdm", importlib.metadata.PackageNotFoundError("tqdm"), importlib.metadata.version)
    monkeypatch.setattr(importlib.metadata, "version", missing)
    found = failures(tiny_model)
    assert found["packages"][2:] == ("tqdm is not installed", "pip install tqdm")


def test_a_broken_package_is_reported(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = failing_for("tqdm", ImportError("libshared.so:\nno such file"), importlib.import_module)
    monkeypatch.setattr(importlib, "import_module", broken)
    found = failures(tiny_model)
    assert "tqdm cannot be imported: libshared.so: no such file" in found["packages"].found
    assert found["packages"].remedy == "pip install --force-reinstall tqdm"


def test_a_pillow_without_jpeg_is_reported(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda feature: feature != "jpg")
    found = failures(tiny_model)
    assert set(found) == {"pictures"}
    assert "JPEG" in found["pictures"].found


def test_an_unsupported_python_is_reported(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "OLDEST", (3, 99))
    assert set(failures(tiny_model)) == {"python"}


def test_a_file_as_cache_folder_is_reported(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        monkeypatch.setenv("POSECLI_CACHE", str(path))
        found = failures(tiny_model)
        assert set(found) == {"cache folder"}
        assert "is not a folder" in found["cache folder"].found
        assert "POSECLI_CACHE" in found["cache folder"].remedy


def test_an_unwritable_cache_folder_is_reported(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = tempfile.TemporaryFile

    def refuse(*args: Any, **options: Any) -> Any:
        if "dir" in options:
            raise PermissionError(13, "Permission denied")
        return original(*args, **options)

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    found = failures(tiny_model)
    assert set(found) == {"cache folder"}
    assert "Permission denied" in found["cache folder"].found
    assert "POSECLI_CACHE" in found["cache folder"].remedy


def test_unexpected_errors_are_reported(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise KeyError("a\nb")

    monkeypatch.setattr("posecli.model.runtime.find_runtime", fail)
    assert "reinstall posecli" in failures(tiny_model)["runtime"].remedy

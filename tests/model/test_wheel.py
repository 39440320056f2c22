"""A model as a wheel: pip installs it, and posecli finds it without a network."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from posecli.model import installed, locate
from posecli.model.catalog import BUILT_257

from ..conftest import Posecli


@pytest.fixture
def tiny_wheel(posecli: Posecli, tmp_path: Path) -> Path:
    result = posecli("model", "wheel", "-o", tmp_path / "dist")
    assert result.returncode == 0, result.stderr
    return Path(result.stdout.decode().strip())


def test_the_wheel_contains_the_model_and_its_hash(tiny_wheel: Path, tiny_model: Path) -> None:
    assert tiny_wheel.name == "posecli_model_tiny-1.0.0-py3-none-any.whl"
    with zipfile.ZipFile(tiny_wheel) as archive:
        assert archive.read("posecli_model_tiny/tiny.tflite") == tiny_model.read_bytes()
        manifest = json.loads(archive.read("posecli_model_tiny/manifest.json"))
        assert (manifest["name"], manifest["size"]) == ("tiny", tiny_model.stat().st_size)
        assert b"[posecli.models]\ntiny = posecli_model_tiny\n" in archive.read(
            "posecli_model_tiny-1.0.0.dist-info/entry_points.txt"
        )


def test_the_same_model_gives_the_same_wheel(posecli: Posecli, tiny_wheel: Path, tmp_path: Path) -> None:
    posecli("model", "wheel", "-o", tmp_path / "again")
    assert (tmp_path / "again" / tiny_wheel.name).read_bytes() == tiny_wheel.read_bytes()


def test_a_damaged_model_gives_no_wheel(posecli: Posecli, tmp_path: Path) -> None:
    damaged = tmp_path / "m.tflite"
    damaged.write_bytes(bytes(100))
    result = posecli("model", "wheel", damaged, "-o", tmp_path / "dist")
    assert (result.returncode, list((tmp_path / "dist").glob("*"))) == (4, [])


def install(wheel: Path, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", folder, wheel]
    subprocess.run(command, check=True, timeout=120)


def test_an_installed_model_is_found_by_its_name(
    tiny_wheel: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tiny_wheel, tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.chdir(tmp_path)
    found = locate.find_model("tiny")
    assert found.parent.name == "posecli_model_tiny"
    assert found.read_bytes() == tiny_model.read_bytes()


def test_a_modified_installed_model_is_refused(
    posecli: Posecli, tiny_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tiny_wheel, tmp_path / "site")
    file = tmp_path / "site" / "posecli_model_tiny" / "tiny.tflite"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    result = posecli("model", "path", "tiny", env={"PYTHONPATH": str(tmp_path / "site")}, cwd=tmp_path)
    assert (result.returncode, b"its SHA-256 differs from that in its manifest" in result.stderr) == (4, True)


@pytest.mark.slow
def test_the_default_model_is_found_in_an_installed_wheel(
    posecli: Posecli, built_models: dict[str, Path], tmp_path: Path
) -> None:
    made = posecli("model", "wheel", built_models[BUILT_257.name], "-o", tmp_path)
    install(Path(made.stdout.decode().strip()), tmp_path / "site")
    offline = {"POSECLI_MODEL": "", "POSECLI_OFFLINE": "1", "PYTHONPATH": str(tmp_path / "site")}
    result = posecli("model", "verify", env=offline, cwd=tmp_path)
    assert (result.returncode, str(tmp_path / "site") in result.stdout.decode()) == (0, True)


def test_importlib_metadata_is_not_imported_without_a_model_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "nothing"), "stdlib.zip"])
    monkeypatch.delitem(sys.modules, "importlib.metadata", raising=False)
    assert installed.installed_model("tiny") is None
    assert "importlib.metadata" not in sys.modules


def test_the_wheel_is_a_valid_zip_archive(tiny_wheel: Path) -> None:
    assert zipfile.ZipFile(io.BytesIO(tiny_wheel.read_bytes())).testzip() is None

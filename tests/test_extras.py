"""The error for a missing package names the command that installs it into posecli's environment."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

from posecli.errors import MissingExtra
from posecli.extras import EXTRAS, import_extra, install_command, install_extra

from .conftest import ROOT


def test_the_hint_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.delitem(sys.modules, "scipy.signal", raising=False)
    with pytest.raises(MissingExtra, match="scipy, which is not installed") as caught:
        import_extra("scipy.signal", extra="measure")
    assert caught.value.hint == "pip install scipy matplotlib"


@pytest.mark.parametrize(("numpy", "pyarrow"), [("1.26.4", '"pyarrow<22"'), ("2.1.0", "pyarrow")])
def test_the_pyarrow_version_fits_the_numpy_version(numpy: str, pyarrow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyarrow 22 needs NumPy 2, but pip installs it beside NumPy 1."""
    monkeypatch.setattr(importlib.metadata, "version", lambda name: numpy)
    assert install_extra("parquet") == f"pip install {pyarrow}"


def test_the_hint_for_a_broken_package_is_to_reinstall_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jinja2", raising=False)
    (tmp_path / "jinja2.py").write_text("raise ImportError('it needs\\nNumPy 2')")
    with pytest.raises(MissingExtra, match="jinja2, which cannot be imported: it needs NumPy 2") as caught:
        import_extra("jinja2", extra="report")
    assert caught.value.hint == "pip install --force-reinstall jinja2"


@pytest.mark.parametrize(
    ("receipt", "install", "again"),
    [
        ("nothing", 'pip install "numpy<2" ray', 'pip install --force-reinstall "numpy<2" ray'),
        ("pipx_metadata.json", 'pipx inject posecli "numpy<2" ray', 'pipx inject --force posecli "numpy<2" ray'),
        (
            "uv-receipt.toml",
            'uv pip install --python "PREFIX" "numpy<2" ray',
            'uv pip install --python "PREFIX" --reinstall "numpy<2" ray',
        ),
    ],
)
def test_the_command_uses_the_tool_that_installed_posecli(
    receipt: str, install: str, again: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / receipt).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert install_command("numpy<2", "ray") == install.replace("PREFIX", str(tmp_path))
    assert install_command("numpy<2", "ray", again=True) == again.replace("PREFIX", str(tmp_path))


def test_each_extra_lists_the_packages_of_pyproject() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for extra, packages in EXTRAS.items():
        (listed,) = re.findall(rf"^{extra} = \[(.*?)\]$", text, re.MULTILINE | re.DOTALL)
        assert set(re.findall(r'"([a-z0-9-]+)', listed)) == {package.replace("_", "-") for package in packages}


def test_no_text_installs_posecli_from_a_package_index() -> None:
    texts = [*ROOT.glob("src/**/*.py"), *ROOT.glob("docs/**/*.*"), *ROOT.glob("scripts/*"), ROOT / "README.md"]
    for path in texts:
        if path.suffix in (".py", ".md", ".sh", ".yaml", ""):
            assert not re.search(r"pip install ['\"]?posecli\b(?!-)", path.read_text()), path

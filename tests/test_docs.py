"""The generated files of docs/: the drawing of angles, and the reference of the library."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

import posecli

from .conftest import ROOT


def script(name: str) -> ModuleType:
    """A script of docs/, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "page"),
    [("make_reference", "python-reference.md"), ("make_options", "options.md"), ("make_formats", "formats.md")],
)
def test_pages_are_those_that_the_code_makes(name: str, page: str) -> None:
    """After a change of docstrings, options or formats: python docs/make_….py"""
    if name == "make_formats":
        pytest.importorskip("pyarrow", reason="needs the extra parquet")
    assert (ROOT / "docs" / page).read_text("utf-8") == script(name).page()


def test_the_reference_has_all_public_names() -> None:
    assert {*script("make_reference").MEMBERS, "KEYPOINT_NAMES", "__version__"} == set(posecli.__all__)


def test_the_drawing_shows_the_measured_angles() -> None:
    pytest.importorskip("matplotlib", reason="needs the extra measure")
    included, flexion, *_ = script("draw_angles").draw().get_axes()
    for axes, expected in (
        (included, {"elbow": 118, "shoulder": 46, "hip": 130, "knee": 116}),
        (flexion, {"elbow flexion": 62, "shoulder elevation": 46, "hip flexion": 50, "knee flexion": 64}),
    ):
        assert {text.get_text() for text in axes.texts} == {f"{name}\n{value}°" for name, value in expected.items()}

"""The drawing of what angles are: it is drawn from what posecli measures."""

from __future__ import annotations

import importlib.util

import pytest

from .conftest import ROOT


def test_the_drawing_of_angles_has_those_that_are_measured() -> None:
    pytest.importorskip("matplotlib", reason="needs the extra measure")
    spec = importlib.util.spec_from_file_location("draw_angles", ROOT / "docs" / "draw_angles.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    included, flexion, *_ = script.draw().get_axes()
    for axes, expected in (
        (included, {"elbow": 118, "shoulder": 46, "hip": 130, "knee": 116}),
        (flexion, {"elbow flexion": 62, "shoulder elevation": 46, "hip flexion": 50, "knee flexion": 64}),
    ):
        assert {text.get_text() for text in axes.texts} == {f"{name}\n{value}°" for name, value in expected.items()}

"""Files whose content lies: damaged, of another format than they are called, or a program's work to run."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import EpsImagePlugin, Image

from posecli.errors import UnsupportedImage
from posecli.inputs.pictures import read_frame

LIMIT = 10**6


@pytest.mark.parametrize("as_bytes", [False, True])
def test_no_picture_starts_ghostscript(*, as_bytes: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ghostscript, started = tmp_path / "bin" / "gs", tmp_path / "started"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {started}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(ghostscript.parent), prepend=":")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # it looks once
    picture = tmp_path / "holiday.jpg"
    Image.new("RGB", (40, 30), "red").save(picture, "EPS")
    with pytest.raises(UnsupportedImage, match="EPS"):
        read_frame(picture.read_bytes() if as_bytes else picture, max_pixels=LIMIT)
    assert not started.exists()

"""Downloads from servers that answer nonsense end, and say what was answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from posecli.errors import DownloadError
from posecli.model.sources.http import download
from posecli.model.sources.progress import Progress

from ..web_server import serving


def test_a_range_that_nobody_asked_for_is_no_shortened_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSECLI_DOWNLOAD_BACKOFF", "0.001")
    with serving(b"x") as server, pytest.raises(DownloadError, match="the server answered 416"):
        download(f"{server.url}/416", tmp_path / "part", size=9, sha256="", progress=Progress(shown=False))

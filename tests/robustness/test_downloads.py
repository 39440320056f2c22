"""Downloads from servers with invalid answers end, and the error contains the answer."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from posecli.errors import DownloadError
from posecli.model.catalog import KnownModel
from posecli.model.sources import download_model, http
from posecli.model.sources.http import download
from posecli.model.sources.progress import Progress

from ..web_server import serving


def test_an_unrequested_range_does_not_shorten_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSECLI_DOWNLOAD_BACKOFF", "0.001")
    with serving(b"x") as server, pytest.raises(DownloadError, match="the server answered 416"):
        download(f"{server.url}/416", tmp_path / "part", size=9, sha256="", progress=Progress(shown=False))


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt with a timeout of one second."""
    monkeypatch.setenv("POSECLI_DOWNLOAD_TIMEOUT", "1")
    monkeypatch.setattr(http, "TRIES", 1)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("dripped", r"it sent \d+ bytes in 1 s"),
        ("drippedheaders", "it did not answer within 1 s"),
        ("continues", "it did not answer within 1 s"),
    ],
)
@pytest.mark.usefixtures("hurried")
def test_a_server_that_does_not_answer_times_out(kind: str, reason: str, tmp_path: Path) -> None:
    data = bytes(100_000)
    with serving(data) as server, pytest.raises(DownloadError, match=reason):
        download(f"{server.url}/{kind}", tmp_path / "part", size=len(data), sha256="", progress=Progress(shown=False))


@pytest.mark.usefixtures("hurried")
def test_the_next_source_is_tried_after_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(range(256)) * 100
    known = KnownModel("m", "m.tflite", len(data), hashlib.sha256(data).hexdigest(), (257, 257))
    with serving(data) as server:
        monkeypatch.setenv("POSECLI_MODEL_URL", f"{server.url}/dripped {server.url}/fine")
        assert download_model([known], tmp_path, source="mirror").read_bytes() == data

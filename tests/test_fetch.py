"""Fetching the model from a server that cuts off, lies, is busy, redirects, stalls: right and whole, or absent."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from posecli.errors import DownloadError
from posecli.model import fetch as module
from posecli.model.fetch import fetch

from .web_server import Server, serving

DATA = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("POSECLI_DOWNLOAD_BACKOFF", "0.01")
    with serving(DATA) as running:
        yield running


def get(server: Server, kind: str, target: Path) -> None:
    fetch(f"{server.url}/{kind}", target, size=len(DATA), sha256=SHA256)


@pytest.mark.parametrize("kind", ["fine", "cut", "norange", "503", "redirect", "stall"])
def test_whole_and_right_in_the_end(kind: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "stall":
        monkeypatch.setenv("POSECLI_DOWNLOAD_TIMEOUT", "1")
    target = tmp_path / "new" / "model.tflite"
    get(server, kind, target)
    assert target.read_bytes() == DATA
    assert not target.with_name("model.tflite.part").exists()


@pytest.mark.parametrize(("kind", "tries"), [("lies", module.TRIES), ("longer", module.TRIES), ("404", 1)])
def test_wrong_or_absent_files_leave_nothing_under_the_name(
    kind: str, tries: int, server: Server, tmp_path: Path
) -> None:
    target = tmp_path / "model.tflite"
    with pytest.raises(DownloadError) as caught:
        get(server, kind, target)
    assert f"{server.url}/{kind}" in caught.value.message
    assert caught.value.hint
    assert not target.exists()
    assert server.count(f"/{kind}") == tries


def test_a_cut_download_is_continued_where_it_ended(server: Server, tmp_path: Path) -> None:
    get(server, "cut", tmp_path / "m")
    starts = [value for _, value in server.requests]
    third = len(DATA) // 3 + 1
    assert starts == ["", f"bytes={third}-", f"bytes={2 * third}-"]


def test_a_later_run_continues_what_an_earlier_one_left(server: Server, tmp_path: Path) -> None:
    (tmp_path / "m.part").write_bytes(DATA[:5000])
    get(server, "fine", tmp_path / "m")
    assert server.requests == [("/fine", "bytes=5000-")]


def test_a_wrong_beginning_is_thrown_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "m.part").write_bytes(bytes(5000))
    get(server, "fine", tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == DATA


def test_two_at_once_fetch_it_once(server: Server, tmp_path: Path) -> None:
    threads = [threading.Thread(target=get, args=(server, "fine", tmp_path / "m")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "m").read_bytes() == DATA
    assert server.count("/fine") == 1


def test_nobody_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSECLI_DOWNLOAD_BACKOFF", "0.01")
    with pytest.raises(DownloadError, match=f"gave up after {module.TRIES} tries"):
        fetch("http://127.0.0.1:1/model", tmp_path / "m", size=1, sha256="0" * 64)


def test_an_unusable_address(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="cannot download"):
        fetch("not an address", tmp_path / "m", size=1, sha256="0" * 64)

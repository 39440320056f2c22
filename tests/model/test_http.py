"""Downloads from a server that cuts off, sends wrong data, is busy, redirects or stalls: a correct file or none."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from posecli.errors import DownloadError, UsageError
from posecli.model.sources import http as module
from posecli.model.sources.http import download
from posecli.model.sources.progress import Progress

from ..web_server import Server, serving

DATA = bytes(range(256)) * 4000
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("POSECLI_DOWNLOAD_BACKOFF", "0.01")
    with serving(DATA) as running:
        yield running


def download_kind(server: Server, kind: str, part: Path) -> None:
    quiet = Progress(shown=False)
    download(f"{server.url}/{kind}", part, size=len(DATA), sha256=SHA256, progress=quiet)


@pytest.mark.parametrize("kind", ["fine", "cut", "norange", "503", "redirect", "stall"])
def test_transient_failures_end_in_a_correct_file(
    kind: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "stall":
        monkeypatch.setenv("POSECLI_DOWNLOAD_TIMEOUT", "1")
    download_kind(server, kind, tmp_path / "m.part")
    assert (tmp_path / "m.part").read_bytes() == DATA


@pytest.mark.parametrize(("kind", "tries"), [("lies", module.TRIES), ("longer", module.TRIES), ("404", 1)])
def test_wrong_or_missing_files_leave_no_file(kind: str, tries: int, server: Server, tmp_path: Path) -> None:
    part = tmp_path / "m.part"
    with pytest.raises(DownloadError) as caught:
        download_kind(server, kind, part)
    assert f"{server.url}/{kind}" in caught.value.message
    assert caught.value.hint
    assert not part.exists() or part.stat().st_size == 0
    assert server.count(f"/{kind}") == tries


def test_a_cut_download_is_resumed_at_its_end(server: Server, tmp_path: Path) -> None:
    download_kind(server, "cut", tmp_path / "m.part")
    starts = [value for _, value in server.requests]
    third = len(DATA) // 3 + 1
    assert starts == ["", f"bytes={third}-", f"bytes={2 * third}-"]


def test_a_later_run_resumes_the_partial_file_of_an_earlier_run(server: Server, tmp_path: Path) -> None:
    (tmp_path / "m.part").write_bytes(DATA[:5000])
    download_kind(server, "fine", tmp_path / "m.part")
    assert server.requests == [("/fine", "bytes=5000-")]


def test_a_partial_file_with_wrong_content_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    (tmp_path / "m.part").write_bytes(bytes(5000))
    download_kind(server, "fine", tmp_path / "m.part")
    assert (tmp_path / "m.part").read_bytes() == DATA


def get_from(url: str, part: Path) -> None:
    download(url, part, size=1, sha256="0" * 64, progress=Progress(shown=False))


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/model", "http://no-such-host.invalid/model"])
def test_an_unreachable_host_fails_fast_without_retries(url: str, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(DownloadError, match="cannot reach"):
        get_from(url, tmp_path / "m.part")
    assert time.monotonic() - started < 2


def test_a_resolver_that_does_not_answer_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(module, "RESOLVE_TIMEOUT", 0.05)
    monkeypatch.setattr("socket.getaddrinfo", lambda *_: answer.wait())
    with pytest.raises(DownloadError, match="was not resolved within"):
        get_from("http://example.invalid/model", tmp_path / "m.part")
    answer.set()


def test_a_proxy_resolves_the_host(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback server is the proxy: it gets the request for a host that cannot be resolved here."""
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(DownloadError, match="the server answered 404"):
        get_from("http://no-such-host.invalid/404", tmp_path / "m.part")
    assert server.count("http://no-such-host.invalid/404") == 1


@pytest.mark.parametrize("url", ["not an address", "ftp://127.0.0.1/model", "http://[::1/model", "http://host:port/"])
def test_an_invalid_address_is_an_error(url: str, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="cannot download"):
        get_from(url, tmp_path / "m.part")


@pytest.mark.parametrize("value", ["x", "nan", "-1", "0", "inf"])
@pytest.mark.parametrize("variable", ["POSECLI_DOWNLOAD_BACKOFF", "POSECLI_DOWNLOAD_TIMEOUT"])
def test_durations_in_environment_variables_are_checked(
    variable: str, value: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(UsageError, match=f"{variable} is '{value}'"):
        download_kind(server, "fine", tmp_path / "m.part")

"""Errors of a remote store fail only its inputs; local inputs of the same run are processed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from posecli.commands import cli
from posecli.errors import OutputError
from posecli.files import storage
from posecli.inputs import pictures

from ..conftest import records_of
from ..tiny_model import draw_discs, person_at
from ..web_server import Server, serving


def picture() -> bytes:
    file = io.BytesIO()
    draw_discs([person_at(80, 80)]).save(file, "PNG")
    return file.getvalue()


class _Store:
    """A store that answers each request with an error, except for the key `good`."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def invalidate_cache(self) -> None:
        pass

    def cat_file(self, key: str, start: int | None = None, end: int | None = None) -> bytes:
        if key.endswith("good.png"):
            return picture()
        raise self._error

    def __getattr__(self, name: str) -> Any:
        def fail(*arguments: object, **options: object) -> None:
            raise self._error

        return fail


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run over remote names and a local file; return the status or error code of each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSECLI_MODEL", str(tiny_model))
    monkeypatch.setattr(storage, "WAITS", (0.0,))
    (tmp_path / "local.png").write_bytes(picture())

    def estimate(*names: str, alone: bool = False) -> dict[str, str]:
        beside = [] if alone else ["local.png"]
        with pytest.raises(SystemExit):
            cli.main(["estimate", "-q", "--engine", "serial", "-o", "r.jsonl", *names, *beside])
        records = records_of((tmp_path / "r.jsonl").read_bytes())
        return {record.image: record.error.code if record.error else "ok" for record in records}

    return estimate


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError("Access Denied"), "permission_denied"),
        (OSError("503 Slow Down"), "unreadable_image"),
        (ConnectionRefusedError("refused"), "unreadable_image"),
        (RuntimeError("no credentials"), "unreadable_image"),
        (FileNotFoundError("no such bucket"), "not_found"),
    ],
)
def test_errors_of_a_store_have_error_codes(
    error: Exception, code: str, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_store", lambda path: (_Store(error), path))
    found = run("s3://b/good.png", "s3://b/other.png", "s3://b/folder/", "s3://b/*.png")
    assert found == {
        "s3://b/good.png": "ok", "s3://b/other.png": code, "s3://b/folder/": code, "s3://b/*.png": code,
        "local.png": "ok",
    }  # fmt: skip


def test_a_store_that_cannot_be_opened_fails_its_inputs(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(path: str) -> None:
        raise RuntimeError("the profile was not found")

    monkeypatch.setattr(storage, "_store", make)
    assert run("s3://b/x.png") == {"s3://b/x.png": "unreadable_image", "local.png": "ok"}


def test_an_unknown_scheme_fails_its_inputs(run: Any) -> None:
    pytest.importorskip("fsspec")
    assert run("nosuch://b/x.png", "nosuch://b/*.png") == {
        "nosuch://b/x.png": "unreadable_image", "nosuch://b/*.png": "unreadable_image", "local.png": "ok",
    }  # fmt: skip


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("aiohttp")
    with serving(picture()) as running:
        yield running


@pytest.fixture
def bucket(server: Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket on the server."""
    s3fs = pytest.importorskip("s3fs")
    for name, value in {
        "AWS_ENDPOINT_URL": server.url, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    return "s3://unlisted"


@pytest.mark.parametrize("status", ["500", "503"])
def test_retries_end_if_a_server_never_recovers(status: str, run: Any, server: Server) -> None:
    url = f"{server.url}/always{status}/x.png"
    assert run(url) == {url: "unreadable_image", "local.png": "ok"}
    assert server.count(f"/always{status}/x.png") == 2  # one try, and one retry per entry of WAITS


@pytest.mark.parametrize("kind", ["endless", "bomb"])
def test_the_bytes_of_a_picture_are_bounded(
    kind: str, run: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MOST_REMOTE_BYTES", 1 << 20)
    url = f"{server.url}/{kind}/x.png"
    assert run(url, f"{server.url}/fine/x.png") == {
        url: "image_too_large", f"{server.url}/fine/x.png": "ok", "local.png": "ok",
    }  # fmt: skip
    assert server.count(f"/{kind}/x.png") == 1


def test_the_bound_is_exact(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(server.data)
    assert storage.read_bytes(f"{server.url}/fine/x.png", most=size) == server.data
    with pytest.raises(storage.TooManyBytes):
        storage.read_bytes(f"{server.url}/fine/x.png", most=size - 1)


def test_the_bytes_of_an_object_are_bounded(bucket: str, server: Server) -> None:
    size = len(server.data)
    assert storage.read_bytes(f"{bucket}/x.png", most=size) == server.data
    with pytest.raises(storage.TooManyBytes):
        storage.read_bytes(f"{bucket}/x.png", most=size - 1)


def test_a_key_is_read_if_listing_is_forbidden(bucket: str, run: Any, server: Server) -> None:
    assert run(f"{bucket}/x.png", f"{bucket}/a/") == {
        f"{bucket}/x.png": "ok", f"{bucket}/a/": "permission_denied", "local.png": "ok",
    }  # fmt: skip


def test_the_store_is_asked_once_whether_a_name_is_a_folder(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Store(_Store):
        def isdir(self, key: str) -> bool:
            asked.append(key)
            return False

    monkeypatch.setattr(storage, "_store", lambda path: (Store(OSError("no")), path))
    assert run("s3://b/good.png", alone=True) == {"s3://b/good.png": "ok"}
    assert asked == ["s3://b/good.png"]


@pytest.mark.parametrize("output", ["s3://dead/x.json", "s3://dead/x.jsonl", "s3://dead/x/", "s3://dead/x.csv"])
def test_an_output_on_an_unreachable_store_is_an_error(output: str, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_store", lambda path: (_Store(ConnectionRefusedError("refused")), path))
    for more in ([], ["--overwrite"], *([["--shards"]] if output.endswith("/") else [])):
        with pytest.raises(OutputError, match=r"cannot write s3://dead/x.*refused"):
            cli.main(["estimate", "-q", "-o", output, *more, "local.png"], standalone_mode=False)

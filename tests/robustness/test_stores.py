"""Whatever a remote store answers costs that input, and local ones beside it go on."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from posecli.commands import cli
from posecli.files import storage

from ..conftest import records_of
from ..tiny_model import draw_discs, person_at


def picture() -> bytes:
    file = io.BytesIO()
    draw_discs([person_at(80, 80)]).save(file, "PNG")
    return file.getvalue()


class _Store:
    """A store that answers every question with an error, but for the key `good`."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def invalidate_cache(self) -> None:
        pass

    def cat_file(self, key: str) -> bytes:
        if key.endswith("good.png"):
            return picture()
        raise self._error

    def __getattr__(self, name: str) -> Any:
        def fail(*arguments: object, **options: object) -> None:
            raise self._error

        return fail


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs over remote names and a local file; what became of each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSECLI_MODEL", str(tiny_model))
    monkeypatch.setattr(storage, "WAITS", (0.0,))
    (tmp_path / "local.png").write_bytes(picture())

    def estimate(*names: str) -> dict[str, str]:
        with pytest.raises(SystemExit):
            cli.main(["estimate", "-q", "--engine", "serial", "-o", "r.jsonl", *names, "local.png"])
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
def test_a_store_that_refuses(error: Exception, code: str, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "_store", lambda path: (_Store(error), path))
    found = run("s3://b/good.png", "s3://b/other.png", "s3://b/folder/", "s3://b/*.png")
    assert found == {
        "s3://b/good.png": "ok", "s3://b/other.png": code, "s3://b/folder/": code, "s3://b/*.png": code,
        "local.png": "ok",
    }  # fmt: skip


def test_a_store_that_cannot_be_made(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(path: str) -> None:
        raise RuntimeError("the profile was not found")

    monkeypatch.setattr(storage, "_store", make)
    assert run("s3://b/x.png") == {"s3://b/x.png": "unreadable_image", "local.png": "ok"}


def test_an_unknown_scheme(run: Any) -> None:
    pytest.importorskip("fsspec")
    assert run("nosuch://b/x.png", "nosuch://b/*.png") == {
        "nosuch://b/x.png": "unreadable_image", "nosuch://b/*.png": "unreadable_image", "local.png": "ok",
    }  # fmt: skip

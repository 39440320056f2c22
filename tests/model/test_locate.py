"""The places where a model is searched, and the files that are refused."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from posecli.errors import ModelError, UsageError
from posecli.model import catalog, locate
from posecli.model.catalog import KnownModel
from posecli.model.locate import cache_folder, find_model, is_offline, load_model_file, locate_model, read_model_file

from ..conftest import Posecli, records_of
from ..tiny_model import draw_discs, person_at
from ..web_server import Server, serving

needs_posix = pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs users of POSIX")


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch, tiny_model: Path, tmp_path: Path) -> KnownModel:
    """Makes the tiny model the only known model, and changes to a folder without models."""
    data = tiny_model.read_bytes()
    known = KnownModel("tiny", "tiny_published.tflite", len(data), hashlib.sha256(data).hexdigest(), (257, 257))
    monkeypatch.setattr(catalog, "KNOWN_MODELS", (known,))
    monkeypatch.setattr(catalog, "DEFAULT_MODELS", (known,))
    monkeypatch.setenv("POSECLI_MODEL_SOURCES", "mirror official")
    monkeypatch.chdir(tmp_path)
    return known


@pytest.fixture
def mirror(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("POSECLI_DOWNLOAD_BACKOFF", "0.01")
    with serving(tiny_model.read_bytes()) as server:
        monkeypatch.setenv("POSECLI_MODEL_URL", server.url + "/fine/")
        yield server


@pytest.fixture
def closed_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that the user may not enter; for the time of the test, root is somebody else."""
    folder = tmp_path / "closed"
    folder.mkdir(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o700)


def test_the_catalog_has_the_published_sizes_and_hashes() -> None:
    official = [known for known in catalog.KNOWN_MODELS if known.address and not known.member]
    assert [(known.size, known.sha256[:8]) for known in official] == [
        (13_269_068, "7bcc1efa"),
        (13_268_992, "2fb9760d"),
    ]
    for known in official:
        assert known.address.startswith("https://storage.googleapis.com/")
        assert known.address.endswith(known.file_name)


def test_a_named_file_comes_first(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate_model(str(tiny_model)) == tiny_model
    monkeypatch.setenv("POSECLI_MODEL", str(tiny_model))
    assert locate_model() == tiny_model


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems keep caches elsewhere")
@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({}, "/home/me/.cache/posecli"),
        ({"XDG_CACHE_HOME": "/large/caches"}, "/large/caches/posecli"),
        ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/posecli"),
        ({"XDG_CACHE_HOME": "not/absolute"}, "/home/me/.cache/posecli"),  # the specification says: ignore it
        ({"XDG_CACHE_HOME": "/large/caches", "POSECLI_CACHE": "mine"}, "mine"),
    ],
)
def test_where_the_cache_is(variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "POSECLI_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(folder)


def test_the_folder_models_comes_before_the_cache(published: KnownModel, tiny_model: Path, tmp_path: Path) -> None:
    for folder in (cache_folder(), tmp_path / "models"):
        folder.mkdir(exist_ok=True, parents=True)
        (folder / published.file_name).write_bytes(tiny_model.read_bytes())
        expected = folder / published.file_name
    assert locate_model(offline=True).resolve() == expected.resolve()


@needs_posix
def test_a_working_folder_that_may_not_be_entered_has_no_model(
    published: KnownModel, closed_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container whose user is not the owner of the mounted folder."""
    monkeypatch.setattr(locate, "candidate_paths", lambda wanted: [closed_folder / "models" / wanted[0].file_name])
    with pytest.raises(ModelError, match="the model tiny is not on this machine"):
        find_model()


@needs_posix
def test_a_named_model_in_a_folder_that_may_not_be_entered(closed_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot read the model .*model\.tflite: Permission denied"):
        find_model(str(closed_folder / "model.tflite"))


def test_a_model_is_downloaded_from_a_mirror_on_first_use(published: KnownModel, mirror: Server) -> None:
    file = load_model_file()
    assert (file.path, file.known, file.name) == (cache_folder() / published.file_name, True, "tiny")
    load_model_file()
    assert mirror.requests == [(f"/fine/{published.file_name}", "")]


def test_a_mirror_may_be_the_address_of_the_file(
    published: KnownModel, mirror: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSECLI_MODEL_URL", mirror.url + "/503")
    assert load_model_file().known


@pytest.mark.parametrize(("how", "named"), [("argument", "--offline"), ("environment", "POSECLI_OFFLINE")])
def test_offline_never_uses_the_network(
    how: str, named: str, published: KnownModel, mirror: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSECLI_OFFLINE", "1" if how == "environment" else "0")
    with pytest.raises(ModelError, match=f"{named} forbids its download"):
        load_model_file(offline=how == "argument")
    assert mirror.requests == []


@pytest.mark.parametrize(("word", "offline"), [("1", True), ("Yes", True), ("on", True), ("off", False), ("", False)])
def test_offline_accepts_usual_boolean_values(word: str, offline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSECLI_OFFLINE", word)
    assert is_offline() is offline


@pytest.mark.parametrize("word", ["maybe", "2", "-1", "noo", "\x1b[31m"])
def test_an_invalid_value_of_offline_is_refused_even_for_a_local_model(
    word: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSECLI_OFFLINE", word)
    with pytest.raises(UsageError, match=r"POSECLI_OFFLINE is .*, expected 1 or 0"):
        locate_model(str(tiny_model))


def test_find_model_never_uses_the_network(published: KnownModel, mirror: Server) -> None:
    with pytest.raises(ModelError, match="the model tiny is not on this machine") as caught:
        find_model()
    assert "posecli model download" in caught.value.hint
    assert mirror.requests == []


def test_any_default_model_on_this_machine_is_used(
    published: KnownModel, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = published._replace(name="official", file_name="official.tflite", sha256="0" * 64)
    monkeypatch.setattr(catalog, "DEFAULT_MODELS", (other, published))
    cache_folder().mkdir(exist_ok=True)
    (cache_folder() / published.file_name).write_bytes(tiny_model.read_bytes())
    assert load_model_file().name == "tiny"


def test_a_file_with_a_known_name_and_a_wrong_hash_is_refused(
    published: KnownModel, tiny_model: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / published.file_name
    wrong.write_bytes(tiny_model.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match=f"expected {published.size} bytes with SHA-256 {published.sha256}"):
        read_model_file(wrong)


@pytest.mark.parametrize("name", ["no-such-model", "missing.tflite", "."])
def test_an_unknown_model_is_an_error_that_lists_the_known_names(name: str) -> None:
    with pytest.raises(ModelError, match="known names: posenet_mobilenet_v1_100_257x257"):
        load_model_file(name)


def test_model_commands_use_the_located_model(posecli: Posecli, tiny_model: Path, tmp_path: Path) -> None:
    assert posecli("model", "path").stdout.decode().strip() == str(tiny_model)
    assert b"posenet_mobilenet_v1_100_513x513" in posecli("model", "list").stdout
    info = posecli("model", "info")
    assert b"output stride: 32" in info.stdout
    assert b"a valid PoseNet" in posecli("model", "verify").stdout
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(tiny_model.read_bytes()[:5000])
    result = posecli("model", "verify", damaged)
    assert (result.returncode, b"damaged" in result.stderr) == (4, True)


def test_a_failed_download_command_shows_the_reason(posecli: Posecli, mirror: Server, tmp_path: Path) -> None:
    environment = {"POSECLI_MODEL_URL": mirror.url + "/404", "POSECLI_MODEL_SOURCES": "mirror"}
    result = posecli("model", "download", "-o", tmp_path, env=environment)
    assert result.returncode == 4
    assert b"404" in result.stderr
    assert list(tmp_path.glob("*.tflite")) == []


def test_a_downloaded_model_with_a_wrong_hash_is_refused(posecli: Posecli, mirror: Server, tmp_path: Path) -> None:
    """The mirror serves another file under the official name."""
    picture = tmp_path / "a.png"
    draw_discs([person_at(120, 60)]).save(picture)
    environment = {
        "POSECLI_MODEL": "",
        "POSECLI_MODEL_URL": mirror.url + "/longer/",
        "POSECLI_MODEL_SOURCES": "mirror",
    }
    result = posecli("estimate", picture, env=environment, cwd=tmp_path)
    assert (result.returncode, records_of(result.stdout)) == (4, [])
    assert b"could not be downloaded" in result.stderr

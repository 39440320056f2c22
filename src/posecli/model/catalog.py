"""Known models, and how a model's file is found: named, beside the checkout, in the cache, or fetched."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from posecli.errors import ModelError

_HOST = "https://storage.googleapis.com/download.tensorflow.org/models/tflite/"


class KnownModel(NamedTuple):
    """A published file, told by its hash. `input_size`: height and width of its input in pixels."""

    name: str
    file_name: str
    size: int
    sha256: str
    input_size: tuple[int, int]
    licence: str = "Apache-2.0"

    @property
    def url(self) -> str:
        """Where its authors publish it; POSECLI_MODEL_URL names a mirror of the file, or of its folder with /."""
        mirror = os.environ.get("POSECLI_MODEL_URL", "")
        if mirror and not mirror.endswith("/"):
            return mirror
        return (mirror or _HOST) + self.file_name


KNOWN_MODELS = (
    KnownModel(
        name="posenet_mobilenet_v1_100_257x257",
        file_name="posenet_mobilenet_v1_100_257x257_multi_kpt_stripped.tflite",
        size=13_269_068,
        sha256="7bcc1efa3010de45640406a4ce0acc2ef89a742021f11adacdca2fd6e494fa07",
        input_size=(257, 257),
    ),
    KnownModel(
        name="posenet_mobilenet_v1_100_513x513",
        file_name="posenet_mobilenet_v1_100_513x513_multi_kpt_stripped.tflite",
        size=13_268_992,
        sha256="2fb9760d6912f77dc6347ad1067ae6f21b1a25015173e356b62547c57ced4ac5",
        input_size=(513, 513),
    ),
)
DEFAULT_MODEL = KNOWN_MODELS[0]


class ModelFile(NamedTuple):
    """A model's bytes with their name and hash. `known` where the hash is that of a published file."""

    path: Path
    name: str
    data: bytes
    sha256: str
    known: bool


def load_model_file(model: str | None = None, *, offline: bool = False, progress: bool = False) -> ModelFile:
    """Find a model, fetch it where it must be, and read it.

    model: a known name or a path; None: POSECLI_MODEL, else the default model.
    offline: never touch the network (also POSECLI_OFFLINE).
    Raises ModelError where it is nowhere, or has the name of a known model and not its hash.
    """
    return read_model_file(locate_model(model, offline=offline, progress=progress))


def read_model_file(path: Path) -> ModelFile:
    """Read a model and identify it by its hash. Raises ModelError. The last file read is kept while it is unchanged."""
    try:
        status = path.stat()
        return _identify(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}") from error


@lru_cache(maxsize=1)
def _identify(path: Path, modified_ns: int, size: int) -> ModelFile:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    same_hash = next((known for known in KNOWN_MODELS if known.sha256 == digest), None)
    same_file_name = next((known for known in KNOWN_MODELS if known.file_name == path.name), None)
    if same_file_name is not None and same_hash is None:
        raise ModelError(
            f"{path} is not the published file of that name: expected {same_file_name.size} bytes with SHA-256 "
            f"{same_file_name.sha256}, found {len(data)} bytes with {digest}",
            "delete it and run `posecli model download`",
        )
    name = same_hash.name if same_hash else path.stem
    return ModelFile(path, name, data, digest, known=same_hash is not None)


def locate_model(model: str | None = None, *, offline: bool = False, progress: bool = False) -> Path:
    """The path of a model: the named file; else `models/` of the checkout; else the cache; else fetched."""
    known, path = resolve_name(model)
    if path is not None:
        return path
    assert known is not None
    found = find_known(known)
    if found is not None:
        return found
    if offline or is_offline():
        raise ModelError(
            f"the model {known.name} is not on this machine, and the network is switched off",
            f"put {known.file_name} into {cache_folder()} or name a file with --model",
        )
    target = cache_folder() / known.file_name
    from posecli.model.fetch import fetch  # brings an HTTP client: only where one is needed

    fetch(known.url, target, size=known.size, sha256=known.sha256, progress=progress)
    return target


def resolve_name(model: str | None) -> tuple[KnownModel | None, Path | None]:
    """What a user's word for a model means: a known model, or the path of an existing file."""
    wanted = model or os.environ.get("POSECLI_MODEL") or DEFAULT_MODEL.name
    for known in KNOWN_MODELS:
        if wanted == known.name:
            return known, None
    path = Path(wanted)
    if path.is_file():
        return None, path
    names = ", ".join(known.name for known in KNOWN_MODELS)
    what = "is a folder" if path.is_dir() else "is neither a file nor a known name"
    raise ModelError(f"model {wanted!r} {what}", f"known names: {names}")


def find_known(known: KnownModel) -> Path | None:
    """The first file of a known model on this machine, or None."""
    return next((path for path in candidate_paths(known) if path.is_file()), None)


def candidate_paths(known: KnownModel) -> Iterator[Path]:
    """Where a known model is looked for, in order."""
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").is_file():
        yield checkout / "models" / known.file_name
    yield Path("models") / known.file_name
    yield cache_folder() / known.file_name


def cache_folder() -> Path:
    """The user's folder for fetched models: POSECLI_CACHE, else where the system keeps caches."""
    if folder := os.environ.get("POSECLI_CACHE"):
        return Path(folder)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "posecli" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "posecli"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "posecli"


def is_offline() -> bool:
    """True where POSECLI_OFFLINE is set to anything but an empty string, 0, no or false."""
    return os.environ.get("POSECLI_OFFLINE", "").lower() not in ("", "0", "no", "false")

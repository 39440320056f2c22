"""How a model's file is found: named, beside the checkout, in an installed package, in the cache, or downloaded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from posecli.errors import ModelError, UsageError
from posecli.model import catalog
from posecli.model.catalog import KnownModel
from posecli.model.installed import installed_model, installed_models

#: Words for a switch, as options take them.
_YES, _NO = ("1", "true", "yes", "on", "y", "t"), ("", "0", "false", "no", "off", "n", "f")


class ModelFile(NamedTuple):
    """A model's bytes with their name and hash. `known` where the hash is that of a known model."""

    path: Path
    name: str
    data: bytes
    sha256: str
    known: bool


def load_model_file(model: str | None = None, *, offline: bool = False, progress: bool = False) -> ModelFile:
    """Find a model, download it where it must be, and read it.

    model: a known name or a path; None: POSECLI_MODEL, else the default models.
    offline: never touch the network (also POSECLI_OFFLINE). progress: say on standard error what is downloaded.
    Raises ModelError where it is nowhere, or has the name of a known model and not its hash.
    """
    return read_model_file(locate_model(model, offline=offline, progress=progress))


def read_model_file(path: Path) -> ModelFile:
    """Read a model and identify it by its hash. Raises ModelError. The last two files
    read are kept while they are unchanged: a run has a second model at most."""
    try:
        status = path.stat()
        return _identify(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}") from error


@lru_cache(maxsize=2)
def _identify(path: Path, modified_ns: int, size: int) -> ModelFile:
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    same_hash = next((known for known in catalog.KNOWN_MODELS if known.sha256 == digest), None)
    same_file_name = next((known for known in catalog.KNOWN_MODELS if known.file_name == path.name), None)
    if same_file_name is not None and same_hash is None:
        raise ModelError(
            f"{path} is not the known file of that name: expected {same_file_name.size} bytes with SHA-256 "
            f"{same_file_name.sha256}, found {len(data)} bytes with {digest}",
            "delete it and run `posecli model download`",
        )
    name = same_hash.name if same_hash else path.stem
    return ModelFile(path, name, data, digest, known=same_hash is not None)


def locate_model(model: str | None = None, *, offline: bool = False, progress: bool = False) -> Path:
    """The path of a model: the named file, else the first known file at hand, else downloaded. Raises ModelError,
    UsageError where POSECLI_OFFLINE cannot be understood."""
    forbids = "POSECLI_OFFLINE" if is_offline() else ""
    forbids = "--offline" if offline else forbids
    wanted, path = resolve_name(model)
    found = path or find_at_hand(wanted)
    if found is not None:
        return found
    if forbids:
        raise ModelError(
            f"the model {wanted[0].name} is not on this machine, and {forbids} forbids to download it",
            f"run `posecli model download` where there is a network, put the file into {cache_folder()}, or name a "
            "file with --model",
        )
    from posecli.model.sources import download_model  # brings an HTTP client: only where one is needed

    return download_model(wanted, cache_folder(), progress=progress)


def find_model(model: str | None = None) -> Path:
    """The path of a model that is on this machine. Never touches the network. Raises ModelError."""
    wanted, path = resolve_name(model)
    found = path or find_at_hand(wanted)
    if found is None:
        raise ModelError(
            f"the model {wanted[0].name} is not on this machine",
            f"`posecli model download` brings it{' (unset POSECLI_OFFLINE first)' if is_offline() else ''}, or name a "
            "file with --model",
        )
    return found


def resolve_name(model: str | None) -> tuple[Sequence[KnownModel], Path | None]:
    """What a user's word for a model means: known models, any of which will do, or the path of an existing file."""
    wanted = model or os.environ.get("POSECLI_MODEL")
    if not wanted:
        return catalog.DEFAULT_MODELS, None
    if (known := catalog.find_by_name(wanted)) is not None and not os.path.isfile(wanted):
        return (known,), None
    path = Path(wanted)
    try:
        if path.is_file():
            return (), path
    except PermissionError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}") from error
    if (installed := installed_model(wanted)) is not None:
        return (), installed
    names = ", ".join(known.name for known in catalog.KNOWN_MODELS)
    what = "is a folder" if path.is_dir() else "is neither a file nor a known name"
    raise ModelError(f"model {wanted!r} {what}", f"known names: {names}")


def find_at_hand(wanted: Sequence[KnownModel]) -> Path | None:
    """The first file on this machine of any of these models, or None."""
    # Unlike Path.is_file, this is false inside a folder that this user may not enter.
    return next((path for path in candidate_paths(wanted) if os.path.isfile(path)), None)


def candidate_paths(wanted: Sequence[KnownModel]) -> Iterator[Path]:
    """Where known models are looked for, in order."""
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").is_file():
        yield from (checkout / "models" / known.file_name for known in wanted)
    yield from (Path("models") / known.file_name for known in wanted)
    yield from installed_models(wanted)
    yield from (cache_folder() / known.file_name for known in wanted)


def cache_folder() -> Path:
    """The user's folder for downloaded models: POSECLI_CACHE, else where the system keeps caches. Raises ModelError
    where the user has no home folder."""
    if folder := os.environ.get("POSECLI_CACHE"):
        return Path(folder)
    from platformdirs import user_cache_path

    try:
        return user_cache_path("posecli", appauthor=False)
    except RuntimeError as error:
        raise ModelError("this user has no home folder, where models are kept", "set POSECLI_CACHE") from error


def is_offline() -> bool:
    """Whether POSECLI_OFFLINE says so. Raises UsageError for a word that says neither yes nor no."""
    text = os.environ.get("POSECLI_OFFLINE", "")
    word = text.strip().lower()
    if word not in (*_YES, *_NO):
        raise UsageError(f"POSECLI_OFFLINE is {text!r}, expected 1 or 0")
    return word in _YES

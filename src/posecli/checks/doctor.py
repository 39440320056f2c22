"""Offline self-test of the installation: packages, runtime, model, a first inference, cache folder."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from posecli._version import __version__
from posecli.errors import ModelError, PosecliError
from posecli.extras import EXTRAS, install_command, installed

OLDEST, NEWEST = (3, 10), (3, 13)
#: Required packages → the names under which they are imported.
_CORE = {"numpy": "numpy", "pillow": "PIL", "click": "click", "tqdm": "tqdm"}
#: Remedies for errors without a hint.
_OTHER_MODEL = "name another file with --model or POSECLI_MODEL, or run `posecli model download` for the official model"
_REINSTALL = "reinstall posecli in a fresh environment"


class Finding(NamedTuple):
    """The result of one check. what: its name. found: the details. remedy: what to do if it is not ok."""

    what: str
    ok: bool
    found: str
    remedy: str = ""


def examine(model: str | None) -> Iterator[Finding]:
    """Run all checks and yield their findings. Does not use the network."""
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("python", _python),
        ("packages", _packages),
        ("runtime", _runtime),
        ("pictures", _pictures),
        ("model", lambda: _model(model)),
        ("inference", lambda: _inference(model)),
        ("cache folder", _cache),
    )
    yield from (_finding(what, check) for what, check in checks)
    yield Finding("extras", True, ", ".join(name for name in EXTRAS if installed(name)) or "none")


def _finding(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, check())
    except PosecliError as error:
        remedy = error.hint or (_OTHER_MODEL if isinstance(error, ModelError) else _REINSTALL)
        return Finding(what, False, _on_one_line(error.message), remedy)
    except Exception as error:  # a broken installation raises anything
        return Finding(what, False, _on_one_line(f"{type(error).__name__}: {error}"), _REINSTALL)


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _python() -> str:
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        raise PosecliError(f"Python {platform.python_version()}", "use Python 3.10 to 3.13")
    return f"posecli {__version__} on Python {platform.python_version()}, {platform.machine()} {platform.system()}"


def _packages() -> str:
    return ", ".join(f"{name} {_version(name, module)}" for name, module in _CORE.items())


def _version(name: str, module: str) -> str:
    """The version of a package that can be imported. Raises PosecliError."""
    try:
        version = importlib.metadata.version(name)
        importlib.import_module(module)
    except importlib.metadata.PackageNotFoundError as error:
        raise PosecliError(f"{name} is not installed", install_command(name)) from error
    except ImportError as error:
        raise PosecliError(f"{name} cannot be imported: {error}", install_command(name, again=True)) from error
    return version


def _runtime() -> str:
    from posecli.model.runtime import find_runtime

    name = find_runtime()[0]
    return f"{name} {importlib.metadata.version(name)}"


def _pictures() -> str:
    from PIL import features

    missing = [name for name, feature in (("JPEG", "jpg"), ("PNG", "zlib"), ("WebP", "webp")) if not _has(feature)]
    if missing:
        raise PosecliError(f"Pillow was built without {', '.join(missing)}", install_command("pillow", again=True))
    return f"JPEG, PNG and WebP; libjpeg-turbo {features.version('libjpeg_turbo') or 'missing: JPEGs decode slower'}"


def _has(feature: str) -> bool:
    from PIL import features

    return bool(features.check(feature))


def _model(model: str | None) -> str:
    from posecli.model.graph import read_graph
    from posecli.model.heads import find_heads
    from posecli.model.locate import find_model, read_model_file

    file = read_model_file(find_model(model))
    try:
        find_heads(read_graph(file.data, trusted=file.known))
    except ModelError as error:
        raise ModelError(f"cannot use the model {file.path}: {error.message}", error.hint) from error
    return f"{file.path} ({'known model, SHA-256 verified' if file.known else 'unknown model'})"


def _inference(model: str | None) -> str:
    from posecli.checks.benchmark import example_picture
    from posecli.inference.estimator import PoseEstimator
    from posecli.model.locate import find_model

    record = PoseEstimator(find_model(model)).estimate(example_picture())
    if record.error is not None:
        raise PosecliError(record.error.message)
    return f"{record.timings['infer']:.0f} ms for the first picture"


def _cache() -> str:
    from posecli.model.locate import cache_folder

    folder = cache_folder()
    nearest = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    if not nearest.is_dir():
        raise PosecliError(f"{nearest} is not a folder", "set another folder with POSECLI_CACHE")
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise PosecliError(
            f"{folder} is not writable: {os.strerror(error.errno or 0)}", "set another folder with POSECLI_CACHE"
        ) from error
    return str(folder)

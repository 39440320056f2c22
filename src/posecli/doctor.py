"""An offline self-test: what is installed, whether the model is there and right, whether it runs."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from posecli import __version__
from posecli.errors import PosecliError
from posecli.extras import EXTRAS, installed

OLDEST, NEWEST = (3, 10), (3, 13)


class Finding(NamedTuple):
    """One line: what was looked at, whether it is well, what was found, and what to do where it is not."""

    what: str
    ok: bool
    found: str
    remedy: str = ""


def examine(model: str | None) -> Iterator[Finding]:
    """All findings, one after the other. Never touches the network."""
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
        return Finding(what, False, error.message, error.hint)
    except Exception as error:  # a broken installation raises anything
        return Finding(what, False, f"{type(error).__name__}: {error}", "reinstall posecli in a fresh environment")


def _python() -> str:
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        raise PosecliError(f"Python {platform.python_version()}", "use Python 3.10 to 3.13")
    return f"posecli {__version__} on Python {platform.python_version()}, {platform.machine()} {platform.system()}"


def _packages() -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "pillow", "click", "tqdm"))


def _runtime() -> str:
    from posecli.model.runtime import find_runtime

    name = find_runtime()[0]
    return f"{name} {importlib.metadata.version(name)}"


def _pictures() -> str:
    from PIL import features

    missing = [name for name, feature in (("JPEG", "jpg"), ("PNG", "zlib"), ("WebP", "webp")) if not _has(feature)]
    if missing:
        raise PosecliError(f"Pillow was built without {', '.join(missing)}", "pip install --force-reinstall pillow")
    return f"JPEG, PNG and WebP; libjpeg-turbo {features.version('libjpeg_turbo') or 'missing: JPEGs decode slower'}"


def _has(feature: str) -> bool:
    from PIL import features

    return bool(features.check(feature))


def _model(model: str | None) -> str:
    from posecli.model.locate import find_model, read_model_file

    file = read_model_file(find_model(model))
    return f"{file.path} ({'known, its SHA-256 is right' if file.known else 'no known model'})"


def _inference(model: str | None) -> str:
    from posecli.benchmark import example_picture
    from posecli.estimate import PoseEstimator

    record = PoseEstimator(model, offline=True).estimate(example_picture())
    if record.error is not None:
        raise PosecliError(record.error.message)
    return f"{record.timings['infer']:.0f} ms for a first picture"


def _cache() -> str:
    from posecli.model.locate import cache_folder

    folder = cache_folder()
    nearest = next(path for path in (folder, *folder.parents) if path.is_dir())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise PosecliError(
            f"{folder} cannot be written: {os.strerror(error.errno or 0)}", "name another with POSECLI_CACHE"
        ) from error
    return str(folder)

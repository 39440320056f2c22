"""Installed Python packages that contain only a model, made by `posecli model wheel`.

The name of such a distribution starts with `posecli_model_`. It has an entry point in the group `posecli.models`, from
the model's name to the package that contains the manifest and the model file. The package is never imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from posecli.errors import ModelError
from posecli.model.catalog import KnownModel

ENTRY_POINT_GROUP = "posecli.models"
DISTRIBUTION_PREFIX = "posecli_model_"
MANIFEST_NAME = "manifest.json"


def installed_models(wanted: Sequence[KnownModel]) -> Iterator[Path]:
    """Files of the wanted models in installed packages, in the order of `wanted`."""
    yield from (path for known in wanted if (path := installed_model(known.name)) is not None)


def installed_model(name: str) -> Path | None:
    """The file of the model with this name in an installed package, or None. Raises ModelError if it was modified."""
    if not _may_be_installed():
        return None
    from importlib.metadata import entry_points  # slow to import and to run, so imported only if a package may exist

    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        spec = find_spec(entry_point.value)
        for folder in (spec.submodule_search_locations if spec else None) or ():
            manifest = Path(folder) / MANIFEST_NAME
            if manifest.is_file():
                return _checked_file(manifest)
    return None


def _checked_file(manifest: Path) -> Path:
    expected = json.loads(manifest.read_text("utf-8"))
    path = manifest.with_name(expected["file_name"])
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected["sha256"]:
        raise ModelError(
            f"{path} is missing, or its SHA-256 differs from that in its manifest", "reinstall its package"
        )
    return path


def _may_be_installed() -> bool:
    """Whether a folder of sys.path contains an entry whose name starts with the prefix."""
    return any(name.startswith(DISTRIBUTION_PREFIX) for folder in sys.path for name in _names_in(folder))


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder or ".")
    except OSError:  # the folder does not exist, or is a zip archive
        return []

"""Installed Python packages that hold nothing but a model: what `posecli model wheel` makes.

Each is a distribution whose name begins with `posecli_model_`, with an entry point in the group `posecli.models`: the
model's name, and the package in which a manifest and the file lie. The package is never imported.
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
    """Files of these models in installed packages, in the order of `wanted`."""
    yield from (path for known in wanted if (path := installed_model(known.name)) is not None)


def installed_model(name: str) -> Path | None:
    """The file of a model by its name in an installed package, or None. Raises ModelError where it was changed."""
    if not _may_be_installed():
        return None
    from importlib.metadata import entry_points  # slow to import and to run: only where there is something to find

    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=name):
        spec = find_spec(entry_point.value)
        for folder in (spec.submodule_search_locations if spec else None) or ():
            manifest = Path(folder) / MANIFEST_NAME
            if manifest.is_file():
                return _checked_file(manifest)
    return None


def _checked_file(manifest: Path) -> Path:
    facts = json.loads(manifest.read_text("utf-8"))
    path = manifest.with_name(facts["file_name"])
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != facts["sha256"]:
        raise ModelError(f"{path} is not the one of its manifest: its SHA-256 differs", "install its package again")
    return path


def _may_be_installed() -> bool:
    """Whether any folder that Python imports from holds a distribution of the right name."""
    return any(name.startswith(DISTRIBUTION_PREFIX) for folder in sys.path for name in _names_in(folder))


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder or ".")
    except OSError:  # a folder that is not there, or a zip archive
        return []

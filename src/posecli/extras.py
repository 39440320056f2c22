"""Packages beyond the core: imported where they are needed, and named where they are missing."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import Any

from posecli.errors import MissingExtra

#: Extra → the packages, by the names they are imported under, that it brings.
EXTRAS = {
    "eval": ("pycocotools",),
    "litert": ("ai_edge_litert",),
    "measure": ("scipy", "matplotlib"),
    "parquet": ("pyarrow",),
    "quantize": ("ai_edge_quantizer",),
    "ray": ("ray",),
    "remote": ("fsspec",),
    "report": ("jinja2",),
    "video": ("av", "scipy"),
}


def installed(extra: str) -> bool:
    """Whether all packages of an extra are there."""
    return all(find_spec(package) is not None for package in EXTRAS[extra])


def need(module: str, *, extra: str) -> Any:
    """Import a module that comes with an extra. Raises MissingExtra, which says how to get it."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] != package:
            raise  # it is there, and broken: that must be seen
        raise MissingExtra(
            f"this needs {package}, which is not installed", f"pip install 'posecli[{extra}]'"
        ) from error

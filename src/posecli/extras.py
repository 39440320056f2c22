"""Packages beyond the core: imported where they are needed, and named where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from posecli.errors import MissingExtra


def need(module: str, *, extra: str) -> Any:
    """Import a module that comes with an extra. Raises MissingExtra, which says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] != module.partition(".")[0]:
            raise  # it is there, and broken: that must be seen
        package = module.partition(".")[0]
        raise MissingExtra(
            f"this needs {package}, which is not installed", f"pip install 'posecli[{extra}]'"
        ) from error

"""Packages beyond the core: imported where they are needed, and named where they are missing."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from posecli.errors import MissingExtra

#: Extra → the packages, by the names they are imported under, that it brings.
EXTRAS = {
    "eval": ("pycocotools",),
    "heif": ("pillow_heif",),
    "measure": ("scipy", "matplotlib"),
    "pandas": ("pandas",),
    "parquet": ("pyarrow",),
    "quantize": ("ai_edge_quantizer", "ai_edge_litert"),
    "ray": ("ray",),
    "remote": ("fsspec", "s3fs", "gcsfs", "aiohttp"),
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
        if (error.name or "").partition(".")[0] == package:
            raise MissingExtra(f"this needs {package}, which is not installed", install_extra(extra)) from error
        reason = " ".join(str(error).split())
        again = install_command(_requirement(package), again=True)
        raise MissingExtra(f"this needs {package}, which cannot be imported: {reason}", again) from error


def install_extra(extra: str) -> str:
    """The command that installs the packages of an extra."""
    return install_command(*map(_requirement, EXTRAS[extra]))


def _requirement(package: str) -> str:
    """What an installer calls a package. pyarrow 22 and later need NumPy 2, and do not say so to an installer."""
    import importlib.metadata  # slow to import

    if package == "pyarrow" and importlib.metadata.version("numpy").startswith("1."):
        return "pyarrow<22"
    return package.replace("_", "-")


def install_command(*requirements: str, again: bool = False) -> str:
    """The command that installs packages where posecli is installed: with pipx, with uv, or with pip.

    The packages themselves are named: `posecli[extra]` works only where an index has posecli.
    again: the packages are there and broken.
    """
    words = " ".join(f'"{word}"' if "<" in word else word for word in requirements)
    environment = Path(sys.prefix)
    if (environment / "pipx_metadata.json").is_file():
        return f"pipx inject {'--force ' if again else ''}posecli {words}"
    if (environment / "uv-receipt.toml").is_file():
        return f'uv pip install --python "{environment}" {"--reinstall " if again else ""}{words}'
    return f"pip install {'--force-reinstall ' if again else ''}{words}"

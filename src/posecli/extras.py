"""Optional packages: imported on first use, with an error that names the install command if one is missing."""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from posecli.errors import MissingExtra

#: Extra → its packages, by import name.
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
    """Whether all packages of an extra are installed."""
    return all(find_spec(package) is not None for package in EXTRAS[extra])


def import_extra(module: str, *, extra: str) -> Any:
    """Import a module of an extra. Raises MissingExtra, with the install command as hint, if that fails."""
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        if (error.name or "").partition(".")[0] == package:
            raise MissingExtra(f"this needs {package}, which is not installed", install_extra(extra)) from error
        reason = " ".join(str(error).split())
        reinstall = install_command(_requirement(package), again=True)
        raise MissingExtra(f"this needs {package}, which cannot be imported: {reason}", reinstall) from error


def install_extra(extra: str) -> str:
    """The command that installs the packages of an extra."""
    return install_command(*map(_requirement, EXTRAS[extra]))


def _requirement(package: str) -> str:
    """The requirement to install for an import name.

    pyarrow 22 and later need NumPy 2, but their metadata does not declare it.
    """
    import importlib.metadata  # slow to import

    if package == "pyarrow" and importlib.metadata.version("numpy").startswith("1."):
        return "pyarrow<22"
    return package.replace("_", "-")


def install_command(*requirements: str, again: bool = False) -> str:
    """The command that installs packages into posecli's environment: with pipx, uv or pip.

    The command names the packages, because `posecli[extra]` works only if an index has posecli.
    again: the packages are installed but broken, and must be reinstalled.
    """
    words = " ".join(f'"{word}"' if "<" in word else word for word in requirements)
    environment = Path(sys.prefix)
    if (environment / "pipx_metadata.json").is_file():
        return f"pipx inject {'--force ' if again else ''}posecli {words}"
    if (environment / "uv-receipt.toml").is_file():
        return f'uv pip install --python "{environment}" {"--reinstall " if again else ""}{words}'
    return f"pip install {'--force-reinstall ' if again else ''}{words}"

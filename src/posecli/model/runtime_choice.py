"""Chooses the TFLite runtime. This module imports no runtime, and imports NumPy only to check its version."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

from posecli.errors import EngineError, UsageError
from posecli.extras import install_command

LITERT, TFLITE_RUNTIME = "ai-edge-litert", "tflite-runtime"
#: TFLite runtimes, the default first: package name → import name.
RUNTIMES = {LITERT: "ai_edge_litert", TFLITE_RUNTIME: "tflite_runtime"}
#: The last release of tflite-runtime, 2.14, has wheels only for Linux and Python up to 3.11.
TFLITE_RUNTIME_HAS_WHEELS = sys.platform == "linux" and sys.version_info < (3, 12)
_LAST_NUMPY_OF_TFLITE_RUNTIME = 1

_UNSET = "unset POSECLI_RUNTIME"


def choose_runtime() -> str:
    """The name of the runtime: POSECLI_RUNTIME if it is set, otherwise LiteRT or its predecessor tflite-runtime.

    Raises UsageError if POSECLI_RUNTIME is not the name of a runtime, and EngineError if the runtime is not installed
    or does not support the installed NumPy.
    """
    wanted = os.environ.get("POSECLI_RUNTIME", "")
    if wanted and wanted not in RUNTIMES:
        raise UsageError(f"POSECLI_RUNTIME is {wanted!r}, expected {' or '.join(RUNTIMES)}", _UNSET)
    candidates = [wanted] if wanted else list(RUNTIMES)
    chosen = next((name for name in candidates if _is_installed(name)), None)
    if chosen is None:
        raise _not_installed(wanted)
    if chosen == TFLITE_RUNTIME:
        _check_numpy()
    return chosen


def steps_to_litert() -> str:
    """The steps from tflite-runtime to LiteRT, for a hint."""
    steps = [] if _is_installed(LITERT) else [install_command(LITERT)]
    if os.environ.get("POSECLI_RUNTIME"):
        steps.append(_UNSET)
    return " and ".join(steps)


def _is_installed(name: str) -> bool:
    return find_spec(RUNTIMES[name]) is not None


def _not_installed(wanted: str) -> EngineError:
    if not wanted:
        return EngineError("no TFLite runtime is installed", install_command(LITERT))
    if wanted == LITERT:
        return EngineError(f"{LITERT} is not installed", f"{install_command(LITERT)}, or {_UNSET}")
    if TFLITE_RUNTIME_HAS_WHEELS:
        install = install_command(TFLITE_RUNTIME, "numpy<2")
        return EngineError(f"{TFLITE_RUNTIME} is not installed", f"{install}, or {_UNSET}")
    return EngineError(
        f"{TFLITE_RUNTIME} is not installed: it is available only for Linux and Python up to 3.11", _UNSET
    )


def _check_numpy() -> None:
    """Raise EngineError if NumPy is newer than tflite-runtime supports: every call of the runtime would fail."""
    import numpy as np

    if int(np.__version__.partition(".")[0]) <= _LAST_NUMPY_OF_TFLITE_RUNTIME:
        return
    raise EngineError(
        f"{TFLITE_RUNTIME} needs NumPy 1, but NumPy {np.__version__} is installed",
        f"{steps_to_litert()} to use LiteRT, or {install_command('numpy<2')}",
    )

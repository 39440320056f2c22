#!/bin/sh
# Sets posecli up in .venv with what its tests need, and runs them on all processors, with the real model. Arguments go to
# pytest: -n 0 for one process, -m "not slow" for the quick tests only.
# POSECLI_TEST_EXTRAS=test,tflite-runtime tests it on tflite-runtime and NumPy 1 (Python 3.10 and 3.11).
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

# The tests start hundreds of processes: without bytecode each would compile all that it imports.
unset PYTHONDONTWRITEBYTECODE

setup_environment "${POSECLI_TEST_EXTRAS:-test}"
ensure_npm || echo "npm cannot be installed." >&2
ensure_model
ensure_browser
exec "$venv/bin/python" -m pytest -n auto --dist loadfile "$@"

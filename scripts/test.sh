#!/bin/sh
# Installs posecli and the test dependencies in .venv, and runs the tests on all CPU cores, with the real model.
# Arguments are passed to pytest: -n 0 uses one process, -m "not slow" skips the slow tests.
# POSECLI_TEST_EXTRAS=test,tflite-runtime tests with tflite-runtime and NumPy 1 (Python 3.10 and 3.11).
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

# The tests start hundreds of processes. Without bytecode files each process would compile all its imports.
unset PYTHONDONTWRITEBYTECODE

setup_environment "${POSECLI_TEST_EXTRAS:-test}"
ensure_npm || echo "npm could not be installed." >&2
ensure_model
ensure_browser
exec "$venv/bin/python" -m pytest -n auto --dist loadfile "$@"

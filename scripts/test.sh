#!/bin/sh
# Sets posecli up in .venv with what its tests need, and runs them, on all processors. Arguments go to pytest: -n 0 for
# one process, -m "not slow" for the quick tests only.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

setup_environment test
exec "$venv/bin/python" -m pytest -n auto --dist loadfile "$@"

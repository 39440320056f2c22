#!/bin/sh
# Sets posecli up in .venv with what its tests need, and runs them with the real model. Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
. scripts/setup.sh

setup_environment test
ensure_model
ensure_browser
exec "$venv/bin/python" -m pytest "$@"

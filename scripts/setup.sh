# Sourced by demo.sh and test.sh: a virtual environment with posecli in it.
#   setup_environment EXTRAS   sets $venv; POSECLI_PYTHON names the Python, POSECLI_VENV the folder; POSECLI_UV a uv that
#                              installs in pip's place, in seconds instead of minutes.

fail() {
    echo "$0: $*" >&2
    exit 1
}

find_python() {
    for candidate in ${POSECLI_PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

install_into() {
    environment=$1
    shift
    if [ -n "${POSECLI_UV:-}" ]; then
        "$POSECLI_UV" pip install --quiet --python "$environment/bin/python" "$@"
    else
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
    fi
}

setup_environment() {
    python=$(find_python) || fail "Python 3.10 to 3.13 is needed, and none was found. Install one, or name it with POSECLI_PYTHON."
    venv=${POSECLI_VENV:-.venv}
    if [ ! -x "$venv/bin/python" ]; then
        "$python" -m venv "$venv" ||
            fail "$python cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"
    fi
    stamp="$venv/.posecli-$1"
    if [ ! -f "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
        echo "Installing posecli and what it needs into $venv ..." >&2
        install_into "$venv" -e ".${1:+[$1]}" || fail "posecli could not be installed: is the package index reachable?"
        touch "$stamp"
    fi
}

# A PoseNet file that is there already: POSECLI_MODEL, or test data beside the checkout.
use_model_at_hand() {
    stand_in=${POSECLI_TEST_DATA:-../shared}/models/posenet_257_s32.tflite
    if [ -z "${POSECLI_MODEL:-}" ] && [ -f "$stand_in" ] && [ -z "$(ls models/*.tflite 2>/dev/null)" ]; then
        export POSECLI_MODEL="$stand_in"
    fi
}

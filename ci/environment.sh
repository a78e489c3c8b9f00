# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Sourced by the commands in ci/: where the caches and the Python environment are.

CARRYOVER_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CARRYOVER_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/carryover
CARRYOVER_REQUIREMENTS=("$CARRYOVER_ROOT/runner/requirements.txt" "$CARRYOVER_ROOT/ci/requirements.txt")

# The first Python that the runner can do with; ci/setup has seen to it that there is one.
carryover_find_python() {
    local candidate
    for candidate in /usr/bin/python3 python3 python3.{14,13,12,11}; do
        if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# The virtual environment of these requirements; another list has another one.
carryover_venv() {
    local key
    key=$(cat "${CARRYOVER_REQUIREMENTS[@]}" | sha256sum | cut -c1-16)
    echo "$CARRYOVER_CACHE/venv-$key"
}

# Become a Python module of the runner or of ci/ (`carryover_run_module NAME ARGUMENTS...`).
carryover_run_module() {
    local venv
    venv=$(carryover_venv)
    export PYTHONPATH="$CARRYOVER_ROOT/ci:$CARRYOVER_ROOT/runner${PYTHONPATH:+:$PYTHONPATH}"
    exec "$venv/bin/python" -m "$@"
}

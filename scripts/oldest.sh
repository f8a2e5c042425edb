#!/bin/sh
# Runs the fast tests with the oldest releases that pyproject.toml allows, in .venv-oldest: its lower bounds are promises.
# `sh scripts/oldest.sh --print` shows these releases and does nothing else; other arguments go to pytest.
# PYTHON=/path/to/python3.10 chooses the interpreter. Without it the oldest suitable one on PATH is taken: old releases are
# not built for new Pythons.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "oldest: $*" >&2; }
bounds() { # of what the project and its tests need, one a line: torch==2.11
    sed -n '/^dependencies = \[/,/^\]/p; /^test = \[/,/^\]/p; /^judges = \[/,/^\]/p' pyproject.toml |
        sed -n 's/^ *"\([A-Za-z0-9._-]*\)>=\([0-9.]*\).*/\1==\2/p'
}
if [ "${1:-}" = --print ]; then
    bounds
    exit 0
fi

range=$(sed -n 's/^requires-python *= *"\(.*\)".*/\1/p' pyproject.toml) # >=3.10,<3.14
minor=$(printf '%s' "$range" | sed 's/.*>=3\.\([0-9]*\).*/\1/')
beyond=$(printf '%s' "$range" | sed 's/.*<3\.\([0-9]*\).*/\1/')
python=${PYTHON:-}
while [ -z "$python" ] && [ "$minor" -lt "$beyond" ]; do
    if "python3.$minor" -c 'import ensurepip, venv' >/dev/null 2>&1; then python=python3.$minor; fi
    minor=$((minor + 1))
done
if [ -z "$python" ]; then
    say "found no python3.x on PATH that makes virtual environments, expected Python $range." \
        "Name one: make test-oldest PYTHON=/path/to/python3.10"
    exit 2
fi

say "$("$python" --version) ($python) -> .venv-oldest"
"$python" -m venv --clear .venv-oldest
bounds >.venv-oldest/constraints.txt
say "installing the oldest releases; torch is large, so this takes a while"
.venv-oldest/bin/python -m pip install --disable-pip-version-check -q -c .venv-oldest/constraints.txt -e ".[test,judges]"
# Old releases warn of what has changed below them since; that is no fault of ours, and does not stop a user.
exec .venv-oldest/bin/python -m pytest -W ignore::DeprecationWarning "$@"

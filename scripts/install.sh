#!/bin/sh
# Makes .venv in this clone and installs the project with its tests into it. Instant when nothing has changed.
# PYTHON=/path/to/python3.12 chooses the interpreter; without it the first suitable one on PATH is taken.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/installed
wanted="$(pwd) ${PYTHON:-} $(cksum <pyproject.toml)"
if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    exit 0
fi

say() { printf '%s\n' "install: $*" >&2; }
range=$(sed -n 's/^requires-python *= *"\(.*\)".*/\1/p' pyproject.toml) # >=3.10,<3.14
oldest=$(printf '%s' "$range" | sed 's/.*>=3\.\([0-9]*\).*/\1/')
beyond=$(printf '%s' "$range" | sed 's/.*<3\.\([0-9]*\).*/\1/')

suits() { # the interpreter $1 runs and lies in the range
    "$1" -c "import sys; sys.exit(not (3, $oldest) <= sys.version_info[:2] < (3, $beyond))" >/dev/null 2>&1
}
version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo 'a command that does not run'; }
apt_install() { # as root on Debian or Ubuntu; anyone else gets the command to type
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
    say "apt-get install $*"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        suits "$PYTHON" && echo "$PYTHON"
        return
    fi
    minor=$((beyond - 1))
    candidates=python3
    while [ "$minor" -ge "$oldest" ]; do
        candidates="$candidates python3.$minor"
        minor=$((minor - 1))
    done
    for candidate in $candidates; do
        if suits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

if ! python=$(find_python); then
    if [ -n "${PYTHON:-}" ]; then
        say "PYTHON=$PYTHON is $(version_of "$PYTHON"); expected Python $range. Name another one: make test PYTHON=python3.12"
        exit 2
    fi
    if command -v python3 >/dev/null 2>&1; then
        say "python3 is $(version_of python3) and no other python3.x on PATH suits; expected Python $range." \
            "Install one and name it: make test PYTHON=/path/to/python3.12"
        exit 2
    fi
    if ! { apt_install python3 python3-venv && python=$(find_python); }; then
        say "found no Python, expected $range. On Debian or Ubuntu: sudo apt-get install python3 python3-venv"
        exit 2
    fi
fi

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    package="python$(version_of "$python")-venv"
    if ! { apt_install "$package" && "$python" -c 'import ensurepip, venv' 2>/dev/null; }; then
        say "$python cannot make virtual environments (no ensurepip). On Debian or Ubuntu: sudo apt-get install $package"
        exit 2
    fi
fi

if ! suits .venv/bin/python || [ "$(version_of .venv/bin/python)" != "$(version_of "$python")" ] ||
    ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    say "Python $(version_of "$python") ($python) -> .venv"
    "$python" -m venv --clear .venv
fi
say "installing the dependencies; torch is large, so the first time takes a while"
quiet=-q
if [ -t 1 ]; then quiet=; fi # a person sees the progress, a log does not
.venv/bin/python -m pip install --disable-pip-version-check $quiet -e ".[test,judges,s3]"
printf '%s\n' "$wanted" >"$stamp"

#!/bin/sh
# Make the environment of a clone, once; of two at once, the second waits and finds it made.
#
#   setup.sh PYTHON VENV CLONE     in the folder CLONE
#
# The stamp VENV/.ready, which says where the environment was made, is written last, so that a failed
# installation leaves none and the next call goes on with it. A moved clone makes it anew, since its
# scripts name their folder.
set -eu
python=$1 venv=$2 clone=$3
ready=$venv/.ready own=$venv/bin/python
pins="requirements.lock requirements-cpu.lock requirements-cuda.lock requirements-build.lock pyproject.toml"

tools/need.sh python "$python"
if command -v flock >/dev/null; then
    exec 9>"$venv.lock"
    flock -n 9 || {
        echo "make: waiting for another make, which is setting up $venv" >&2
        flock 9
        # shellcheck disable=SC2086
        if [ "$(cat "$ready" 2>/dev/null)" = "$clone" ] && [ -z "$(find $pins -newer "$ready")" ]; then
            exit 0
        fi
    }
fi
tools/need.sh venv "$python"
tools/need.sh compiler "$python"
[ ! -s "$ready" ] || [ "$(cat "$ready")" = "$clone" ] || rm -f "$own"
rm -f "$ready"
pip="-m pip --disable-pip-version-check --no-input"
# shellcheck disable=SC2086
"$own" $pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"

# Of the user's settings only where packages come from.
"$own" tools/pip_settings.py >"$venv/pip.settings"
export PIP_CONFIG_FILE="$venv/pip.settings"
echo "installing requirements.lock into $venv (a few minutes, once)"
# Files must have the hashes of the locks, which name all dependencies. A CPU build of torch goes
# before one for CUDA where pip can reach it; one for CUDA has dependencies of its own.
# shellcheck disable=SC2086
if ! said=$("$own" $pip install -qq --no-deps --require-hashes -r requirements-cpu.lock 2>&1); then
    case $said in
    *"No matching distribution"*) ;; # pip reaches no CPU build
    *) echo "$said" >&2 && exit 1 ;;
    esac
fi
# pesq has no wheel. For a build in isolation pip would check no hash, so it is built with tools that
# were checked. Their folder is a temporary one, whose path holds no colon, which PYTHONPATH splits at.
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
awk '/^pesq==/ { own = 1 } own { print; if (!/\\$/) exit }' requirements.lock >"$build/pesq.lock"
# shellcheck disable=SC2086
"$own" $pip install -qq --no-deps --require-hashes -t "$build/tools" -r requirements-build.lock
# shellcheck disable=SC2086
PYTHONPATH=$build/tools "$own" $pip install -qq --no-deps --require-hashes --no-build-isolation \
    --no-cache-dir -r "$build/pesq.lock"
# shellcheck disable=SC2086
"$own" $pip install -qq --no-deps --require-hashes -r requirements.lock
# shellcheck disable=SC2086
if "$own" $pip check | grep -E '^torch .*(not installed|but you have)' >/dev/null; then
    # shellcheck disable=SC2086
    "$own" $pip install -qq --no-deps --require-hashes -r requirements-cuda.lock
fi
# shellcheck disable=SC2086
"$own" $pip install -qq --no-deps --no-build-isolation -e .
"$own" -m denoise_lib.environment
echo "$clone" >"$ready"

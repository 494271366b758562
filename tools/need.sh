#!/bin/sh
# Make sure of one thing that pip cannot install: as root on a system with apt it is installed,
# elsewhere one line says what to do.
#
#   need.sh python PYTHON     a Python this project runs on
#   need.sh venv PYTHON       its venv module with pip in it (Debian packs it apart)
#   need.sh compiler PYTHON   a C compiler and Python's headers, for pesq, which has no wheels
#   need.sh npm               for the tests of the page: it fetches axe-core
#   need.sh chromium          for the tests of the page; $CHROMIUM names another browser
set -eu

have() {
    case $1 in
    venv) "$2" -c 'import ensurepip, venv' 2>/dev/null ;;
    compiler)
        include=$("$2" -c 'import sysconfig; print(sysconfig.get_path("include"))')
        echo '#include <Python.h>' | "${CC:-cc}" -I"$include" -fsyntax-only -xc - 2>/dev/null
        ;;
    npm) command -v npm >/dev/null ;;
    chromium) [ -n "${CHROMIUM:-}" ] && [ -x "$CHROMIUM" ] || command -v chromium >/dev/null ;;
    esac
}

install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    echo "installing $*" >&2
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
        apt-get -qq install --no-install-recommends "$@" </dev/null >/dev/null
}

fail() {
    echo "make: $*" >&2
    exit 1
}

case $1 in
python)
    command -v "$2" >/dev/null || fail "$2 is not there: install Python 3.11, 3.12 or 3.13, or name it with PYTHON="
    "$2" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
        fail "Python 3.11 to 3.13 is needed and $2 is $("$2" -c 'import platform; print(platform.python_version())'); name another with PYTHON="
    ;;
venv)
    have venv "$2" || { install python3-venv && have venv "$2"; } ||
        fail "$2 has no ensurepip: install its venv package (Debian: python3-venv)"
    ;;
compiler)
    have compiler "$2" || { install gcc libc6-dev python3-dev && have compiler "$2"; } ||
        fail "pesq needs a C compiler and the headers of $2 (Debian: gcc python3-dev; macOS: xcode-select --install)"
    ;;
chromium)
    have chromium || { install chromium && have chromium; } ||
        fail "the tests of the page need Chromium: install it, or name one with CHROMIUM="
    ;;
npm)
    have npm || { install nodejs npm && have npm; } ||
        fail "the tests of the page need npm: install Node.js (Debian: apt install nodejs npm)"
    ;;
*) fail "need.sh: unknown: $1" ;;
esac

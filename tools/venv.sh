#!/usr/bin/env bash
# venv.sh FOLDER: makes a virtual environment with pip, also on a Debian without python3-venv.
# PYTHON names the interpreter; by default the first of python3, python3.14 ... python3.11 that is new enough.
set -euo pipefail
source "$(dirname "$0")/common.sh"
folder=$1

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

python=
candidates=${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}
for candidate in $candidates; do
    if new_enough "$candidate"; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    say "ofa_mcu needs Python 3.11 or newer, and none of these is: $candidates. Name one with PYTHON=..."
    exit 1
fi

if "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi
has_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }
if ! has_venv && can_apt; then
    apt_install python3-venv || true
fi
if has_venv; then
    "$python" -m venv --clear "$folder"
elif "$python" -m pip --version >/dev/null 2>&1 && "$python" -c 'import venv' 2>/dev/null; then
    # No ensurepip: pip outside installs pip inside, and nothing else is touched.
    "$python" -m venv --clear --without-pip "$folder"
    "$python" -m pip --python "$folder/bin/python" install --quiet pip
elif command -v virtualenv >/dev/null; then
    virtualenv --quiet --clear --python "$python" "$folder"
else
    say "$python can make no virtual environment here: install python3-venv (sudo apt-get install python3-venv) or pip."
    exit 1
fi

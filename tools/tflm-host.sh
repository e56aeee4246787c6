#!/usr/bin/env bash
# tflm-host.sh PYTHON FOLDER: TFLite Micro built for this computer, headers and library, for tests of generated code.
# They travel in the Python package xmos-ai-tools (Linux on x86-64), and one header of gemmlowp in Debian's package; the
# cross compiler needs headers of a C++ library.
# Never fails: without them the tests say what is missing.
set -euo pipefail
source "$(dirname "$0")/common.sh"
python=$1 folder=$2
package=xmos-ai-tools==1.4.2

# The package, unless it is there already; says so where it may not be installed.
want() { { can_apt && apt_install "$1"; } || say "Missing: $1 (sudo apt-get install $1)"; }

echo '#include <new>' | arm-none-eabi-g++ -x c++ -fsyntax-only - 2>/dev/null || want libstdc++-arm-none-eabi-dev
[ "$(uname -sm)" = "Linux x86_64" ] || exit 0
[ -e /usr/include/gemmlowp/fixedpoint/fixedpoint.h ] || want libgemmlowp-dev
[ -d "$folder" ] && exit 0
mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
if "$python" -m pip --disable-pip-version-check download --quiet --no-deps --only-binary :all: -d "$work" "$package"; then
    "$python" - "$work" <<'PYTHON'
import pathlib, sys, zipfile

work = pathlib.Path(sys.argv[1])
(wheel,) = work.glob("*.whl")
with zipfile.ZipFile(wheel) as file:
    wanted = ("xmos_ai_tools/runtime/include/", "xmos_ai_tools/xinterpreters/libs/linux/xtflm_python.so")
    file.extractall(work, [name for name in file.namelist() if name.startswith(wanted)])
wheel.unlink()
PYTHON
    mv "$work/xmos_ai_tools" "$folder"
else
    say "Could not fetch $package; tests with TFLite Micro's own interpreter behind generated code are left out."
fi

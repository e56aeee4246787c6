#!/usr/bin/env bash
# Installs the Debian packages that ofa_mcu uses and this machine lacks, where it may; otherwise says which and how.
# Never fails: what needs a missing tool says so itself, and `ofa-mcu doctor` lists it.
set -euo pipefail
source "$(dirname "$0")/common.sh"

missing=()
command -v arm-none-eabi-gcc >/dev/null || missing+=(gcc-arm-none-eabi)
# The compiler answers with a bare name where it does not find the file.
case "$(arm-none-eabi-gcc -print-file-name=nano.specs 2>/dev/null || true)" in
    */*) ;;
    *) missing+=(libnewlib-arm-none-eabi) ;;
esac
command -v qemu-system-arm >/dev/null || missing+=(qemu-system-arm)
# With the data set elsewhere: --data-dir, and no package is needed.
[ -d /usr/share/datasets/fashion-mnist ] || missing+=(dataset-fashion-mnist)

[ "${#missing[@]}" -gt 0 ] || exit 0
if can_apt && apt_install "${missing[@]}"; then
    exit 0
fi
say "Missing: ${missing[*]}"
say "  Debian and Ubuntu:  sudo apt-get install ${missing[*]}"
say "  Elsewhere: the Arm GNU toolchain (arm-none-eabi, with newlib), QEMU 7.2 or newer with qemu-system-arm,"
say "  and Fashion-MNIST in a folder given with --data-dir (or let ofa-mcu download it)."

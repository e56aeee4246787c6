"""Compilers and flags the C tests share."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from ofa_mcu.resources import resource

__all__ = ["ARM_CORES", "WARNINGS", "Flags", "build", "host_flags", "kernel_include", "kernel_sources", "needs_arm"]

Flags = tuple[str, ...]

WARNINGS: Flags = ("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow")

ARM_CORES: dict[str, Flags] = {
    "cortex-m0plus": ("-mcpu=cortex-m0plus", "-mthumb", "-mfloat-abi=soft"),
    "cortex-m3": ("-mcpu=cortex-m3", "-mthumb", "-mfloat-abi=soft"),
    "cortex-m4": ("-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
    "cortex-m7": ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", "-mfloat-abi=hard"),
    "cortex-m33": ("-mcpu=cortex-m33", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
    "cortex-m55": ("-mcpu=cortex-m55", "-mthumb", "-mfpu=auto", "-mfloat-abi=hard"),
}

needs_arm = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed (apt: gcc-arm-none-eabi)"
)


def kernel_include() -> Path:
    """Folder of the kernels' public header."""
    return resource("firmware") / "lib" / "ofa_kernels" / "include"


def kernel_sources() -> list[Path]:
    """The kernels' C files."""
    return sorted((resource("firmware") / "lib" / "ofa_kernels" / "src").glob("*.c"))


def host_flags(*, sanitize: bool, no_long_multiply: bool = False) -> Flags:
    """Flags of the host's gcc: optimized, or with address and undefined behaviour sanitizers."""
    flags: Flags = ("-std=c11", "-O2", *WARNINGS, f"-I{kernel_include()}")
    if no_long_multiply:
        flags += ("-DOFA_NO_LONG_MULTIPLY=1",)
    if sanitize:
        flags += ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
    return flags


def build(compiler: str, flags: Iterable[str], *arguments: str | Path) -> str:
    """Runs a compiler; what it prints, or a failed test with its messages."""
    command = [compiler, *flags, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr

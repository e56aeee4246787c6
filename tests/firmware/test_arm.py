"""The Arduino side compiles for the cores it is for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ofa_mcu.resources import resource

SHIM = Path(__file__).parent / "arduino_shim"


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ("-mcpu=cortex-m0plus",),
        ("-mcpu=cortex-m3",),
        ("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"),
        ("-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard"),
        ("-mcpu=cortex-m55", "-mfloat-abi=hard"),
    ],
)
def test_it_compiles(tmp_path: Path, flags: tuple[str, ...]) -> None:
    source = resource("firmware") / "src"
    unit = tmp_path / "hal.o"
    warnings = ("-Wall", "-Wextra", "-Werror", "-std=gnu++17", "-O2", "-mthumb")
    subprocess.run(
        ["arm-none-eabi-g++", *flags, *warnings, f"-I{SHIM}", "-c", str(source / "hal_arduino.cpp"), "-o", str(unit)],
        check=True,
    )
    assert unit.is_file()

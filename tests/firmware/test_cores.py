"""The firmware compiles without a warning against what each Arduino core declares, by every standard that cores choose.

The cores themselves are not here: `arduino_cores` has of each what the firmware uses, in that core's own types, and
such macros of its as could meet other names. Their build scripts choose: Espressif's gnu99 and gnu++11, later gnu17 and
gnu++2b; nRF5's gnu11 and gnu++11; mbed's gnu11 and gnu++14, with -Wextra and -Wvla; STM32's and the Pico's gnu17 and
gnu++17; Teensy's gnu++14, later gnu++17, and for C whatever is the compiler's own.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ofa_mcu.graph.pipeline import optimize
from ofa_mcu.resources import resource
from tests.devices.models import many_ended_graph
from tests.kernels.toolchain import ARM_CORES, Flags, build, kernel_include, kernel_sources, needs_arm
from tests.planning.networks import model_files

CORES = Path(__file__).parent / "arduino_cores"
WARNINGS: Flags = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")
STANDARDS = ("gnu++11", "gnu++14", "gnu++17", "gnu++20", "gnu++2b")
CYCLES = "-DOFA_CYCLES=ESP.getCycleCount"
ESPRESSIF: Flags = ("-DARDUINO_ARCH_ESP32", "-DF_CPU=160000000L", CYCLES, "-DOFA_MARKER_PIN=10")
USB = "-DARDUINO_USB_CDC_ON_BOOT=1"

PORTS: dict[str, tuple[str, str | None, Flags]] = {
    "stm32": ("stm32", "cortex-m7", ("-DOFA_MARKER_PIN=PB12",)),
    "stm32-usb": ("stm32", "cortex-m0plus", ("-DUSBCON", "-DUSBD_USE_CDC", "-DOFA_MARKER_PIN=2")),
    "nrf5": ("nrf5", "cortex-m4", ("-DF_CPU=16000000L",)),
    "mbed": ("mbed", "cortex-m4", ("-DF_CPU=64000000L", "-DOFA_MARKER_PIN=2")),
    "mbed-pico": ("mbed", "cortex-m0plus", ("-DF_CPU=133000000L", "-DOFA_MARKER_PIN=2")),
    "pico": ("pico", "cortex-m33", ("-DF_CPU=150000000L", "-DOFA_MARKER_PIN=2")),
    "pico-cycles": ("pico", "cortex-m0plus", ("-DF_CPU=133000000L", "-DOFA_CYCLES=rp2040.getCycleCount")),
    "teensy": ("teensy", "cortex-m7", ("-DF_CPU=600000000", "-DOFA_MARKER_PIN=2")),
    "esp32": ("esp32", None, ESPRESSIF),
    "esp32-usb": ("esp32", None, (*ESPRESSIF, USB)),
    "esp32-usb-of-the-chip": ("esp32", None, (*ESPRESSIF, USB, "-DARDUINO_USB_MODE=1")),
}
"""A port's core, its processor, None for this computer's, and what its build defines."""

LANGUAGES: dict[str, tuple[str, str | None, Flags]] = {
    "espressif": ("gnu99", None, ("-Wno-old-style-declaration",)),
    "mbed": ("gnu11", "cortex-m4", ("-funsigned-char", "-Wvla")),
    "stm32": ("gnu17", "cortex-m7", ()),
    "to-come": ("gnu2x", "cortex-m0plus", ()),
}
"""What C is compiled by."""


def compiler(processor: str | None, language: str) -> tuple[str, Flags]:
    """The compiler's name and its flags for the processor."""
    name = {"c": "gcc", "c++": "g++"}[language]
    return (name, ()) if processor is None else (f"arm-none-eabi-{name}", ARM_CORES[processor])


@needs_arm
@pytest.mark.parametrize("standard", STANDARDS)
@pytest.mark.parametrize("port", PORTS)
def test_the_port_to_a_core(port: str, standard: str, tmp_path: Path) -> None:
    core, processor, defines = PORTS[port]
    name, machine = compiler(processor, "c++")
    source = resource("firmware") / "src"
    flags = (*machine, f"-std={standard}", "-O2", "-fno-exceptions", *WARNINGS, *defines, f"-I{CORES / core}")
    build(name, flags, "-c", source / "hal_arduino.cpp", "-o", tmp_path / "hal.o")


@needs_arm
@pytest.mark.parametrize("of", LANGUAGES)
def test_protocol_libraries_and_generated_code(of: str, tmp_path: Path) -> None:
    standard, processor, more = LANGUAGES[of]
    name, machine = compiler(processor, "c")
    files, _ = model_files(optimize(many_ended_graph()).graph, processor or "cortex-m3")
    (tmp_path / "model").mkdir()
    for file, text in files.items():
        (tmp_path / "model" / file).write_text(text)
    firmware = resource("firmware")
    frontend = firmware / "lib" / "ofa_frontend"
    units = [firmware / "src" / "protocol.c", *(tmp_path / "model").glob("*.c"), *kernel_sources()]
    units += (frontend / "src").glob("*.c")
    folders = (firmware / "src", tmp_path, kernel_include(), frontend / "include")
    flags = (*machine, f"-std={standard}", *WARNINGS, *more, *(f"-I{folder}" for folder in folders))
    build(name, flags, "-fsyntax-only", *units)

"""What a firmware says of itself, against the profile: sentences for what differs, silence else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ofa_mcu.devices.expectations import surprises
from ofa_mcu.devices.session import Hello
from ofa_mcu.profiles import load_profile

F746 = load_profile("stm32f746")
AS_MEANT = Hello(
    firmware="0.1.0",
    board="stm32f746",
    model="m",
    model_crc32=1,
    input_bytes=1,
    output_bytes=1,
    arena_bytes=16,
    counter="dwt",
    counter_hz=216_000_000,
    overhead=0,
    core_hz=216_000_000,
    stack_bytes=2048,
    payload_bytes=220,
    window=8,
    baud=115_200,
    core_hz_basis="measured",
    caches="I+D",
    runtime="compiled",
    kernels="dsp",
    flags="-O2,-mcpu=cortex-m7",
    image_crc32=2,
)


def told(hello: Hello, board: str = "stm32f746", runtime: str = "compiled", emulated: bool = False) -> list[str]:
    return list(surprises(hello, load_profile(board), runtime, emulated=emulated))


def test_nothing_is_said_of_what_is_as_meant() -> None:
    assert told(AS_MEANT) == []
    assert told(replace(AS_MEANT, core_hz=219_000_000)) == []


def test_what_is_not_told_is_not_held_against_it() -> None:
    """Firmware of before says none of it."""
    silent = replace(AS_MEANT, core_hz=None, core_hz_basis=None, caches=None, image_crc32=None)
    assert told(replace(silent, runtime=None, kernels=None, flags=None)) == []


@pytest.mark.parametrize(
    ("differs", "sentence"),
    [
        ({"core_hz": 16_000_000}, "stm32f746 runs at 16 MHz and its profile says 216 MHz: estimates of time"),
        ({"core_hz": 16_000_000, "core_hz_basis": "declared"}, "stm32f746 is said by its framework to run at 16 MHz"),
        ({"caches": "off"}, "stm32f746 has its caches off and its profile says both caches on"),
        ({"caches": "I"}, "stm32f746 has only the instruction cache on and"),
        ({"caches": "none"}, "stm32f746 has no caches and"),
        ({"flags": "-Og,-mcpu=cortex-m7"}, "was compiled with -Og and the figures are for -O2"),
        ({"flags": "-mcpu=cortex-m7"}, "was compiled with -O0 and the figures are for -O2"),
        ({"flags": "-O2,-mcpu=cortex-m7,-flto"}, "was compiled with -flto, which the figures are not for"),
        (
            {"kernels": "dsp_in_c"},
            "the dsp kernels of stm32f746 were compiled without the dsp instructions of its core",
        ),
        ({"kernels": "portable"}, "stm32f746 has portable kernels where its profile's core takes dsp ones; flash"),
        (
            {"runtime": "tflm", "kernels": "reference"},
            "runs the model by tflm and not by compiled, the runtime asked for",
        ),
    ],
)
def test_a_sentence_each(differs: dict[str, object], sentence: str) -> None:
    (only,) = told(replace(AS_MEANT, **differs))  # type: ignore[arg-type]
    assert sentence in only


def test_an_emulator_has_neither_clock_nor_caches() -> None:
    assert told(replace(AS_MEANT, core_hz=1, caches="none"), emulated=True) == []


def test_other_kernels_of_an_interpreter_are_none_of_the_profiles() -> None:
    assert told(replace(AS_MEANT, runtime="tflm", kernels="cmsis_nn"), runtime="tflm") == []


def test_a_core_without_caches_is_not_asked() -> None:
    firmware = replace(AS_MEANT, board="stm32f411", core_hz=100_000_000, caches="none", flags="-O2,-mcpu=cortex-m4")
    assert told(firmware, "stm32f411") == []

"""A model small enough to check by hand, with switches in its input, and profiles of every kind of twin.

It takes 300 bytes and gives 300, in the same place. Input bytes 0..3 are a little-endian number of turns of a loop of
two instructions; byte 4 is 1 to run over the stack, 2 to touch memory that is not there; then every byte is XORed
with 0x55.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.devices.project import Project, write_project
from ofa_mcu.profiles import BoardProfile, Emulator, load_profile

BYTES = 300
CRC32 = 0x1234ABCD
OVERFLOW, CRASH = 1, 2
NULL_ARENA_BYTES = 16

HEADER = f"""\
#ifndef OFA_MODEL_H
#define OFA_MODEL_H
#include <stdint.h>
#define OFA_MODEL_NAME "tiny model"
#define OFA_MODEL_CRC32 0x{CRC32:08X}u
#define OFA_MODEL_INPUT_BYTES {BYTES}
#define OFA_MODEL_OUTPUT_BYTES {BYTES}
#define OFA_MODEL_ARENA_BYTES %(arena)d
int8_t *ofa_model_input(void);
const int8_t *ofa_model_output(void);
void ofa_model_run(void);
#endif
"""

SOURCE = """\
#include "ofa_model.h"

static int8_t ofa_arena[OFA_MODEL_ARENA_BYTES] __attribute__((section(".bss.ofa_arena"), aligned(16)));
%(constants)s
int8_t *ofa_model_input(void)
{
    return ofa_arena;
}

const int8_t *ofa_model_output(void)
{
    return ofa_arena;
}

static int descend(volatile int *deeper)
{
    volatile int here = *deeper;
    return *deeper ? descend(&here) + here : 0;
}

static void spin(uint32_t turns)
{
#ifdef __arm__
    __asm volatile(".syntax unified\\n1: subs %%0, #1\\n\\tbne 1b\\n" : "+l"(turns)::"cc");
#else
    (void)turns;
#endif
}

void ofa_model_run(void)
{
    const uint8_t *in = (const uint8_t *)ofa_arena;
    %(use)s
    uint32_t turns = in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
    volatile int switched = in[4];
    if (turns) {
        spin(turns);
    }
    if (switched == 1) {
        ofa_arena[5] = (int8_t)descend(&switched);
    }
    if (switched == 2) {
        *(volatile uint32_t *)(uintptr_t)0xF0000000u = 0;
    }
    for (int i = 0; i < OFA_MODEL_INPUT_BYTES; i++) {
        ofa_arena[i] ^= 0x55;
    }
}
"""

TWINS = {
    "m0plus": Emulator("mps2-an385", 6, "cortex-m0plus", None, 0, 0x20000000, 0x40004000, 25_000_000),
    "m3": Emulator("mps2-an385", 6, "cortex-m3", None, 0, 0x20000000, 0x40004000, 25_000_000),
    "m4": Emulator("mps2-an386", 6, "cortex-m4", "fpv4-sp-d16", 0, 0x20000000, 0x40004000, 25_000_000),
    "m7": Emulator("mps2-an500", 6, "cortex-m7", "fpv5-sp-d16", 0, 0x20000000, 0x40004000, 25_000_000),
    "m33": Emulator("mps2-an505", 6, "cortex-m33", "fpv5-sp-d16", 0x10000000, 0x38000000, 0x50200000, 20_000_000),
    "m55": Emulator("mps3-an547", 6, "cortex-m55", "auto", 0, 0x20000000, 0x49303000, 32_000_000),
}


def twin_profile(name: str) -> BoardProfile:
    """A board with the smallest memory of all (64 KB flash, 20 KB RAM) and that twin."""
    twin = TWINS[name]
    return replace(load_profile("stm32f103"), id=f"tiny_{name}", core=twin.core, fpu=twin.fpu, emulator=twin)


def model_files(arena: int = 304, constant_bytes: int = 0) -> dict[str, str]:
    """The generated files of the model; `constant_bytes` of flash are wasted."""
    waste = {"constants": "", "use": ""}
    if constant_bytes:
        waste["constants"] = f"static const int8_t waste[{constant_bytes}] = {{1}};\n"
        waste["use"] = "(void)*(const volatile int8_t *)waste;"
    return {"ofa_model.h": HEADER % {"arena": arena}, "ofa_model.c": SOURCE % waste}


def tiny_project(folder: Path, name: str, **model: int) -> Project:
    """A project of the model for one kind of twin."""
    return write_project(folder / name, twin_profile(name), model_files(**model))


def inputs(count: int, turns: int = 0, switch: int = 0) -> NDArray[np.int8]:
    """`count` different inputs, int8 (count, 300), with the same switches."""
    data = np.random.default_rng(7).integers(-128, 128, (count, BYTES)).astype(np.int8)
    data[:, :4] = np.frombuffer(np.uint32(turns).tobytes(), np.int8)
    data[:, 4] = switch
    return data


def outputs(data: NDArray[np.int8]) -> NDArray[np.int8]:
    """What the model gives."""
    return data ^ np.int8(0x55)


def null_model_files() -> dict[str, str]:
    """A model of 16 bytes that does nothing: what is left is the firmware itself."""
    source = SOURCE[: SOURCE.index("static int descend")] + "void ofa_model_run(void)\n{\n}\n"
    header = HEADER.replace(f"BYTES {BYTES}", f"BYTES {NULL_ARENA_BYTES}") % {"arena": NULL_ARENA_BYTES}
    return {"ofa_model.h": header, "ofa_model.c": source % {"constants": ""}}

"""The C front-end on the host and on emulated cores."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import array_definition
from ofa_mcu.resources import resource
from tests.codegen.emulation import MACHINES, Machine, link_for, run_on
from tests.kernels.toolchain import ARM_CORES, WARNINGS, build

__all__ = ["emulate", "extreme_clips", "frontend_flags", "frontend_sources", "host_columns", "host_program"]

_HERE = Path(__file__).parent
_OVERLAP, _HOP, _CODES = 160, 320, 10


def frontend_flags() -> tuple[str, ...]:
    return ("-O2", *WARNINGS, f"-I{resource('firmware') / 'lib' / 'ofa_frontend' / 'include'}")


def frontend_sources() -> list[Path]:
    return sorted((resource("firmware") / "lib" / "ofa_frontend" / "src").glob("*.c"))


def host_program(folder: Path, *options: str) -> Path:
    """The program of host_main.c."""
    program = folder / "frontend"
    build("gcc", (*frontend_flags(), "-std=c11", *options), *frontend_sources(), _HERE / "host_main.c", "-o", program)
    return program


def host_columns(program: Path, clips: NDArray[np.int16]) -> NDArray[np.int8]:
    """Codes (N, T, 10) of clips (N, S), S >= 480."""
    columns = (clips.shape[1] - _OVERLAP) // _HOP
    used = np.ascontiguousarray(clips[:, : _OVERLAP + _HOP * columns])
    done = subprocess.run([program, str(columns)], input=used.tobytes(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.int8).reshape(len(clips), columns, _CODES)


def emulate(
    core: str,
    clip: NDArray[np.int16],
    folder: Path,
    machine: Machine | None = None,
    options: Callable[[Path], Sequence[str]] | None = None,
) -> tuple[NDArray[np.int8], NDArray[np.int64]]:
    """Codes (T, 10) of a clip (S,) on an emulated core, and the instructions of each column (T,).

    `options` gives further options for QEMU once the program is linked.
    """
    machine = machine or MACHINES[core]
    columns = (len(clip) - _OVERLAP) // _HOP
    lines = ["#include <stdint.h>", "extern const int16_t test_samples[];", "extern const int32_t test_columns;"]
    lines += [array_definition("test_samples", clip), f"const int32_t test_columns = {columns};", ""]
    (folder / "samples.c").write_text("\n".join(lines))
    program = folder / "frontend.elf"
    flags = (*ARM_CORES[core], *frontend_flags(), "-std=gnu11", "-ffunction-sections", "-fdata-sections")
    sources = [*frontend_sources(), folder / "samples.c", _HERE / "emulated_frontend.c"]
    link_for(machine, flags, sources, program)
    kind = np.dtype([("ticks", "<u4"), ("codes", "i1", (_CODES,))])
    records = np.frombuffer(run_on(machine, program, options(program) if options else ()), kind)
    ticks = records["ticks"].astype(np.int64)
    return records["codes"][1:], np.rint((ticks[1:] - ticks[0]) / machine.ticks_per_instruction).astype(np.int64)


def extreme_clips(length: int) -> dict[str, NDArray[np.int16]]:
    """Sounds that strain fixed point."""
    n = np.arange(length)
    rng = np.random.default_rng(0)
    sounds: dict[str, NDArray[np.float64] | NDArray[np.int64]] = {
        "silence": np.zeros(length),
        "highest": np.full(length, 32767),
        "lowest": np.full(length, -32768),
        "least": np.full(length, -1),
        "impulse up": np.where(n == length // 2, 32767, 0),
        "impulse down": np.where(n == length // 2 + 1, -32768, 0),
        "coin flips": rng.choice([-32768, 32767], length),
        "faint noise": rng.normal(0, 1, length),
        "noise": rng.normal(0, 3000, length),
        "clipped noise": rng.normal(0, 30000, length),
        "sweep": 32767 * np.sin(np.cumsum(np.linspace(0, np.pi, length))),
    }
    for half in (1, 2, 3, 4, 8, 17, 64, 160, 240):
        sounds[f"square wave of {2 * half}"] = np.where(n // half % 2, 32767, -32768)
    return {name: np.clip(np.rint(sound), -32768, 32767).astype(np.int16) for name, sound in sounds.items()}

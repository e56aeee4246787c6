"""Generated C on a board's emulated twin, every tensor observed: no firmware around it, files through semihosting."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.devices.emulator import INSTALL, QEMU, die_with_parent
from ofa_mcu.devices.validation_records import (
    TENSORS,
    DebugModel,
    Observed,
    compile_all,
    compiler_run,
    kernel_include,
    kernel_sources,
    observe_folder,
    read_tensors,
)
from ofa_mcu.errors import DeviceError, MismatchError
from ofa_mcu.profiles.profile import BoardProfile, Emulator

__all__ = ["machine_flags", "observe_on_twin", "require_twin"]

COMPILER = "arm-none-eabi-gcc"
FLAGS = ("-O2", "-std=gnu11", "-ffunction-sections", "-fdata-sections", "-fno-common")
LINK = ("-nostartfiles", "--specs=nano.specs", "-Wl,--gc-sections")
STACK_BYTES = 4096
MARGIN_BYTES = 16384
"""What the program around a debug model and its calls may take more than the board has."""

TIMEOUT_S = 600.0


def require_twin(profile: BoardProfile) -> Emulator:
    """The board's twin; DeviceError where it has none, or where compiler or emulator are missing."""
    if profile.emulator is None:
        raise DeviceError(f"Board {profile.id} has no emulated twin; leave out --emulate, or give the board's --port.")
    if shutil.which(COMPILER) is None:
        raise DeviceError(
            f"The compiler {COMPILER} is not on PATH; install it (apt-get install gcc-arm-none-eabi "
            "libnewlib-arm-none-eabi)."
        )
    if shutil.which(QEMU) is None:
        raise DeviceError(f"{QEMU} is not installed; install it ({INSTALL}).")
    return profile.emulator


def machine_flags(twin: Emulator) -> tuple[str, ...]:
    """What the compiler must know of the core, as the firmware's build tells it."""
    floating = (f"-mfpu={twin.fpu}", "-mfloat-abi=hard") if twin.fpu else ("-mfloat-abi=soft",)
    return (f"-mcpu={twin.core}", "-mthumb", *floating)


def observe_on_twin(model: DebugModel, profile: BoardProfile, inputs: NDArray[np.int8]) -> Observed:
    """Every tensor for inputs (N, input bytes), from the core that the twin emulates.

    Raises:
        DeviceError: no twin, no compiler, no emulator.
        MismatchError: the program failed there, which no model may make it do.
        InfeasibleError: it does not fit the board.
        OfaMcuError: the C cannot be compiled.
    """
    twin = require_twin(profile)
    with tempfile.TemporaryDirectory(prefix="ofa-twin-") as name:
        folder = Path(name)
        flags = (*machine_flags(twin), *FLAGS, f"-I{kernel_include()}", f"-I{observe_folder()}", f"-I{folder}")
        own = [observe_folder() / file for file in ("observe.c", "semihosting.c")]
        sources = [*model.write(folder, inputs), *own, *kernel_sources()]
        objects = compile_all(COMPILER, flags, sources, folder)
        program = folder / "model.elf"
        places = {
            "flash_origin": twin.flash_origin,
            "flash_bytes": profile.flash_bytes + MARGIN_BYTES,
            "ram_origin": twin.ram_origin,
            "ram_bytes": profile.sram_bytes + STACK_BYTES,
            "stack_bytes": STACK_BYTES,
        }
        link = (*LINK, *(f"-Wl,--defsym={key}={value:#x}" for key, value in places.items()))
        script = ("-T", str(observe_folder() / "observe.ld"))
        compiler_run([COMPILER, *machine_flags(twin), *link, *script, *map(str, objects), "-o", str(program)])
        command = [*die_with_parent(), QEMU, "-M", twin.machine, "-display", "none", "-monitor", "none"]
        command += ["-serial", "none", "-semihosting-config", "enable=on,target=native", "-kernel", str(program)]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired as error:
            raise DeviceError(
                f"The emulated {twin.machine} did not end within {TIMEOUT_S:g} s; try fewer inputs."
            ) from error
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip().splitlines()
            raise MismatchError(
                f"the generated C failed on the emulated {twin.machine} ({(words or ['a fault'])[0]}, exit code "
                f"{done.returncode}); report it with the model"
            )
        return read_tensors((folder / TENSORS).read_bytes(), model.plan.structure, len(inputs))

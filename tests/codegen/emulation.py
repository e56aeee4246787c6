"""Generated models on emulated cores: every tensor and the instructions of every layer."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import array_definition
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.planning.kernels.base import Flavour
from ofa_mcu.planning.plan import Plan
from ofa_mcu.space.shapes import ShapeGraph
from tests.codegen.models import plan_with, write_model
from tests.kernels.toolchain import ARM_CORES, WARNINGS, Flags, build, kernel_include, kernel_sources

__all__ = [
    "FLAVOURS",
    "MACHINES",
    "MICROBIT",
    "NETDUINO",
    "Emulator",
    "Machine",
    "Observation",
    "end_on",
    "link_for",
    "needs_emulator",
    "run_on",
]

needs_emulator = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None or shutil.which("arm-none-eabi-gcc") is None,
    reason="qemu-system-arm or arm-none-eabi-gcc is not installed (apt: qemu-system-arm, gcc-arm-none-eabi)",
)

FLAVOURS = {
    "cortex-m0plus": Flavour.PORTABLE,
    "cortex-m3": Flavour.PORTABLE,
    "cortex-m4": Flavour.DSP,
    "cortex-m7": Flavour.DSP,
    "cortex-m33": Flavour.DSP,
    "cortex-m55": Flavour.MVE,
}
"""What the cores of `ARM_CORES` may use."""


@dataclass(frozen=True)
class Machine:
    """A QEMU machine: where code and data go, nanoseconds per instruction as a power of two, what counts them.

    `systick_hz`: the rate of SysTick, exact to an instruction for layers below some millions of them; None: TIM2 of an
    STM32, which counts single instructions.
    """

    name: str
    flash_origin: int
    ram_origin: int
    ram_bytes: int
    icount_shift: int = 6
    systick_hz: int | None = None

    @property
    def ticks_per_instruction(self) -> float:
        """Of the counter as the program hands it over."""
        return 1.0 if self.systick_hz is None else self.systick_hz / 10**9 * 2**self.icount_shift * 256


NETDUINO = Machine("netduinoplus2", 0x08000000, 0x20000000, 128 << 10, icount_shift=0)
AN505 = Machine("mps2-an505", 0x10000000, 0x38000000, 2 << 20, systick_hz=20_000_000)
AN547 = Machine("mps3-an547", 0, 0x20000000, 128 << 10, systick_hz=32_000_000)
MICROBIT = Machine("microbit", 0, 0x20000000, 16 << 10, systick_hz=16_000_000)

MACHINES = {core: {"cortex-m33": AN505, "cortex-m55": AN547}.get(core, NETDUINO) for core in ARM_CORES}
"""Where the code of a core runs."""

_HERE = Path(__file__).parent
_FLAGS: Flags = ("-O2", "-std=gnu11", *WARNINGS, "-ffunction-sections", "-fdata-sections", f"-I{kernel_include()}")


def link_for(machine: Machine, flags: Sequence[str], sources: Sequence[Path], program: Path) -> None:
    """Links a program that includes emulated_start.h for a machine."""
    flags = (*flags, f"-I{_HERE}", "-nostartfiles", "-Wl,--gc-sections", "--specs=nano.specs")
    flags += ("-T", str(_HERE / "emulated.ld"))
    if machine.systick_hz is None:
        flags += ("-DTEST_STM32_TIMER",)
    symbols = {
        "flash_origin": machine.flash_origin,
        "ram_origin": machine.ram_origin,
        "ram_bytes": machine.ram_bytes,
    }
    flags += tuple(f"-Wl,--defsym={name}={value:#x}" for name, value in symbols.items())
    build("arm-none-eabi-gcc", flags, *sources, "-o", program)


def end_on(machine: Machine, program: Path, options: Sequence[str] = ()) -> subprocess.CompletedProcess[bytes]:
    """How the program ends on the machine; `options` are further ones for QEMU."""
    command = ["qemu-system-arm", "-M", machine.name, "-display", "none", "-monitor", "none", "-serial", "none"]
    command += ["-icount", f"shift={machine.icount_shift}", "-semihosting-config", "enable=on,target=native"]
    command += ["-kernel", str(program), *options]
    return subprocess.run(command, capture_output=True, timeout=60, check=False)


def run_on(machine: Machine, program: Path, options: Sequence[str] = ()) -> bytes:
    """What the program puts out on the machine, where it ends well."""
    done = end_on(machine, program, options)
    assert done.returncode == 0, (done.returncode, done.stderr.decode())
    return done.stdout


@dataclass(frozen=True, eq=False)
class Observation:
    """A layer's output, as it was at the end if it is one of the model's, and the instructions it took."""

    index: int
    instructions: int
    tensor: NDArray[np.int8]


class Emulator:
    """Compiles models for one core and runs them.

    Code for older cores runs on the Cortex-M4 of netduinoplus2, whose timer counts single instructions; it would not
    notice an instruction the older core lacks, but the compiler knows what it may use. Cortex-M33 and Cortex-M55 code
    runs on boards with these cores.
    """

    def __init__(self, core: str, folder: Path, machine: Machine | None = None) -> None:
        self.core = core
        self.flavour = FLAVOURS[core]
        self.folder = folder
        self.program = folder / "model.elf"
        self.machine = machine or MACHINES[core]
        self._flags = (*ARM_CORES[core], *_FLAGS)
        self._kernels = [folder / f"{source.stem}.o" for source in kernel_sources()]
        for source, target in zip(kernel_sources(), self._kernels, strict=True):
            build("arm-none-eabi-gcc", self._flags, "-c", source, "-o", target)

    def run(
        self,
        graph: Int8Graph,
        images: NDArray[np.int8],
        plan: Plan | None = None,
        options: Callable[[Path], Sequence[str]] | None = None,
    ) -> list[list[Observation]]:
        """Per image, the observation after each layer; without a plan every layer runs in the first way there is.

        `options` gives further options for QEMU once the program is linked.
        """
        write_model(self.folder, graph, plan or plan_with(graph, self.flavour), debug=True)
        data = ["#include <stdint.h>", "extern const int8_t test_images[];", "extern const int32_t test_image_count;"]
        data += [array_definition("test_images", images, 32), f"const int32_t test_image_count = {len(images)};", ""]
        (self.folder / "images.c").write_text("\n".join(data))
        sources = [self.folder / name for name in ("ofa_model.c", "ofa_weights.c", "images.c")]
        link_for(
            self.machine,
            (*self._flags, f"-I{self.folder}"),
            [*sources, _HERE / "emulated_main.c", *self._kernels],
            self.program,
        )
        output = run_on(self.machine, self.program, options(self.program) if options else ())
        return self._records(output, (plan.structure if plan else graph.structure), len(images))

    def link_alone(self, function: str) -> Path:
        """A program that holds nothing but this function of the kernel library and what it calls.

        On some cores the function is another one's second name.
        """
        program = self.folder / "alone.elf"
        named = ["arm-none-eabi-gcc", *self._flags, "-include", "ofa_portable.h", "-E", "-P", "-x", "c", "-"]
        done = subprocess.run(named, input=function, capture_output=True, text=True, check=True)
        symbol = done.stdout.split()[-1]
        flags = (*self._flags, "-nostartfiles", "-Wl,--gc-sections", "--specs=nano.specs", f"-Wl,--entry={symbol}")
        build("arm-none-eabi-gcc", (*flags, f"-Wl,--require-defined={symbol}"), *self._kernels, "-o", program)
        return program

    def _records(self, data: bytes, structure: ShapeGraph, images: int) -> list[list[Observation]]:
        found: list[tuple[int, int, NDArray[np.int8]]] = []
        position = 0
        while position < len(data):
            index, size, time = (int(value) for value in np.frombuffer(data, np.int32, 3, position))
            found.append((index, time & 0xFFFFFFFF, np.frombuffer(data, np.int8, size, position + 12)))
            position += 12 + size
        observing = found[1][1]
        layers, outputs = len(structure.operators), structure.outputs
        per_image = [*range(layers), *[-1] * len(outputs)]
        assert [index for index, _, _ in found] == [-1, -1, *per_image * images]
        result = []
        for start in range(2, len(found), len(per_image)):
            records = found[start : start + len(per_image)]
            seen = dict(zip(outputs, (tensor for _, _, tensor in records[layers:]), strict=True))
            result.append(
                [
                    Observation(
                        index,
                        round((time - observing) / self.machine.ticks_per_instruction),
                        seen.get(operator.output, tensor),
                    )
                    for operator, (index, time, tensor) in zip(structure.operators, records, strict=False)
                ]
            )
        return result

"""Cycles of a layer on Cortex-M4, from how often each instruction ran and the core's published timing.

Timing: Arm Cortex-M4 Technical Reference Manual, "Cortex-M4 instructions". Multiplications and DSP instructions take
one cycle; a load takes two, but one right behind another single load or store; LDRD, LDM and the like take one more
than the words they move; a taken branch takes two more for the pipeline to refill; a store with an immediate offset
takes one. No wait states: code and data in zero-wait memory.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.kernels.toolchain import build

__all__ = ["Instruction", "cycles_in", "cycles_of", "disassembly", "plugin", "profile_command"]

_REFILL = 2
_DIVISION = 7
_LINE = re.compile(r"^\s*([0-9a-f]+):\t([0-9a-f ]+?)\s*\t(\S+)(?:\t(.*))?$")
_SINGLE = re.compile(r"^(ldr|str)(b|h|sb|sh)?(\.w|\.n)?$")
_SEVERAL = re.compile(r"^(ldm|stm|push|pop)")


@dataclass(frozen=True)
class Instruction:
    """Mnemonic and operands, as the disassembler prints them."""

    name: str
    operands: str


def plugin(folder: Path) -> Path:
    """The compiled profiling plugin."""
    path = folder / "instruction_profile.so"
    source = Path(__file__).with_name("instruction_profile.c")
    build("gcc", ("-O2", "-shared", "-fPIC", "-Wall"), source, "-o", path)
    return path


def profile_command(
    library: Path, program: Path, begin: str, end: str, out: Path, origin: int = 0x08000000
) -> list[str]:
    """Options for QEMU that profile the program between two of its functions, linked at `origin`."""
    done = subprocess.run(["arm-none-eabi-nm", str(program)], capture_output=True, text=True, check=True)
    symbols = {line.split()[2]: int(line.split()[0], 16) for line in done.stdout.splitlines() if len(line.split()) == 3}
    bounds = f"begin={symbols[begin]:#x},end={symbols[end]:#x},lo={origin:#x},hi={origin + 0x100000:#x}"
    return ["-plugin", f"file={library},{bounds},out={out}"]


def cycles_of(program: Path, profile: Path, refetch: int = 0) -> tuple[int, int]:
    """Instructions and cycles of a profiled stretch; every taken branch costs `refetch` more, where code comes from
    memory with wait states that only prefetching hides."""
    code = disassembly(program)
    return cycles_in(code, profile, refetch)


def cycles_in(code: Mapping[int, Instruction], profile: Path, refetch: int = 0) -> tuple[int, int]:
    """`cycles_of` a program that was disassembled already."""
    instructions = cycles = 0
    for line in profile.read_text().splitlines():
        address, count, taken = line.split()
        at = int(address, 16)
        instructions += int(count)
        cycles += int(count) * _base_cycles(code, at) + (_REFILL + refetch) * int(taken)
    return instructions, cycles


def disassembly(program: Path) -> dict[int, Instruction]:
    """Every instruction of a linked program by its address."""
    done = subprocess.run(["arm-none-eabi-objdump", "-d", str(program)], capture_output=True, text=True, check=True)
    found: dict[int, Instruction] = {}
    for line in done.stdout.splitlines():
        match = _LINE.match(line)
        if match:
            found[int(match[1], 16)] = Instruction(match[3], match[4] or "")
    return found


def _base_cycles(code: Mapping[int, Instruction], at: int) -> int:
    """Cycles of the instruction where it is not a taken branch."""
    here = code.get(at)
    if here is None:
        return 1
    name, operands = here.name, here.operands
    if name.startswith(("ldrd", "strd")):
        return 3
    if _SEVERAL.match(name):
        return 1 + _registers(operands)
    if name.startswith(("sdiv", "udiv")):
        return _DIVISION
    if _SINGLE.match(name):
        if name.startswith("str"):
            return 1 if "[" in operands and not re.search(r"\[\w+, [a-z]", operands) else 2
        before = code.get(at - 2) or code.get(at - 4)
        return 1 if before is not None and _SINGLE.match(before.name) else 2
    return 1


def _registers(operands: str) -> int:
    inside = operands[operands.index("{") + 1 : operands.index("}")] if "{" in operands else ""
    total = 0
    for part in inside.split(","):
        ends = [_number(end) for end in part.strip().split("-")]
        total += ends[-1] - ends[0] + 1
    return total


def _number(register: str) -> int:
    named = {"sl": 10, "fp": 11, "ip": 12, "sp": 13, "lr": 14, "pc": 15}
    return named.get(register) or int(register[1:] or 0)

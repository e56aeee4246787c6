"""What Arm's M-profile cores have, as GCC's `-mcpu` and `-mfpu` take it, and what QEMU's machines run."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

__all__ = ["MACHINES", "Core", "core_of_name", "extension_mistake", "machine_mistake"]


@dataclass(frozen=True)
class Core:
    """The choices of one core: may it have the DSP extension, the vectors, and which floating point units."""

    dsp: tuple[bool, ...] = (False,)
    mve: tuple[bool, ...] = (False,)
    fpu: tuple[str | None, ...] | None = (None,)
    """Values of `-mfpu`, None for no unit; None instead of values where any name will do."""


PLAIN = Core()
SINGLE = Core(dsp=(False, True), fpu=(None, "fpv5-sp-d16", "auto"))
VECTORS = Core(dsp=(True,), mve=(False, True), fpu=(None, "fpv5-d16", "fpv5-sp-d16", "auto"))

CORES = {
    "cortex-m0": PLAIN,
    "cortex-m0plus": PLAIN,
    "cortex-m1": PLAIN,
    "cortex-m3": PLAIN,
    "cortex-m4": Core(dsp=(True,), fpu=(None, "fpv4-sp-d16", "auto")),
    "cortex-m7": Core(dsp=(True,), fpu=(None, "fpv4-sp-d16", "fpv5-sp-d16", "fpv5-d16", "auto")),
    "cortex-m23": PLAIN,
    "cortex-m33": SINGLE,
    "cortex-m35p": SINGLE,
    "cortex-m52": VECTORS,
    "cortex-m55": VECTORS,
    "cortex-m85": VECTORS,
}
"""On a Cortex-M7 frameworks leave part of the unit unused, so that the smaller ones are among its values."""

OTHER = Core(fpu=None)
"""A core of another maker: neither of Arm's extensions, names of ours for its unit."""

ARMV6M = ("cortex-m0", "cortex-m0plus", "cortex-m1")
ARMV7M = (*ARMV6M, "cortex-m3")
ARMV7EM = (*ARMV7M, "cortex-m4")
ARMV8M = (*ARMV7EM, "cortex-m23", "cortex-m33", "cortex-m35p")

MACHINES = {
    "microbit": ARMV6M,
    "mps2-an385": ARMV7M,
    "mps2-an386": ARMV7EM,
    "mps2-an500": (*ARMV7EM, "cortex-m7"),
    "mps2-an505": ARMV8M,
    "mps2-an511": ARMV7M,
    "mps2-an521": ARMV8M,
    "mps3-an524": ARMV8M,
    "mps3-an547": (*ARMV8M, "cortex-m55"),
}
"""QEMU's machine -> the cores whose code it runs: its own, and those whose instructions its own has."""


def core_of_name(name: str) -> Core | None:
    """What the core may have; None for a name that looks like Arm's and is none of an M-profile core.

    A value of `-mcpu` may turn things off behind the name: cortex-m33+nodsp.
    """
    base = re.split(r"[+.]", name)[0]
    if base in CORES:
        return CORES[base]
    return None if "cortex" in name.lower() else OTHER


def nearest(name: str, known: tuple[str, ...]) -> str:
    """A hint at what was meant."""
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    return f"did you mean {near[0]}?" if near else f"write one of {', '.join(known)}."


def extension_mistake(core: str, fpu: str | None, extensions: dict[str, bool], prefix: str = "") -> str | None:
    """What contradicts the core, as a sentence that names the key behind `prefix`; None where all goes together."""
    known = core_of_name(core)
    if known is None:
        return f"{prefix}core {core!r} is no Cortex-M that GCC knows; {nearest(core, tuple(CORES))}"
    for name, given in extensions.items():
        if given not in getattr(known, name):
            has = "has none" if given else "always has it"
            right = "false" if given else "true"
            return (
                f"{prefix}{name} is {str(given).lower()}, but {core} {has}; set {name} = {right}, or correct the core."
            )
    if known.fpu is not None and fpu not in known.fpu:
        values = ", ".join(value or "none" for value in known.fpu)
        return f"{prefix}fpu is {fpu or 'none'}, which {core} does not have; write {values}, or correct the core."
    return None


def machine_mistake(machine: str, core: str) -> str | None:
    """Why QEMU's machine cannot run code for the core, as a sentence; None where it can."""
    if machine not in MACHINES:
        return f"emulator.machine {machine!r} is no machine that a twin can be; {nearest(machine, tuple(MACHINES))}"
    if re.split(r"[+.]", core)[0] not in MACHINES[machine]:
        return (
            f"emulator.core is {core}, whose code {machine} does not run; name one of "
            f"{', '.join(MACHINES[machine])}, or another emulator.machine."
        )
    return None

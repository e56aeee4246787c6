"""What a network costs on a board: SRAM, flash, instructions, and estimates of time and energy; from shapes alone.

Definitions. SRAM: arena (activations, input and output) + static data of the firmware + stack reserve, as the emulated
twin links it. Flash: firmware, kernels, the code of the layers, and their constants. Instructions: of one inference, as
the twin's firmware counts them; SRAM is exact to the byte, flash within 2 % or 512 B, instructions within 5 %.

What is not known from shapes is assumed as the defaults of `Facts` say: layers whose quantization asks for more run a
few instructions per output element longer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ofa_mcu.errors import UsageError
from ofa_mcu.planning.core_model import CoreModel, core_model, core_of, stand_in
from ofa_mcu.planning.latency import LatencyTable
from ofa_mcu.planning.plan import Plan
from ofa_mcu.planning.priced import PricedWay, plan_code
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.space.shapes import Cascade, Operator, ShapeGraph

__all__ = [
    "DEFAULT_STACK_BYTES",
    "INSTRUCTIONS_BAND",
    "SECTION_ALIGNMENT",
    "CoreModel",
    "Cost",
    "Estimate",
    "LayerCost",
    "active_power",
    "core_model",
    "estimate",
    "millijoules",
    "millijoules_each",
    "milliseconds",
    "milliseconds_each",
    "section_bytes",
]

DEFAULT_STACK_BYTES = 2048
"""Stack reserve where the caller gives none, as in firmware/src/config.h."""

INSTRUCTIONS_BAND = 0.05
"""Promised relative error of the instructions of an inference."""

SECTION_ALIGNMENT = 8
"""Of the arena's section in the linker script."""

_SEVERAL_CODE_BYTES, _SEVERAL_PLACE_BYTES = 116, 8
"""Flash of several inputs, or outputs, beyond that of one: code (60 to 190 on known cores), and a place each."""

_BAND = re.compile(r"\+-\s*(\d+(?:\.\d+)?)\s*%")


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer: its operator's name, kernel and variant, multiply-accumulates, instructions, constants in flash.

    `parts` are the layers of a cascade and the loops around them.
    """

    name: str
    kernel: str
    variant: str
    macs: int
    instructions: float
    weight_bytes: int
    parts: tuple[LayerCost, ...] = ()


@dataclass(frozen=True)
class Cost:
    """What a network costs on a board; sizes in bytes, instructions and macs of one inference.

    sram_bytes = arena_bytes (the arena's section, a multiple of 8) + static_bytes + stack_bytes;
    flash_bytes = flash_firmware_bytes (start-up, serial protocol) + flash_code_bytes (layers and kernels)
    + flash_weight_bytes (weights, biases, multipliers, shifts and descriptors; outputs that are constants).
    """

    core: str
    arena_bytes: int
    static_bytes: int
    stack_bytes: int
    sram_bytes: int
    flash_firmware_bytes: int
    flash_code_bytes: int
    flash_weight_bytes: int
    flash_bytes: int
    instructions: int
    macs: int
    layers: tuple[LayerCost, ...]

    @property
    def runs(self) -> tuple[LayerCost, ...]:
        """The layers, cascades taken apart."""
        return tuple(part for layer in self.layers for part in layer.parts or (layer,))


@dataclass(frozen=True)
class Estimate:
    """A figure that nobody measured: what it rests on, and its relative error (0.3: +-30 %; None: unknown)."""

    value: float
    basis: str
    band: float | None


def estimate(plan: Plan, profile: BoardProfile, stack_bytes: int = DEFAULT_STACK_BYTES) -> Cost:
    """The cost of the planned network on the board; UsageError where no figures were measured for its core."""
    figures = core_model(core_of(profile))
    structure = plan.structure
    layers = tuple(
        LayerCost(
            name=operator.name,
            kernel=one.way.kernel,
            variant=one.way.variant,
            macs=structure.macs_of(operator),
            instructions=one.instructions,
            weight_bytes=one.way.constant_bytes,
            parts=_parts(structure, operator, one),
        )
        for operator, one in zip(structure.operators, plan.ways, strict=True)
    )
    firmware = figures.base_flash_bytes
    code = plan_code(plan.ways, figures)
    weights = sum([layer.weight_bytes for layer in layers])
    several = [len(ends) for ends in (structure.inputs, structure.outputs) if len(ends) > 1]
    firmware += sum([_SEVERAL_CODE_BYTES + _SEVERAL_PLACE_BYTES * count for count in several])
    weights += sum([-(-structure.bytes_of(name) // 4) * 4 for name in structure.constants & {*structure.outputs}])
    arena = section_bytes(plan.arena_bytes)
    return Cost(
        core=figures.core,
        arena_bytes=arena,
        static_bytes=figures.static_bytes,
        stack_bytes=stack_bytes,
        sram_bytes=arena + figures.static_bytes + stack_bytes,
        flash_firmware_bytes=firmware,
        flash_code_bytes=round(code),
        flash_weight_bytes=weights,
        flash_bytes=firmware + round(code) + weights,
        instructions=round(figures.inference_instructions + sum([layer.instructions for layer in layers])),
        macs=structure.macs,
        layers=layers,
    )


def _parts(structure: ShapeGraph, operator: Operator, one: PricedWay) -> tuple[LayerCost, ...]:
    if not isinstance(operator, Cascade):
        return ()
    steps = [
        LayerCost(
            step.name,
            part.way.kernel,
            part.way.variant,
            structure.macs_of(step),
            part.instructions,
            part.way.constant_bytes,
        )
        for step, part in zip(operator.steps, one.parts, strict=True)
    ]
    return (*steps, LayerCost(operator.name, one.way.kernel, one.way.variant, 0, one.loops, 0))


def section_bytes(arena_bytes: Any) -> Any:
    """Bytes of the section that holds an arena, or of many."""
    return -(-arena_bytes // SECTION_ALIGNMENT) * SECTION_ALIGNMENT


def milliseconds_each(profile: BoardProfile, cycles_per_instruction: float | None = None) -> float:
    """Time of one instruction at the board's clock.

    UsageError where the board's profile has no cycles per instruction and none are given.
    """
    _check_positive("--cycles-per-instruction", cycles_per_instruction)
    cycles = cycles_per_instruction or profile.cycles_per_instruction
    if cycles is None:
        raise _lacking(profile, "time", {"cycles_per_instruction": "--cycles-per-instruction"})
    return cycles / profile.clock_hz * 1e3


def milliseconds(
    cost: Cost,
    profile: BoardProfile,
    cycles_per_instruction: float | None = None,
    latency: LatencyTable | None = None,
) -> Estimate:
    """Time of one inference: by the board's latency table, else instructions * cycles per instruction / clock.

    Cycles per instruction that are given win over the table. Errors as `milliseconds_each` has them.
    """
    if latency is not None and cycles_per_instruction is None:
        value = latency.model.network(cost.runs) * latency.milliseconds_each
        return Estimate(value, f"{cost.instructions:,} instructions by the {latency.basis}", latency.held_out.largest)
    value = cost.instructions * milliseconds_each(profile, cycles_per_instruction)
    cycles = cycles_per_instruction or profile.cycles_per_instruction
    if cycles_per_instruction is not None:
        source, band = f"{cycles:g} cycles per instruction as given", None
    else:
        source, band = f"{cycles:g} cycles per instruction: {profile.cycles_basis}", _band_in(profile.cycles_basis)
    whose = f" of {cost.core}" if stand_in(profile) else ""
    basis = f"{cost.instructions:,} instructions{whose} at {profile.clock_hz / 1e6:g} MHz, {source}"
    return Estimate(value, basis, None if whose else band)


def millijoules_each(
    profile: BoardProfile, power_mw: float | None = None, cycles_per_instruction: float | None = None
) -> float:
    """Energy of one instruction: its time * active power.

    UsageError where the board's profile has no active power or no cycles per instruction and none are given.
    """
    missing = {}
    if cycles_per_instruction is None and profile.cycles_per_instruction is None:
        missing["cycles_per_instruction"] = "--cycles-per-instruction"
    power = active_power(profile, power_mw, missing)
    return milliseconds_each(profile, cycles_per_instruction) * power / 1e3


def active_power(profile: BoardProfile, power_mw: float | None, missing: Mapping[str, str] | None = None) -> float:
    """Milliwatts during an inference, as given or from the profile.

    UsageError where there is neither; `missing` names other fields of the profile that lack, with their options.
    """
    _check_positive("--power-mw", power_mw)
    power = power_mw or profile.active_power_mw
    if power is None or missing:
        lacking = {"active_power_mw": "--power-mw"} if power is None else {}
        raise _lacking(profile, "energy", lacking | dict(missing or {}))
    return power


def millijoules(
    cost: Cost,
    profile: BoardProfile,
    power_mw: float | None = None,
    cycles_per_instruction: float | None = None,
    latency: LatencyTable | None = None,
) -> Estimate:
    """Energy of one inference: time, estimated as `milliseconds` does, * active power.

    Errors as `millijoules_each` has them.
    """
    if latency is not None and cycles_per_instruction is None:
        power = active_power(profile, power_mw)
        value = milliseconds(cost, profile, None, latency).value * power / 1e3
    else:
        value = cost.instructions * millijoules_each(profile, power_mw, cycles_per_instruction)
    time = milliseconds(cost, profile, cycles_per_instruction, latency)
    source = "as given" if power_mw is not None else f"from the profile: {profile.power_basis}"
    # The power's own error is known to nobody; the band is the time's where that is known.
    return Estimate(value, f"{power_mw or profile.active_power_mw:g} mW {source}; {time.basis}", time.band)


def _band_in(basis: str | None) -> float | None:
    """The error a basis names as `+-25 %`, widened by that of the instructions; None where it names none."""
    found = _BAND.search(basis or "")
    return None if found is None else (1 + float(found[1]) / 100) * (1 + INSTRUCTIONS_BAND) - 1


def _check_positive(option: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise UsageError(f"{option} must be above 0, not {value:g}: give a measured figure, or leave it out")


def _lacking(profile: BoardProfile, what: str, missing: dict[str, str]) -> UsageError:
    fields, options = " and ".join(missing), " and ".join(missing.values())
    measure = ", or measure the board (ofa-mcu boards calibrate)" if list(missing) == ["cycles_per_instruction"] else ""
    return UsageError(
        f"the profile of board {profile.id} has no {fields}, so its {what} cannot be estimated: give {options} "
        f"(search, energy), or a profile of your own that has it{measure}"
    )

"""What a network costs on a board: SRAM, flash, instructions, and estimates of time and energy; from shapes alone.

Definitions. SRAM: arena (activations, input and output) + static data of the firmware + stack reserve, as the emulated
twin links it. Flash: firmware, kernels, the code of the layers, and their constants. Instructions: of one inference, as
the twin's firmware counts them; SRAM is exact to the byte, flash within 2 % or 512 B, instructions within 5 %.

Assumed of the quantization: every convolution and fully connected layer scales its accumulators down (shift below 0),
and a mean has a scale of its own. Other layers run a few instructions per output element longer or shorter.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache

from ofa_mcu.errors import UsageError
from ofa_mcu.planning.core_model import CoreModel, core_model, core_of
from ofa_mcu.planning.features import layer_features
from ofa_mcu.planning.layout import layer_bytes
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, Mean, Operator, ShapeGraph

__all__ = [
    "DEFAULT_STACK_BYTES",
    "INSTRUCTIONS_BAND",
    "CoreModel",
    "Cost",
    "Estimate",
    "LayerCost",
    "core_model",
    "estimate",
    "layer_instructions",
    "millijoules",
    "milliseconds",
]

DEFAULT_STACK_BYTES = 2048
"""Stack reserve where the caller gives none, as in firmware/src/config.h."""

INSTRUCTIONS_BAND = 0.05
"""Promised relative error of the instructions of an inference."""

_SECTION_ALIGNMENT = 8  # of the arena's section in the linker script
_MOST_PRICED = 1 << 16
_BAND = re.compile(r"\+-\s*(\d+(?:\.\d+)?)\s*%")

_Price = tuple[str, int, float, int]  # kernel, macs, instructions, bytes of constants


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer: its operator's name, its kernel, multiply-accumulates, instructions, bytes of constants in flash."""

    name: str
    kernel: str
    macs: int
    instructions: float
    weight_bytes: int


@dataclass(frozen=True)
class Cost:
    """What a network costs on a board; sizes in bytes, instructions and macs of one inference.

    sram_bytes = arena_bytes (the arena's section, a multiple of 8) + static_bytes + stack_bytes;
    flash_bytes = flash_code_bytes (firmware and kernels, too) + flash_weight_bytes (weights, biases, multipliers,
    shifts and descriptors).
    """

    core: str
    arena_bytes: int
    static_bytes: int
    stack_bytes: int
    sram_bytes: int
    flash_code_bytes: int
    flash_weight_bytes: int
    flash_bytes: int
    instructions: int
    macs: int
    layers: tuple[LayerCost, ...]


@dataclass(frozen=True)
class Estimate:
    """A figure that nobody measured: what it rests on, and its relative error (0.3: +-30 %; None: unknown)."""

    value: float
    basis: str
    band: float | None


def layer_instructions(structure: ShapeGraph, operator: Operator, core_model: CoreModel) -> float:
    """Instructions of one run of the layer; OfaMcuError where no kernel runs it."""
    kernel, counts = layer_features(structure, operator)
    return _dot(core_model.instructions[kernel], counts)


def estimate(
    structure: ShapeGraph, arena_bytes: int, profile: BoardProfile, stack_bytes: int = DEFAULT_STACK_BYTES
) -> Cost:
    """The cost of the network with that arena on the board.

    Raises:
        UsageError: no figures were measured for the board's core.
        OfaMcuError: a layer has no kernel.
    """
    figures = core_model(core_of(profile))
    priced = _priced_layers(figures)
    if len(priced) > _MOST_PRICED:
        priced.clear()
    layers: list[LayerCost] = []
    used: set[str] = set()
    instructions = figures.inference_instructions
    code = float(figures.base_flash_bytes)
    weights = macs = 0
    for operator in structure.operators:
        key = _shape_of(structure, operator)
        known = priced.get(key)
        if known is None:
            known = priced[key] = _price(structure, operator, figures)
        kernel, macs_here, count, weights_here = known
        layers.append(LayerCost(operator.name, kernel, macs_here, count, weights_here))
        used.add(kernel)
        instructions += count
        code += figures.layer_code_bytes[kernel]
        weights += weights_here
        macs += macs_here
    code += sum(figures.kernel_code_bytes[kernel] for kernel in used)
    code += sum(size for kernels, size in figures.shared_code if kernels & used)
    arena = -(-arena_bytes // _SECTION_ALIGNMENT) * _SECTION_ALIGNMENT
    return Cost(
        core=figures.core,
        arena_bytes=arena,
        static_bytes=figures.static_bytes,
        stack_bytes=stack_bytes,
        sram_bytes=arena + figures.static_bytes + stack_bytes,
        flash_code_bytes=round(code),
        flash_weight_bytes=weights,
        flash_bytes=round(code) + weights,
        instructions=round(instructions),
        macs=macs,
        layers=tuple(layers),
    )


def milliseconds(cost: Cost, profile: BoardProfile, cycles_per_instruction: float | None = None) -> Estimate:
    """Time of one inference at the board's clock: instructions * cycles per instruction / clock.

    UsageError where the board's profile has no cycles per instruction and none are given.
    """
    _check_positive("--cycles-per-instruction", cycles_per_instruction)
    cycles = cycles_per_instruction or profile.cycles_per_instruction
    if cycles is None:
        raise _lacking(profile, "time", {"cycles_per_instruction": "--cycles-per-instruction"})
    if cycles_per_instruction is not None:
        source, band = f"{cycles:g} cycles per instruction as given", None
    else:
        source, band = f"{cycles:g} cycles per instruction: {profile.cycles_basis}", _band_in(profile.cycles_basis)
    value = cost.instructions * cycles / profile.clock_hz * 1e3
    return Estimate(value, f"{cost.instructions:,} instructions at {profile.clock_hz / 1e6:g} MHz, {source}", band)


def millijoules(
    cost: Cost,
    profile: BoardProfile,
    power_mw: float | None = None,
    cycles_per_instruction: float | None = None,
) -> Estimate:
    """Energy of one inference: estimated time * active power.

    UsageError where the board's profile has no active power or no cycles per instruction and none are given.
    """
    _check_positive("--power-mw", power_mw)
    power = power_mw or profile.active_power_mw
    missing = {}
    if power is None:
        missing["active_power_mw"] = "--power-mw"
    if cycles_per_instruction is None and profile.cycles_per_instruction is None:
        missing["cycles_per_instruction"] = "--cycles-per-instruction"
    if power is None or missing:
        raise _lacking(profile, "energy", missing)
    time = milliseconds(cost, profile, cycles_per_instruction)
    source = "as given" if power_mw is not None else f"from the profile: {profile.power_basis}"
    # The power's own error is known to nobody; the band is the time's where that is known.
    return Estimate(time.value * power / 1e3, f"{power:g} mW {source}; {time.basis}", time.band)


@cache
def _priced_layers(figures: CoreModel) -> dict[tuple[Hashable, ...], _Price]:
    """Layers of the core priced so far: subnets of one space have most of their layers in common."""
    return {}


def _shape_of(structure: ShapeGraph, operator: Operator) -> tuple[Hashable, ...]:
    """Everything the price of a layer depends on."""
    shapes = structure.shapes
    key: tuple[Hashable, ...] = (
        type(operator).__name__,
        *[shapes[name] for name in operator.inputs],
        shapes[operator.output],
        structure.constants.intersection(operator.inputs),
    )
    if isinstance(operator, Conv2D | DepthwiseConv2D):
        return (*key, operator.kernel, operator.stride, operator.padding, operator.dilation)
    if isinstance(operator, Mean):
        return (*key, operator.axes)
    return key


def _price(structure: ShapeGraph, operator: Operator, figures: CoreModel) -> _Price:
    kernel, counts = layer_features(structure, operator)
    instructions = _dot(figures.instructions[kernel], counts)
    return kernel, structure.macs_of(operator), instructions, layer_bytes(structure, operator)


def _dot(weights: tuple[float, ...], counts: tuple[float, ...]) -> float:
    return sum([weight * count for weight, count in zip(weights, counts, strict=True)])


def _band_in(basis: str | None) -> float | None:
    """The error a basis names as `+-25 %`, widened by that of the instructions; None where it names none."""
    found = _BAND.search(basis or "")
    return None if found is None else (1 + float(found[1]) / 100) * (1 + INSTRUCTIONS_BAND) - 1


def _check_positive(option: str, value: float | None) -> None:
    if value is not None and not value > 0:
        raise UsageError(f"{option} must be above 0, not {value:g}: give a measured figure, or leave it out")


def _lacking(profile: BoardProfile, what: str, missing: dict[str, str]) -> UsageError:
    fields, options = " and ".join(missing), " and ".join(missing.values())
    return UsageError(
        f"the profile of board {profile.id} has no {fields}, so its {what} cannot be estimated: give {options}"
    )

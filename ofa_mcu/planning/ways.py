"""The ways a layer can be run in on a core, each with its price."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.planning.core_model import CoreModel
from ofa_mcu.planning.kernels import KERNELS
from ofa_mcu.planning.kernels.base import Facts, LayerView, Way
from ofa_mcu.planning.priced import PricedWay, priced, was_measured
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, FullyConnected, Operator, ShapeGraph

__all__ = ["layer_key", "priced_ways", "without_beaten"]

_MOST_PRICED = 1 << 16


@cache
def _known(figures: CoreModel) -> dict[object, tuple[PricedWay, ...]]:
    """Layers of the core priced so far: subnets of one space have most of their layers in common."""
    return {}


def layer_key(structure: ShapeGraph, operator: Operator, facts: Facts) -> object:
    """Everything the ways of a layer depend on."""
    shapes = structure.shapes
    read = tuple((shapes[name], name in structure.constants, name in structure.floats) for name in operator.inputs)
    same = tuple(operator.inputs.index(name) for name in operator.inputs)
    written = (shapes[operator.output], operator.output in structure.floats)
    if isinstance(operator, Conv2D | DepthwiseConv2D):
        options: tuple[object, ...] = (operator.kernel, operator.stride, operator.padding, operator.dilation)
        options += (operator.activation,)
    elif isinstance(operator, FullyConnected):
        options = (operator.activation, operator.keep_num_dims)
    else:
        options = tuple(
            (name, value) for name, value in vars(operator).items() if name not in ("name", "inputs", "output")
        )
    return type(operator), read, same, written, options, facts


def priced_ways(structure: ShapeGraph, operator: Operator, figures: CoreModel, facts: Facts) -> tuple[PricedWay, ...]:
    """Every way of every kernel that the core runs and that was measured on it, cheapest first.

    Raises OfaMcuError where there is none, UsageError where none was measured.
    """
    known_ways = _known(figures)
    key = layer_key(structure, operator, facts)
    known = known_ways.get(key)
    if known is None:
        if len(known_ways) > _MOST_PRICED:
            known_ways.clear()
        view = LayerView(structure, operator, facts)
        runs = figures.flavour.runs
        ways = [way for kernel in KERNELS if kernel.flavour in runs for way in kernel.ways(view)]
        found = [one for one in (priced(way, figures) for way in ways) if was_measured(one, figures)]
        if not found and ways:
            kernels = ", ".join(dict.fromkeys(way.kernel for way in ways))
            raise UsageError(
                f"layer '{operator.name}' of type {type(operator).__name__} asks {kernels} for what was never measured "
                f"on {figures.core}: run benchmarks/calibrate_cost.py --cores {figures.core}"
            )
        if not found:
            raise OfaMcuError(
                f"layer '{operator.name}' of type {type(operator).__name__} has no kernel for {figures.core} with its "
                "shapes and options: export a model without it"
            )
        known = known_ways[key] = without_beaten(found)
    return known


def without_beaten(ways: Iterable[PricedWay]) -> tuple[PricedWay, ...]:
    """The ways that no other beats or equals in instructions, memory and code at once, cheapest first."""
    kept: list[PricedWay] = []
    for one in sorted(ways, key=lambda each: each.effort):
        if not any(_memory(other.way, one.way) and other.way.code == one.way.code for other in kept):
            kept.append(one)
    return tuple(kept)


def _memory(a: Way, b: Way) -> bool:
    """Whether a needs no more memory than b wherever it is used."""

    def gap(value: int | None) -> float:
        return float("inf") if value is None else value

    return (
        a.scratch_bytes <= b.scratch_bytes
        and gap(a.forward_gap) <= gap(b.forward_gap)
        and gap(a.backward_gap) <= gap(b.backward_gap)
        and a.overread <= b.overread
        and (a.in_place or not b.in_place)
        and (a.in_place_second or not b.in_place_second)
        and a.constant_bytes <= b.constant_bytes
    )

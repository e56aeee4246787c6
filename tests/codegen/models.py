"""Generated models for the tests: plans with any ways and places, and files on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ofa_mcu.codegen import emit_c
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.random_weights import random_weights
from ofa_mcu.planning.facts import GraphFacts, analyse
from ofa_mcu.planning.kernels import KERNELS
from ofa_mcu.planning.kernels.base import Flavour, LayerView, Way
from ofa_mcu.planning.memory import MemoryPlan, lifetimes, place
from ofa_mcu.planning.plan import Plan
from ofa_mcu.planning.priced import PricedWay
from ofa_mcu.space.shapes import Operator, ShapeGraph

__all__ = ["Choice", "first_way", "plan_with", "random_way", "random_weights", "side_by_side", "ways_of", "write_model"]


Choice = Callable[[Operator, Sequence[Way]], Way]
"""Picks one of the ways that an operator can be run in."""


def first_way(operator: Operator, ways: Sequence[Way]) -> Way:
    """The first kernel's first way."""
    return ways[0]


def random_way(rng: np.random.Generator) -> Choice:
    """Any of the ways, drawn anew for every operator."""
    return lambda operator, ways: ways[int(rng.integers(len(ways)))]


def ways_of(graph: Int8Graph, facts: GraphFacts, flavour: Flavour) -> list[list[Way]]:
    """For every operator all ways of all kernels that the flavour runs, measured or not; its own kernels come first."""
    kernels = sorted(
        (kernel for kernel in KERNELS if kernel.flavour in flavour.runs), key=lambda k: k.flavour != flavour
    )
    views = [LayerView(graph.structure, operator, facts.of(operator)) for operator in graph.structure.operators]
    return [[way for kernel in kernels for way in kernel.ways(view)] for view in views]


def plan_with(
    graph: Int8Graph, flavour: Flavour = Flavour.PORTABLE, choose: Choice = first_way, *, apart: bool = False
) -> Plan:
    """A plan with ways chosen freely; `apart`: no tensor overlaps another, whatever the kernels allow."""
    facts = analyse(graph)
    options = ways_of(graph, facts, flavour)
    ways = [choose(operator, each) for operator, each in zip(graph.structure.operators, options, strict=True)]
    memory = side_by_side(graph.structure, ways) if apart else place(lifetimes(graph.structure), ways)
    return Plan(graph.structure, tuple(PricedWay(way, 0.0) for way in ways), memory, flavour.value)


def side_by_side(structure: ShapeGraph, ways: Sequence[Way]) -> MemoryPlan:
    """Every tensor and all scratch memory in a place of its own."""
    offsets: dict[str, int] = {}
    scratch: dict[str, int] = {}
    top = 4
    for tensor in structure.shapes:
        if tensor not in structure.constants:
            offsets[tensor] = top
            top += -(-structure.bytes_of(tensor) // 4) * 4 + 4 * (len(offsets) % 3)
    for operator, way in zip(structure.operators, ways, strict=True):
        if way.scratch_bytes:
            top = -(-top // 8) * 8
            scratch[operator.name] = top
            top += way.scratch_bytes
    top = -(-top // 8) * 8 + max((way.overread for way in ways), default=0)
    return MemoryPlan(offsets, scratch, frozenset(), top, top, (), ())


def write_model(folder: Path, graph: Int8Graph, plan: Plan, *, debug: bool = False) -> None:
    """The four generated files in the folder."""
    for file, text in emit_c(graph, plan, name="test", model_crc32=0x1234ABCD, debug=debug).items():
        (folder / file).write_text(text)

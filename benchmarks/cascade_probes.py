"""Random chains of layers that run as cascades: what the loops around the layers take."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from ofa_mcu.codegen.layers import make_layers
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.random_weights import quantized
from ofa_mcu.planning.cascades import every_way, stripes_in
from ofa_mcu.planning.chains import Stripes, chains_of
from ofa_mcu.planning.core_model import CoreModel
from ofa_mcu.planning.facts import analyse
from ofa_mcu.planning.kernels.base import Way
from ofa_mcu.planning.kernels.cascades import loop_counts
from ofa_mcu.planning.memory import lifetimes, place
from ofa_mcu.planning.plan import Plan
from ofa_mcu.planning.priced import PricedWay
from ofa_mcu.space.shapes import Cascade, ShapeGraph
from tests.codegen.emulation import Emulator
from tests.codegen.models import side_by_side
from tests.planning.chains import chain_structure

__all__ = ["CHAINS", "cascade_rows"]

CHAINS = 90
"""Chains that are measured, each in a way drawn of all it has."""

_LONGEST = 4_000_000
"""Instructions that the timer counts."""


def cascade_rows(
    figures: CoreModel, emulator: Emulator, sizes: Callable[[], Mapping[str, int]]
) -> Iterator[tuple[tuple[float, ...], int, int]]:
    """Of cascades the counts of their loops, the instructions that these took beside the layers, and their bytes.

    `sizes` gives those of all functions of the program that ran last.
    """
    rng = np.random.default_rng(5)
    for _ in range(CHAINS):
        graph = quantized(chain_structure(rng), rng)
        chain = chains_of(graph.structure)[0]
        facts = analyse(graph)
        ways = list(every_way(graph.structure, chain.cascade, figures, facts))
        if not ways:
            continue
        way = ways[int(rng.integers(len(ways)))].way
        stripes = stripes_in(graph.structure, chain.cascade, way)
        seen, symbol = _whole(graph, chain.cascade, way, emulator)
        size = sizes()[symbol]
        parts = sum(
            runs * _alone(graph, stripes, number, part, emulator, rng)
            for number, (runs, part) in enumerate(zip(stripes.runs, way.parts, strict=True))
        )
        if seen < _LONGEST:
            yield loop_counts(stripes), seen - parts, size


def _codes(graph: Int8Graph, rng: np.random.Generator) -> np.ndarray:
    size = sum(map(graph.structure.bytes_of, graph.structure.inputs))
    return rng.integers(-128, 128, (1, size)).astype(np.int8)


def _whole(graph: Int8Graph, cascade: Cascade, way: Way, emulator: Emulator) -> tuple[int, str]:
    structure = replace(graph.structure, operators=(cascade,))
    plan = Plan(structure, (PricedWay(way, 0.0),), place(lifetimes(structure), [way]), "probe")
    seen = emulator.run(graph, _codes(graph, np.random.default_rng(0)), plan)[0][0]
    (layer,) = make_layers(graph, plan, analyse(graph))
    return seen.instructions, layer.symbol


def _alone(
    graph: Int8Graph, stripes: Stripes, number: int, way: Way, emulator: Emulator, rng: np.random.Generator
) -> int:
    """Instructions of one run of a layer of a cascade."""
    step = stripes.steps[number]
    names = {*step.inputs, step.output}
    shapes = {name: shape for name, shape in stripes.structure.shapes.items() if name in names}
    alone = ShapeGraph("layer", shapes, (step,), step.inputs, (step.output,))
    known = graph.quantization
    quantization = {name: known[stripes.stand_ins.get(name, name)] for name in names}
    row = replace(graph, structure=alone, quantization=quantization)
    plan = Plan(alone, (PricedWay(way, 0.0),), side_by_side(alone, [way]), "probe")
    return emulator.run(row, _codes(row, rng), plan)[0][0].instructions

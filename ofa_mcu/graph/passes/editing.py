"""What passes share: who reads and writes a tensor, and a graph with other operators and nothing left over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.ir import Int8Graph, Parameters
from ofa_mcu.space.shapes import Operator, Shape

__all__ = ["readers_of", "rebuilt", "writers_of"]


def readers_of(graph: Int8Graph) -> dict[str, list[Operator]]:
    """The operators that read each tensor, once for every time they name it; tensors nobody reads are absent."""
    readers: dict[str, list[Operator]] = {}
    for operator in graph.structure.operators:
        for name in operator.inputs:
            readers.setdefault(name, []).append(operator)
    return readers


def writers_of(graph: Int8Graph) -> dict[str, Operator]:
    """The operator that writes each tensor."""
    return {operator.output: operator for operator in graph.structure.operators}


def rebuilt(
    graph: Int8Graph,
    operators: Iterable[Operator],
    *,
    shapes: Mapping[str, Shape] | None = None,
    parameters: Mapping[str, Parameters] | None = None,
    constants: Mapping[str, NDArray[np.int8]] | None = None,
    inputs: tuple[str, ...] | None = None,
    outputs: tuple[str, ...] | None = None,
) -> Int8Graph:
    """The graph with these operators; tensors, constants and parameters that none of them names are gone."""
    structure = graph.structure
    kept = tuple(operators)
    inputs = structure.inputs if inputs is None else inputs
    outputs = structure.outputs if outputs is None else outputs
    named = {*inputs, *outputs, *(op.output for op in kept), *(name for op in kept for name in op.inputs)}
    all_shapes = structure.shapes if shapes is None else shapes
    all_constants = graph.constants if constants is None else constants
    all_parameters = graph.parameters if parameters is None else parameters
    used = {name: value for name, value in all_constants.items() if name in named}
    names = {op.name for op in kept}
    return replace(
        graph,
        structure=replace(
            structure,
            shapes={name: shape for name, shape in all_shapes.items() if name in named},
            operators=kept,
            inputs=inputs,
            outputs=outputs,
            floats=structure.floats & named,
            constants=frozenset(used),
        ),
        quantization={name: value for name, value in graph.quantization.items() if name in named},
        parameters={name: value for name, value in all_parameters.items() if name in names},
        constants=used,
    )

"""What passes share: who reads and writes a tensor, and a graph with other operators and nothing left over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.ir import Int8Graph, Parameters
from ofa_mcu.space.shapes import ConvAdd, Operator, Shape

__all__ = ["fresh", "inserted", "operator_named", "readers_of", "rebuilt", "renamed", "split", "writers_of"]


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


def operator_named(graph: Int8Graph, name: str) -> Operator:
    """The operator of this name."""
    return next(op for op in graph.structure.operators if op.name == name)


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
    between = {op.middle for op in kept if isinstance(op, ConvAdd)}
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
        quantization={name: value for name, value in graph.quantization.items() if name in named | between},
        parameters={name: value for name, value in all_parameters.items() if name in names},
        constants=used,
    )


def renamed(graph: Int8Graph, names: Mapping[str, str]) -> Int8Graph:
    """The graph where whoever names a tensor in `names` means the one it maps to."""

    def name_of(tensor: str) -> str:
        return names.get(tensor, tensor)

    structure = graph.structure
    operators = [
        replace(op, inputs=tuple(map(name_of, op.inputs)), output=name_of(op.output)) for op in structure.operators
    ]
    inputs, outputs = tuple(map(name_of, structure.inputs)), tuple(map(name_of, structure.outputs))
    return rebuilt(graph, operators, inputs=inputs, outputs=outputs)


def fresh(taken: Iterable[str], wish: str) -> str:
    """A name like the wish that is not taken."""
    used = set(taken)
    name, number = wish, 1
    while name in used:
        number += 1
        name = f"{wish}{number}"
    return name


def split(graph: Int8Graph, operator: Operator, shape: Shape, wish: str) -> tuple[Int8Graph, str, str]:
    """The graph where the operator writes a tensor of its own, of this shape, and its old readers read another one.

    Gives the names of the two; whoever asks puts an operator between them. The one that is written keeps the old name,
    but for an output of the graph, whose name stays with the readers. `wish` is what the new name ends in.
    """
    structure = graph.structure
    name = operator.output
    other = fresh((*structure.shapes, *structure.constants), f"{name}/{wish}")
    written, read = (other, name) if name in structure.outputs else (name, other)
    operators = [
        replace(op, output=written)
        if op.name == operator.name
        else replace(op, inputs=tuple(read if each == name else each for each in op.inputs))
        for op in structure.operators
    ]
    shapes = {**structure.shapes, read: structure.shapes[name], written: shape}
    quantization = {**graph.quantization, other: graph.quantization[name]}
    changed = replace(structure, operators=tuple(operators), shapes=shapes)
    return replace(graph, structure=changed, quantization=quantization), written, read


def inserted(graph: Int8Graph, behind: str, operator: Operator) -> Int8Graph:
    """The graph with one more operator, next after the one named `behind`."""
    operators: list[Operator] = []
    for each in graph.structure.operators:
        operators += [each, operator] if each.name == behind else [each]
    return replace(graph, structure=replace(graph.structure, operators=tuple(operators)))

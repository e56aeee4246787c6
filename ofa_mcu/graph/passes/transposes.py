"""Moves Transposes behind their readers until they meet another one, a Mean or a matrix that can absorb them."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes.editing import fresh, inserted, operator_named, readers_of, rebuilt, split, writers_of
from ofa_mcu.graph.passes.reshapes import moves_nothing
from ofa_mcu.graph.passes.shaping import CODE_BY_CODE
from ofa_mcu.graph.passes.views import Permute, Rewrite, View, composed
from ofa_mcu.space.shapes import (
    Binary,
    Concatenation,
    FullyConnected,
    Mean,
    Operator,
    Pad,
    Shape,
    Softmax,
    StridedSlice,
    Transpose,
)

__all__ = ["sink_transposes"]

_Permutation = tuple[int, ...]


def sink_transposes(graph: Int8Graph) -> Rewrite:
    """The graph with every Transpose as far down as it goes; two in a row are one, a matrix takes one into its weights.

    A Transpose moves behind operators that can as well work on its input: its own writer keeps its name but writes its
    codes in the order of that input, which the view says. It stays in front of an output of the graph, and where
    several operators read it.
    """
    views: dict[str, View] = {}
    while True:
        step = _one_step(graph)
        if step is None:
            return Rewrite(graph, views)
        graph, views = step.graph, composed(views, step.views)


def _one_step(graph: Int8Graph) -> Rewrite | None:
    structure = graph.structure
    readers, writers = readers_of(graph), writers_of(graph)
    for operator in structure.operators:
        sources = [writers.get(name) for name in operator.inputs]
        first = next((op for op in sources if isinstance(op, Transpose) and not moves_nothing(structure, op)), None)
        if first is None or not structure.floats.isdisjoint((*operator.inputs, operator.output)):
            continue
        if isinstance(operator, Transpose):
            order = tuple(first.permutation[axis] for axis in operator.permutation)
            return Rewrite(_exchanged(graph, replace(operator, inputs=first.inputs, permutation=order)))
        if isinstance(operator, FullyConnected):
            if not operator.keep_num_dims and structure.rows_of(operator) == 1:
                return Rewrite(_absorbed(graph, first, operator))
            continue
        alone = len({op.name for op in readers[first.output]}) == 1 and first.output not in structure.outputs
        passed = _passed(graph, first, operator, sources) if alone else None
        if passed is not None:
            return passed
    return None


def _exchanged(graph: Int8Graph, operator: Operator) -> Int8Graph:
    """The graph with this operator in place of the one of its name, and without what nobody reads for that."""
    operators = [operator if each.name == operator.name else each for each in graph.structure.operators]
    read = {name for each in operators for name in each.inputs} | set(graph.structure.outputs)
    kept = [each for each in operators if not isinstance(each, Transpose) or each.output in read]
    return rebuilt(graph, kept)


def _absorbed(graph: Int8Graph, transpose: Transpose, operator: FullyConnected) -> Int8Graph:
    """The graph whose fully connected layer reads the Transpose's input, by columns in its order."""
    given = graph.parameters[operator.name]
    shape = graph.structure.shapes[transpose.output]
    columns = given.weights.reshape(len(given.weights), *shape)
    back = [axis + 1 for axis in _inverse(transpose.permutation)]
    weights = np.ascontiguousarray(columns.transpose(0, *back).reshape(given.weights.shape))
    parameters = {**graph.parameters, operator.name: replace(given, weights=weights)}
    return _exchanged(replace(graph, parameters=parameters), replace(operator, inputs=transpose.inputs))


def _inverse(order: _Permutation) -> _Permutation:
    return tuple(order.index(axis) for axis in range(len(order)))


def _passed(
    graph: Int8Graph, transpose: Transpose, operator: Operator, sources: list[Operator | None]
) -> Rewrite | None:
    """The Transpose behind the operator instead of before it; None where the operator minds the order of axes."""
    structure = graph.structure
    order = transpose.permutation
    before = structure.shapes[transpose.inputs[0]]
    behind = order
    constants: dict[str, NDArray[np.int8]] = {}
    inputs = transpose.inputs
    match operator:
        case Mean():
            axes = tuple(sorted(order[axis] for axis in operator.axes))
            left = [axis for axis in range(len(order)) if axis not in axes]
            if not operator.keep_dims:
                behind = tuple(left.index(order[axis]) for axis in range(len(order)) if axis not in operator.axes)
            kept = [1 if axis in axes else extent for axis, extent in enumerate(before)]
            shape = tuple(kept) if operator.keep_dims else tuple(before[axis] for axis in left)
            moved: Operator = replace(operator, axes=axes)
        case Pad():
            padding = tuple(operator.padding[axis] for axis in _inverse(order))
            shape = tuple(low + extent + high for extent, (low, high) in zip(before, padding, strict=True))
            moved = replace(operator, padding=padding)
        case Softmax() if order[-1] == len(order) - 1:
            shape, moved = before, operator
        case StridedSlice() if not operator.dropped:
            back = _inverse(order)
            begin, counts, strides = (
                tuple(values[axis] for axis in back) for values in (operator.begin, operator.counts, operator.strides)
            )
            shape, moved = counts, replace(operator, begin=begin, counts=counts, strides=strides)
        case Concatenation() if all(_alike(graph, op, transpose, operator) for op in sources):
            inputs = tuple(op.inputs[0] for op in sources if op is not None)
            axis = order[operator.axis]
            joined = list(before)
            joined[axis] = sum(structure.shapes[name][axis] for name in inputs)
            shape, moved = tuple(joined), replace(operator, axis=axis)
        case Binary():
            found = _operands(graph, transpose, operator, sources)
            if found is None:
                return None
            inputs, constants = found
            shape, moved = before, operator
        case _ if isinstance(operator, CODE_BY_CODE):
            shape, moved = before, operator
        case _:
            return None
    return _put_behind(graph, replace(moved, inputs=inputs), shape, behind, constants)


def _alike(graph: Int8Graph, found: Operator | None, transpose: Transpose, reader: Operator) -> bool:
    """Whether this is a Transpose like the other, whose output only the reader reads."""
    if not isinstance(found, Transpose) or found.permutation != transpose.permutation:
        return False
    readers = {op.name for op in readers_of(graph)[found.output]}
    return readers == {reader.name} and found.output not in graph.structure.outputs


def _operands(
    graph: Int8Graph, transpose: Transpose, operator: Binary, sources: list[Operator | None]
) -> tuple[tuple[str, ...], dict[str, NDArray[np.int8]]] | None:
    """What the operator reads before the Transposes: their inputs, and constants with axes in that order."""
    structure = graph.structure
    back = _inverse(transpose.permutation)
    if structure.shapes[operator.output] != structure.shapes[transpose.output]:
        return None
    inputs: list[str] = []
    constants: dict[str, NDArray[np.int8]] = {}
    for name, source in zip(operator.inputs, sources, strict=True):
        if name in structure.constants:
            codes = graph.constants[name]
            if prod(codes.shape) > 1:
                codes = codes.reshape((1,) * (len(back) - codes.ndim) + codes.shape).transpose(back)
                other = fresh((*structure.shapes, *constants), f"{name}/transposed")
                constants[other] = np.ascontiguousarray(codes)
                name = other
            inputs.append(name)
        elif _alike(graph, source, transpose, operator) and source is not None:
            if structure.shapes[name] != structure.shapes[transpose.output]:
                return None
            inputs.append(source.inputs[0])
        else:
            return None
    return tuple(inputs), constants


def _put_behind(
    graph: Int8Graph,
    operator: Operator,
    shape: Shape,
    order: _Permutation,
    constants: dict[str, NDArray[np.int8]],
) -> Rewrite:
    """The graph with this operator, which now writes `shape`, and a Transpose for its readers."""
    old = operator_named(graph, operator.name)
    whole = graph.structure.shapes[operator.output]
    given = dict(graph.quantization)
    for name in constants:
        position = operator.inputs.index(name)
        given[name] = graph.quantization[old.inputs[position]]
    graph = replace(
        graph,
        constants={**graph.constants, **constants},
        quantization=given,
        structure=replace(
            graph.structure,
            constants=graph.structure.constants | constants.keys(),
            shapes={**graph.structure.shapes, **{name: codes.shape for name, codes in constants.items()}},
        ),
    )
    graph, written, read = split(graph, operator, shape, "transposed")
    name = fresh((op.name for op in graph.structure.operators), f"{operator.name}/transpose")
    graph = inserted(graph, operator.name, Transpose(name=name, inputs=(written,), output=read, permutation=order))
    back = Permute(whole, _inverse(order))
    moved = [axis for axis in back.axes if whole[axis] > 1]
    views = {written: View(operator.output, () if moved == sorted(moved) else (back,)), read: View(operator.output)}
    return Rewrite(_exchanged(graph, replace(operator, output=written)), views)

"""Gives tensors other shapes with the same codes in the same order, where all that read and write them can follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from math import prod

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes.editing import rebuilt
from ofa_mcu.space.shapes import (
    Binary,
    Conv2D,
    Dequantize,
    FullyConnected,
    HardSwish,
    Logistic,
    Mean,
    Operator,
    Padding,
    Quantize,
    Relu,
    Relu6,
    Reshape,
    Shape,
    ShapeGraph,
    Softmax,
)

__all__ = ["CODE_BY_CODE", "reshaped"]

CODE_BY_CODE = (Quantize, Dequantize, Logistic, HardSwish, Relu, Relu6)
"""Operators of one input that handle every code alike."""


def reshaped(graph: Int8Graph, wanted: Mapping[str, Shape]) -> Int8Graph | None:
    """The graph with these shapes for these tensors, and for all that must follow; None where some operator cannot."""
    structure = graph.structure
    shapes = dict(structure.shapes)
    around: dict[str, list[Operator]] = {}
    for op in structure.operators:
        for name in dict.fromkeys((*op.inputs, op.output)):
            around.setdefault(name, []).append(op)
    waiting = list(wanted.items())
    while waiting:
        name, shape = waiting.pop()
        if shapes[name] == shape:
            continue
        if shapes[name] != structure.shapes[name] or name in structure.constants:
            return None
        shapes[name] = shape
        for op in around.get(name, ()):
            named = (*op.inputs, op.output)
            if _fitted(structure, op, [shapes[each] for each in named]) is None and _follows(structure, op, shape):
                waiting += [(each, shape) for each in named]
    operators = []
    for op in structure.operators:
        fitted = _fitted(structure, op, [shapes[each] for each in (*op.inputs, op.output)])
        if fitted is None:
            return None
        operators.append(fitted)
    return rebuilt(graph, operators, shapes=shapes)


def _follows(structure: ShapeGraph, operator: Operator, shape: Shape) -> bool:
    """Whether the operator does the same where all its inputs and its output have this shape."""
    old = {structure.shapes[each] for each in (*operator.inputs, operator.output)}
    if len(old) > 1 or not structure.constants.isdisjoint(operator.inputs):
        return False
    if isinstance(operator, Softmax):
        return shape[-1] == next(iter(old))[-1]
    return isinstance(operator, (*CODE_BY_CODE, Binary))


def _fitted(structure: ShapeGraph, operator: Operator, shapes: list[Shape]) -> Operator | None:
    """The operator with options by which it does the same between tensors of these shapes; None where none do."""
    old = [structure.shapes[name] for name in (*operator.inputs, operator.output)]
    if shapes == old or isinstance(operator, Reshape):
        return operator
    source, target = shapes[0], shapes[-1]
    match operator:
        case FullyConnected():
            return _fitted_rows(structure, operator, source, target)
        case Mean():
            return _fitted_mean(structure, operator, source, target)
        case Conv2D():
            point = (operator.kernel, operator.stride, operator.padding) == ((1, 1), (1, 1), Padding())
            four = len(source) == len(target) == 4 and source[:3] == target[:3] and source[0] == 1
            return operator if point and four and (source[3], target[3]) == (old[0][3], old[1][3]) else None
        case Softmax():
            return operator if source == target and source[-1] == old[0][-1] else None
        case Binary():
            return operator if _broadcasts(old, shapes) else None
    return operator if isinstance(operator, CODE_BY_CODE) and source == target else None


def _broadcasts(old: list[Shape], shapes: list[Shape]) -> bool:
    """Whether inputs (first, second) broadcast to the target, in both lists, with the same codes side by side."""
    *sources, target = shapes
    for before, source in zip(old, sources, strict=False):
        whole = before == old[-1] and source == target
        single = prod(before) == 1 and source == before and len(source) <= len(target)
        channels = prod(before) == before[-1] if before else False
        channels = channels and source == before and before[-1] == old[-1][-1] == target[-1]
        if not (whole or single or (channels and len(source) <= len(target))):
            return False
    return any(source == target for source in sources)


def _fitted_rows(
    structure: ShapeGraph, operator: FullyConnected, source: Shape, target: Shape
) -> FullyConnected | None:
    weights = structure.weight_shape(operator)
    assert weights is not None
    channels, depth = weights
    if target == (prod(source) // depth, channels):
        return replace(operator, keep_num_dims=False)
    if source[-1] == depth and target == (*source[:-1], channels):
        return replace(operator, keep_num_dims=True)
    return None


def _fitted_mean(structure: ShapeGraph, operator: Mean, source: Shape, target: Shape) -> Mean | None:
    """The Mean over the same codes: extents of 1 may come and go, and it is of no consequence which of them count."""
    before = structure.shapes[operator.inputs[0]]
    old = [axis for axis, extent in enumerate(before) if extent > 1]
    new = [axis for axis, extent in enumerate(source) if extent > 1]
    if [before[axis] for axis in old] != [source[axis] for axis in new]:
        return None
    reduced = [here for here, there in zip(new, old, strict=True) if there in operator.axes]
    ones = [axis for axis, extent in enumerate(source) if extent == 1 and axis]
    for count in range(len(ones) + 1):
        for more in combinations(ones, count):
            axes = tuple(sorted((*reduced, *more)))
            if axes and target == tuple(1 if axis in axes else extent for axis, extent in enumerate(source)):
                return replace(operator, axes=axes, keep_dims=True)
            if axes and target == tuple(extent for axis, extent in enumerate(source) if axis not in axes):
                return replace(operator, axes=axes, keep_dims=False)
    return None

"""Finds operators that write just the codes they read."""

from __future__ import annotations

import numpy as np

from ofa_mcu.graph.arithmetic import INT8_MAX, INT8_MIN, activation_range
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes.editing import rebuilt
from ofa_mcu.graph.passes.shaping import CODE_BY_CODE
from ofa_mcu.graph.tables import table_constants
from ofa_mcu.space.shapes import (
    Concatenation,
    Operator,
    Pad,
    Padding,
    Pool2D,
    Reshape,
    ResizeNearestNeighbor,
    StridedSlice,
)

__all__ = ["reshape_identities"]


def reshape_identities(graph: Int8Graph) -> Int8Graph:
    """The graph with a Reshape for every operator that changes no code and keeps their order.

    These are paddings by nothing, slices of everything, concatenations of one tensor, pools of single elements, resizes
    to the same size, and functions of a code that give every code back.
    """
    operators = [
        Reshape(name=op.name, inputs=op.inputs, output=op.output) if _changes_nothing(graph, op) else op
        for op in graph.structure.operators
    ]
    return rebuilt(graph, operators)


def _changes_nothing(graph: Int8Graph, operator: Operator) -> bool:
    structure = graph.structure
    if not structure.floats.isdisjoint((*operator.inputs, operator.output)):
        return False
    source, target = structure.shapes[operator.inputs[0]], structure.shapes[operator.output]
    match operator:
        case Pad():
            return source == target
        case Concatenation():
            return len(operator.inputs) == 1
        case ResizeNearestNeighbor():
            return source == target
        case StridedSlice():
            whole = operator.counts == source
            return whole and all(
                step > 0 or count == 1 for step, count in zip(operator.strides, operator.counts, strict=True)
            )
        case Pool2D():
            limits = activation_range(operator.activation, graph.quantization[operator.output])
            single = (operator.kernel, operator.stride, operator.padding) == ((1, 1), (1, 1), Padding())
            return single and limits == (INT8_MIN, INT8_MAX)
    if not isinstance(operator, CODE_BY_CODE):
        return False
    return np.array_equal(table_constants(graph, operator).table, np.arange(INT8_MIN, INT8_MAX + 1))

"""Cuts off the rows and columns of a kernel that see nothing but padding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, Operator, Padding, window_extent

__all__ = ["crop_kernels"]


def crop_kernels(graph: Int8Graph) -> Int8Graph:
    """The graph with smaller kernels where an image is small: 5 x 5 does what 7 x 7 does on 3 x 3 pixels."""
    structure = graph.structure
    operators: list[Operator] = []
    parameters = dict(graph.parameters)
    for op in structure.operators:
        if isinstance(op, Conv2D | DepthwiseConv2D):
            source, target = structure.shapes[op.inputs[0]], structure.shapes[op.output]
            sides = (op.padding.top, op.padding.bottom), (op.padding.left, op.padding.right)
            (rows, above, below), (columns, left, right) = (
                _seen(source[i + 1], target[i + 1], op.kernel[i], op.stride[i], op.dilation[i], sides[i])
                for i in (0, 1)
            )
            kernel = len(rows), len(columns)
            if kernel != op.kernel:
                given = parameters[op.name]
                weights = np.ascontiguousarray(given.weights[:, rows.start : rows.stop, columns.start : columns.stop])
                parameters[op.name] = replace(given, weights=weights)
                op = replace(op, kernel=kernel, padding=Padding(above, below, left, right))
        operators.append(op)
    return replace(graph, structure=replace(structure, operators=tuple(operators)), parameters=parameters)


def _seen(
    size: int, windows: int, kernel: int, stride: int, dilation: int, sides: tuple[int, int]
) -> tuple[range, int, int]:
    """From the first to the last tap along an axis that sees an element of the image, and the padding they need."""
    places = np.arange(windows)[:, None] * stride + np.arange(kernel) * dilation - sides[0]
    seeing = np.flatnonzero(((places >= 0) & (places < size)).any(axis=0))
    if not len(seeing):
        return range(kernel), *sides
    taps = range(int(seeing[0]), int(seeing[-1]) + 1)
    before = sides[0] - taps.start * dilation
    after = (windows - 1) * stride + window_extent(len(taps), dilation) - size - before
    if before < 0 or (size + before + max(after, 0) - window_extent(len(taps), dilation)) // stride + 1 != windows:
        return range(kernel), *sides
    return taps, before, max(after, 0)

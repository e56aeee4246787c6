"""One form for what can be written in several: fewer kinds of layers, each with kernels of its own.

A depthwise convolution of one channel is a convolution; so is a fully connected layer of many rows, by 1 x 1 windows; a
convolution of one window over the whole image is a fully connected layer.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.constants import channel_requantization
from ofa_mcu.graph.ir import Int8Graph, Parameters
from ofa_mcu.graph.passes.editing import fresh, inserted, operator_named, split
from ofa_mcu.graph.passes.equality import same_codes
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, FullyConnected, Operator, Padding, Reshape

__all__ = ["convolve_one_channel", "convolve_rows", "flatten_whole_windows"]


def convolve_one_channel(graph: Int8Graph) -> Int8Graph:
    """The graph with a Conv2D for every DepthwiseConv2D of a single input channel."""
    structure = graph.structure
    parameters = dict(graph.parameters)
    operators: list[Operator] = []
    for op in structure.operators:
        if isinstance(op, DepthwiseConv2D) and structure.shapes[op.inputs[0]][3] == 1:
            given = parameters[op.name]
            weights = np.ascontiguousarray(given.weights.transpose(3, 1, 2, 0))
            parameters[op.name] = replace(given, weights=weights)
            op = Conv2D(
                name=op.name,
                inputs=op.inputs,
                output=op.output,
                kernel=op.kernel,
                stride=op.stride,
                padding=op.padding,
                activation=op.activation,
                dilation=op.dilation,
            )
        operators.append(op)
    return replace(graph, structure=replace(structure, operators=tuple(operators)), parameters=parameters)


def convolve_rows(graph: Int8Graph) -> Int8Graph:
    """The graph with a pointwise Conv2D for every FullyConnected of several rows.

    The two compute a per-tensor scale differently; a layer where some accumulator would give another code stays.
    """
    for name in [op.name for op in graph.structure.operators]:
        op = operator_named(graph, name)
        if isinstance(op, FullyConnected) and graph.structure.rows_of(op) > 1:
            graph = _convolved(graph, op)
    return graph


def _convolved(graph: Int8Graph, op: FullyConnected) -> Int8Graph:
    structure = graph.structure
    if op.inputs[0] in structure.constants:
        return graph
    given = graph.parameters[op.name]
    channels, depth = given.weights.shape
    source, target = structure.shapes[op.inputs[0]], structure.shapes[op.output]
    image = len(source) == 4 and source[0] == 1 and source[3] == depth
    before = source if image else (1, 1, structure.rows_of(op), depth)
    behind = (*before[:3], channels)
    point = Conv2D(name=op.name, inputs=op.inputs, output=op.output, kernel=(1, 1), activation=op.activation)
    changed = _replaced(graph, point, replace(given, weights=given.weights.reshape(channels, 1, 1, depth)))
    if not same_codes(channel_requantization(graph, op), channel_requantization(changed, point)):
        return graph
    if source != before:
        changed = _reshaped_before(changed, point, before)
    return changed if target == behind else _reshaped_behind(changed, point, behind)


def flatten_whole_windows(graph: Int8Graph) -> Int8Graph:
    """The graph with a FullyConnected for every Conv2D whose one window sees each element of its input.

    Weights that only see padding are gone. A layer where some accumulator would give another code stays.
    """
    for name in [op.name for op in graph.structure.operators]:
        op = operator_named(graph, name)
        if isinstance(op, Conv2D) and graph.structure.shapes[op.output][1:3] == (1, 1):
            graph = _flattened(graph, op)
    return graph


def _flattened(graph: Int8Graph, op: Conv2D) -> Int8Graph:
    structure = graph.structure
    _, height, width, _ = structure.shapes[op.inputs[0]]
    rows = _taps(height, op.kernel[0], op.dilation[0], op.padding.top)
    columns = _taps(width, op.kernel[1], op.dilation[1], op.padding.left)
    if rows is None or columns is None or op.inputs[0] in structure.constants:
        return graph
    given = graph.parameters[op.name]
    channels = len(given.bias)
    seen = np.ascontiguousarray(given.weights[:, rows][:, :, columns])
    # Convolution computes scales in double precision, as a fully connected layer does where there are several.
    scales = np.ascontiguousarray(np.broadcast_to(given.weight_scales, (channels,)))
    whole = Parameters(weights=seen.reshape(channels, -1), bias=given.bias, weight_scales=scales)
    flat = FullyConnected(
        name=op.name,
        inputs=op.inputs,
        output=op.output,
        activation=op.activation,
        keep_num_dims=(height, width) == (1, 1),
    )
    narrow = replace(op, kernel=(height, width), padding=Padding(), dilation=(1, 1))
    plain = _replaced(graph, narrow, replace(given, weights=seen))
    changed = _replaced(graph, flat, whole)
    if not same_codes(channel_requantization(plain, narrow), channel_requantization(changed, flat)):
        return graph
    return changed if flat.keep_num_dims else _reshaped_behind(changed, flat, (1, channels))


def _taps(size: int, kernel: int, dilation: int, before: int) -> NDArray[np.int64] | None:
    """Which tap of the first window along an axis sees each element, None where some element is not seen."""
    places = np.arange(size) + before
    taps: NDArray[np.int64] = places // dilation
    return None if (places % dilation).any() or taps.max() >= kernel else taps


def _replaced(graph: Int8Graph, operator: Operator, given: Parameters) -> Int8Graph:
    """The graph with this operator, and its parameters, for the one of its name."""
    operators = tuple(operator if each.name == operator.name else each for each in graph.structure.operators)
    structure = replace(graph.structure, operators=operators)
    return replace(graph, structure=structure, parameters={**graph.parameters, operator.name: given})


def _reshaped_before(graph: Int8Graph, operator: Operator, shape: tuple[int, ...]) -> Int8Graph:
    """The graph whose operator reads its input through a Reshape to this shape."""
    structure = graph.structure
    source = operator.inputs[0]
    tensor = fresh(structure.shapes, f"{source}/rows")
    name = fresh((op.name for op in structure.operators), f"{operator.name}/rows")
    operators: list[Operator] = []
    for each in structure.operators:
        if each.name == operator.name:
            operators.append(Reshape(name=name, inputs=(source,), output=tensor))
            each = replace(each, inputs=(tensor,))
        operators.append(each)
    changed = replace(structure, operators=tuple(operators), shapes={**structure.shapes, tensor: shape})
    return replace(graph, structure=changed, quantization={**graph.quantization, tensor: graph.quantization[source]})


def _reshaped_behind(graph: Int8Graph, operator: Operator, shape: tuple[int, ...]) -> Int8Graph:
    """The graph whose operator writes this shape, with a Reshape to the old one for its readers."""
    graph, written, read = split(graph, operator, shape, "reshaped")
    name = fresh((op.name for op in graph.structure.operators), f"{operator.name}/reshaped")
    return inserted(graph, operator.name, Reshape(name=name, inputs=(written,), output=read))

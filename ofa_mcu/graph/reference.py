"""Runs an int8 graph in numpy, byte for byte as TFLite Micro's reference kernels do.

A tensor of shape (1, ...) becomes an array (N, ...) for a batch of N; one of any other shape (K, ...), which no image
axis leads, becomes (N, K, ...).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph import reference_layout as layout
from ofa_mcu.graph import reference_values as values
from ofa_mcu.graph.constants import channel_requantization, requantization
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.reference_filters import run_conv, run_depthwise, run_fully_connected
from ofa_mcu.space.shapes import (
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    ConvAdd,
    DepthwiseConv2D,
    Dequantize,
    FullyConnected,
    HardSwish,
    Logistic,
    MaxPool2D,
    Mean,
    Mul,
    Operator,
    Pad,
    Quantize,
    Relu,
    Relu6,
    Reshape,
    ResizeNearestNeighbor,
    Shape,
    Softmax,
    Squeeze,
    StridedSlice,
    Sub,
    Transpose,
)

__all__ = ["image_shape", "requantization", "run", "run_operator"]

Codes = NDArray[Any]
"""int8 codes, or float32 values at the border of a network."""


def image_shape(shape: Shape) -> Shape:
    """Shape of one image's part of the arrays that stand for a tensor."""
    return shape[1:] if shape[:1] == (1,) else shape


def run(graph: Int8Graph, inputs: Mapping[str, Codes]) -> dict[str, Codes]:
    """Every activation tensor of the graph for a batch of N inputs.

    `inputs` maps each graph input to an int8 (or, where the tensor is one, float32) array (N, ...) with the tensor's
    shape after the batch. The result maps every tensor name, inputs included, but no constant, to such an array.
    Raises OfaMcuError for inputs that are missing or of another shape or type.
    """
    tensors: dict[str, Codes] = {}
    batches = set()
    for name in graph.structure.inputs:
        if name not in inputs:
            raise OfaMcuError(f"graph '{graph.structure.name}' was run without its input '{name}': supply the tensor")
        value = np.asarray(inputs[name])
        shape = image_shape(graph.structure.shapes[name])
        dtype = np.dtype(np.float32 if name in graph.structure.floats else np.int8)
        if value.dtype != dtype or value.shape[1:] != shape:
            raise OfaMcuError(
                f"input '{name}' of graph '{graph.structure.name}' is {value.dtype} {value.shape} "
                f"instead of {dtype} {('N', *shape)}: supply {dtype} {'codes' if dtype == np.int8 else 'values'} "
                "of that shape"
            )
        tensors[name] = value
        batches.add(len(value))
    if len(batches) > 1:
        raise OfaMcuError(
            f"the inputs of graph '{graph.structure.name}' have different batch sizes {sorted(batches)}: "
            "supply the same number of images to each"
        )
    count = batches.pop() if batches else 1
    constants = {name: _repeated(value, count) for name, value in graph.constants.items()}
    for operator in graph.structure.operators:
        sources = [tensors[name] if name in tensors else constants[name] for name in operator.inputs]
        tensors[operator.output] = run_operator(graph, operator, *sources)
    return tensors


def _repeated(constant: Codes, count: int) -> Codes:
    return np.broadcast_to(constant.reshape(image_shape(constant.shape)), (count, *image_shape(constant.shape)))


def run_operator(graph: Int8Graph, operator: Operator, *sources: Codes) -> Codes:
    """The output (N, ...) of one operator of the graph for its inputs (N, ...)."""
    structure = graph.structure
    result = _result(graph, operator, sources)
    return result.reshape(len(sources[0]), *image_shape(structure.shapes[operator.output]))


def _result(graph: Int8Graph, operator: Operator, sources: tuple[Codes, ...]) -> Codes:
    """The output in a shape that still may lack or have axes of extent 1."""
    shapes = [graph.structure.shapes[name] for name in operator.inputs]
    # Whole tensors for each image, so that axes count as in the file but for the image's in front.
    whole = [source.reshape(len(source), *shape) for source, shape in zip(sources, shapes, strict=True)]
    match operator:
        case Conv2D():
            return run_conv(
                operator, graph.parameters[operator.name], channel_requantization(graph, operator), *sources
            )
        case ConvAdd():
            convolution = operator.convolution
            constants = channel_requantization(graph, convolution)
            middle = run_conv(convolution, graph.parameters[operator.name], constants, sources[0])
            return values.run_add(graph, operator.addition, middle, sources[1])
        case DepthwiseConv2D():
            constants = channel_requantization(graph, operator)
            return run_depthwise(operator, graph.parameters[operator.name], constants, *sources)
        case FullyConnected():
            constants = channel_requantization(graph, operator)
            return run_fully_connected(graph.parameters[operator.name], constants, *sources)
        case Add() | Sub():
            return values.run_add(graph, operator, *_aligned(whole))
        case Mul():
            return values.run_mul(graph, operator, *_aligned(whole))
        case AveragePool2D() | MaxPool2D():
            return values.run_pool(graph, operator, *sources)
        case Mean():
            return values.run_mean(graph, operator, *whole)
        case Softmax():
            return values.run_softmax(graph, operator, *whole)
        case Quantize() if operator.inputs[0] in graph.structure.floats:
            return values.quantize(sources[0], graph.quantization[operator.output])
        case Dequantize():
            return values.dequantize(sources[0], graph.quantization[operator.inputs[0]])
        case Logistic() | HardSwish() | Relu() | Relu6() | Quantize():
            return values.run_table(graph, operator, *sources)
        case Reshape() | Squeeze():
            return sources[0]
        case Pad():
            value = graph.quantization[operator.output].zero_point if operator.value is None else operator.value
            return layout.run_pad(operator, value, *whole)
        case Concatenation():
            return np.concatenate(whole, axis=operator.axis + 1)
        case StridedSlice():
            return layout.run_slice(operator, *whole)
        case Transpose():
            return whole[0].transpose(0, *(axis + 1 for axis in operator.permutation))
        case ResizeNearestNeighbor():
            return layout.run_resize(operator, graph.structure.shapes[operator.output], *sources)
        case _:
            raise OfaMcuError(
                f"operator '{operator.name}' of type {type(operator).__name__} has no reference arithmetic: "
                "use only operators the int8 graph knows"
            )


def _aligned(whole: list[Codes]) -> list[Codes]:
    """Arrays of equal rank: axes of extent 1 go behind the image's."""
    rank = max(value.ndim for value in whole)
    return [value.reshape(len(value), *(1,) * (rank - value.ndim), *value.shape[1:]) for value in whole]

"""Runs an int8 graph in numpy, byte for byte as TFLite Micro's reference kernels do.

Products and sums go through float matrix multiplication: every partial sum is an integer below the accumulator
bound of the layer, hence exact in float32 below 2**24 and in float64 below 2**53. Requantization is int64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.arithmetic import INT8_MAX, INT8_MIN, multiply_by_quantized_multiplier
from ofa_mcu.graph.constants import (
    AddConstants,
    ChannelRequantization,
    MeanConstants,
    Scaling,
    add_constants,
    channel_requantization,
    mean_constants,
    requantization,
)
from ofa_mcu.graph.ir import Int8Graph, Parameters
from ofa_mcu.space.shapes import Add, Conv2D, DepthwiseConv2D, FullyConnected, Mean, Operator

__all__ = ["requantization", "run", "run_operator"]

Int8 = NDArray[np.int8]
_CHUNK_ELEMENTS = 1 << 18


def run(graph: Int8Graph, inputs: Mapping[str, Int8]) -> dict[str, Int8]:
    """Every activation tensor of the graph for a batch of N inputs.

    `inputs` maps each graph input to an int8 array (N, ...) with the tensor's shape after the batch. The result
    maps every tensor name, inputs included, to an int8 array (N, ...). Raises OfaMcuError for inputs that are
    missing or of another shape or type.
    """
    tensors: dict[str, Int8] = {}
    batches = set()
    for name in graph.structure.inputs:
        if name not in inputs:
            raise OfaMcuError(f"graph '{graph.structure.name}' was run without its input '{name}': supply the tensor")
        value = np.asarray(inputs[name])
        shape = graph.structure.shapes[name][1:]
        if value.dtype != np.int8 or value.shape[1:] != shape:
            raise OfaMcuError(
                f"input '{name}' of graph '{graph.structure.name}' is {value.dtype} {value.shape} "
                f"instead of int8 {('N', *shape)}: supply int8 codes of that shape"
            )
        tensors[name] = value
        batches.add(len(value))
    if len(batches) > 1:
        raise OfaMcuError(
            f"the inputs of graph '{graph.structure.name}' have different batch sizes {sorted(batches)}: "
            "supply the same number of images to each"
        )
    for operator in graph.structure.operators:
        sources = [tensors[name] for name in operator.inputs]
        tensors[operator.output] = run_operator(graph, operator, *sources)
    return tensors


def run_operator(graph: Int8Graph, operator: Operator, *sources: Int8) -> Int8:
    """The output (N, ...) of one operator of the graph for its inputs (N, ...)."""
    match operator:
        case Conv2D():
            return _conv(operator, graph.parameters[operator.name], channel_requantization(graph, operator), sources[0])
        case DepthwiseConv2D():
            constants = channel_requantization(graph, operator)
            return _depthwise(operator, graph.parameters[operator.name], constants, sources[0])
        case FullyConnected():
            constants = channel_requantization(graph, operator)
            return _fully_connected(graph.parameters[operator.name], constants, sources[0])
        case Add():
            return _add(add_constants(graph, operator), *sources)
        case Mean():
            return _mean(mean_constants(graph, operator), sources[0])
        case _:
            raise OfaMcuError(
                f"operator '{operator.name}' of type {type(operator).__name__} has no reference arithmetic: "
                "use only operators the int8 graph knows"
            )


def _conv(operator: Conv2D, parameters: Parameters, constants: ChannelRequantization, source: Int8) -> Int8:
    channels = len(parameters.bias)
    windows = _windows(operator, constants, source)
    weights = parameters.weights.reshape(channels, -1).T.astype(windows.dtype)
    batch, height, width, *_ = windows.shape
    output = np.empty((batch, height, width, channels), np.int8)
    for part in _chunks(batch, height * width * (weights.shape[0] + 4 * channels)):
        # (n, OH, OW, C, KH, KW) to rows in the weights' order KH, KW, C.
        columns = windows[part].transpose(0, 1, 2, 4, 5, 3).reshape(-1, weights.shape[0])
        output[part] = _requantize(columns @ weights, parameters, constants).reshape(-1, height, width, channels)
    return output


def _depthwise(
    operator: DepthwiseConv2D, parameters: Parameters, constants: ChannelRequantization, source: Int8
) -> Int8:
    windows = _windows(operator, constants, source)
    weights = parameters.weights[0].astype(windows.dtype)
    output = np.empty(windows.shape[:4], np.int8)
    for part in _chunks(len(output), 4 * output[0].size):
        accumulators = np.zeros_like(output[part], windows.dtype)
        product = np.empty_like(accumulators)
        for y in range(operator.kernel[0]):
            for x in range(operator.kernel[1]):
                np.multiply(windows[part, ..., y, x], weights[y, x], out=product)
                accumulators += product
        output[part] = _requantize(accumulators, parameters, constants)
    return output


def _fully_connected(parameters: Parameters, constants: ChannelRequantization, source: Int8) -> Int8:
    rows = _centred(constants, source.reshape(len(source), -1))
    return _requantize(rows @ parameters.weights.T.astype(rows.dtype), parameters, constants)


def _add(constants: AddConstants, first: Int8, second: Int8) -> Int8:
    left = (first.astype(np.int64) - constants.first_zero_point) << constants.left_shift
    right = (second.astype(np.int64) - constants.second_zero_point) << constants.left_shift
    total = _scale(left, constants.first) + _scale(right, constants.second)
    codes = _scale(total, constants.output) + constants.output_zero_point
    return codes.clip(constants.clamp_min, constants.clamp_max).astype(np.int8)


def _mean(constants: MeanConstants, source: Int8) -> Int8:
    total = source.sum(axis=(1, 2), dtype=np.int64)
    centred = total - constants.count * constants.input_zero_point
    codes = _scale(centred, constants.scaling) + constants.output_zero_point
    return codes.clip(INT8_MIN, INT8_MAX).astype(np.int8)


def _chunks(batch: int, elements: int) -> Iterator[slice]:
    """Slices of the batch that keep `elements` numbers per image within the processor's caches."""
    step = max(1, _CHUNK_ELEMENTS // max(elements, 1))
    return (slice(start, start + step) for start in range(0, batch, step))


def _centred(constants: ChannelRequantization, source: Int8) -> NDArray[Any]:
    """The codes less their zero point, in a float type that holds every accumulator exactly."""
    real = np.dtype(np.float32 if constants.accumulator_bound < 1 << 24 else np.float64)
    values: NDArray[Any] = source.astype(real)
    values -= real.type(constants.input_zero_point)
    return values


def _windows(operator: Conv2D | DepthwiseConv2D, constants: ChannelRequantization, source: Int8) -> NDArray[Any]:
    """View (N, OH, OW, C, KH, KW) of the centred, zero-padded input: a padded zero point contributes nothing."""
    pad = operator.padding
    widths = ((0, 0), (pad.top, pad.bottom), (pad.left, pad.right), (0, 0))
    padded = np.pad(_centred(constants, source), widths)
    return sliding_window_view(padded, operator.kernel, axis=(1, 2))[:, :: operator.stride[0], :: operator.stride[1]]


def _requantize(sums: NDArray[Any], parameters: Parameters, constants: ChannelRequantization) -> Int8:
    accumulators = sums.astype(np.int64)
    accumulators += parameters.bias
    codes = multiply_by_quantized_multiplier(accumulators, constants.multiplier, constants.shift)
    codes += constants.output_zero_point
    return codes.clip(constants.clamp_min, constants.clamp_max).astype(np.int8)


def _scale(x: NDArray[np.int64], scaling: Scaling) -> NDArray[np.int64]:
    return multiply_by_quantized_multiplier(x, scaling.multiplier, scaling.shift)

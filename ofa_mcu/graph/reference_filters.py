"""Convolutions and fully connected layers of the numpy reference.

Products and sums go through float matrix multiplication: every partial sum is an integer below the accumulator
bound of the layer, hence exact in float32 below 2**24 and in float64 below 2**53. Requantization is int64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ofa_mcu.graph.arithmetic import multiply_by_quantized_multiplier
from ofa_mcu.graph.constants import ChannelRequantization
from ofa_mcu.graph.ir import Parameters
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, window_extent

__all__ = ["run_conv", "run_depthwise", "run_fully_connected"]

Int8 = NDArray[np.int8]
_CHUNK_ELEMENTS = 1 << 18


def run_conv(operator: Conv2D, parameters: Parameters, constants: ChannelRequantization, source: Int8) -> Int8:
    """Output (N, OH, OW, O) of a convolution for its input (N, H, W, C)."""
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


def run_depthwise(
    operator: DepthwiseConv2D, parameters: Parameters, constants: ChannelRequantization, source: Int8
) -> Int8:
    """Output (N, OH, OW, O) of a depthwise convolution for its input (N, H, W, C)."""
    if operator.depth_multiplier > 1:
        source = source.repeat(operator.depth_multiplier, axis=3)
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


def run_fully_connected(parameters: Parameters, constants: ChannelRequantization, source: Int8) -> Int8:
    """Output (N, rows, O) of a fully connected layer for any input of N times rows times I codes."""
    rows = _centred(constants, source.reshape(len(source), -1, parameters.weights.shape[1]))
    return _requantize(rows @ parameters.weights.T.astype(rows.dtype), parameters, constants)


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
    (down, right), (rows, columns) = operator.stride, operator.dilation
    extent = window_extent(operator.kernel[0], rows), window_extent(operator.kernel[1], columns)
    return sliding_window_view(padded, extent, axis=(1, 2))[:, ::down, ::right, :, ::rows, ::columns]


def _requantize(sums: NDArray[Any], parameters: Parameters, constants: ChannelRequantization) -> Int8:
    accumulators = sums.astype(np.int64)
    accumulators += parameters.bias
    codes = multiply_by_quantized_multiplier(accumulators, constants.multiplier, constants.shift)
    codes += constants.output_zero_point
    return codes.clip(constants.clamp_min, constants.clamp_max).astype(np.int8)

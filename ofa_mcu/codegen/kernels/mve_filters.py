"""Layers for M-profile vectors as C: weights in the order the vectors take them, descriptors, calls."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import Fields, initializer
from ofa_mcu.codegen.kernels.base import Array, LayerCode, PlacedLayer
from ofa_mcu.graph.constants import ChannelRequantization
from ofa_mcu.planning.filters import filter_matrix, fold_bias
from ofa_mcu.planning.kernels.base import Rounding
from ofa_mcu.planning.kernels.mve_depthwise import depthwise_kind
from ofa_mcu.planning.kernels.mve_depthwise_blocks import block_mode
from ofa_mcu.planning.kernels.mve_dots import QUAD, VECTOR, Dots, mode_of
from ofa_mcu.planning.kernels.mve_matrix import pixels_of
from ofa_mcu.planning.kernels.mve_windows import BORDER_WINDOWS
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D

__all__ = [
    "pack_blocks",
    "pack_columns",
    "pack_dots",
    "write_conv2d",
    "write_depthwise",
    "write_depthwise_blocks",
    "write_pointwise",
]


HEADERS = ("ofa_mve.h",)
"""What the layers include."""


def write_pointwise(layer: PlacedLayer) -> LayerCode:
    """A pointwise convolution or a fully connected layer."""
    pixels = pixels_of(layer.view)
    depth = prod(layer.view.source) // pixels
    function, _, block = _variant(layer)
    matrix = filter_matrix(layer.operator, layer.graph.parameters[layer.operator.name].weights)
    arrays, dense, dots = _dense(layer, function, matrix)
    fields: Fields = {"dense": dense, "dots": dots, "pixels": pixels, "depth": depth, "block": block}
    arguments = f"{layer.inputs[0]}, {layer.output}, {layer.scratch}, {int(layer.backward)}"
    return LayerCode(arrays, _call("ofa_mve_pointwise", fields, arguments), headers=HEADERS)


def write_conv2d(layer: PlacedLayer) -> LayerCode:
    """A convolution."""
    operator, source, target = layer.operator, layer.view.source, layer.view.target
    assert isinstance(operator, Conv2D)
    constants = _constants(layer)
    function, _, block = _variant(layer)
    matrix = filter_matrix(operator, layer.graph.parameters[operator.name].weights)
    if block == 0:
        rows = matrix.reshape(len(matrix), operator.kernel[0], -1)
        matrix = np.pad(rows, ((0, 0), (0, 0), (0, VECTOR - rows.shape[2]))).reshape(len(matrix), -1)
    arrays, dense, dots = _dense(layer, function, matrix)
    fields: Fields = {
        "dense": dense,
        "dots": dots,
        "input_height": source[1],
        "input_width": source[2],
        "input_channels": source[3],
        "output_height": target[1],
        "output_width": target[2],
        "block": block or BORDER_WINDOWS,
        "kernel_height": operator.kernel[0],
        "kernel_width": operator.kernel[1],
        "stride_height": operator.stride[0],
        "stride_width": operator.stride[1],
        "pad_top": operator.padding.top,
        "pad_left": operator.padding.left,
        "input_zero_point": constants.input_zero_point,
        "rows": int(block == 0),
    }
    arguments = f"{layer.inputs[0]}, {layer.output}, {layer.scratch}"
    return LayerCode(arrays, _call("ofa_mve_conv2d", fields, arguments), headers=HEADERS)


def write_depthwise(layer: PlacedLayer) -> LayerCode:
    """A depthwise convolution, channel by channel."""
    operator = layer.operator
    assert isinstance(operator, DepthwiseConv2D)
    constants = _constants(layer)
    parameters = layer.graph.parameters[operator.name]
    kind, vectors = depthwise_kind(operator.kernel, operator.stride, layer.view.target)
    # Unless the layer's rounding is general, sums are below 2**23: shifted so far, each of them becomes 0.
    vanishing = (constants.shift < -24) & (layer.view.facts.rounding is not Rounding.GENERAL)
    weights = pack_columns(parameters.weights, vectors, operator.kernel[0] + (kind == "4"))
    arrays: dict[str, Array] = {
        f"{layer.prefix}_weights": weights,
        f"{layer.prefix}_bias": fold_bias(operator, parameters, constants.input_zero_point),
        f"{layer.prefix}_multiplier": np.where(vanishing, 0, constants.multiplier).astype(np.int32),
        f"{layer.prefix}_shift": np.where(vanishing, -1, constants.shift).astype(np.int8),
    }
    function = f"ofa_mve_depthwise_{kind}_{mode_of(layer.view)}"
    names = ("weights", "bias", "multiplier", "shift")
    return _depthwise(layer, arrays, {name: f"{layer.prefix}_{name}" for name in names}, function, vectors)


def write_depthwise_blocks(layer: PlacedLayer) -> LayerCode:
    """A depthwise convolution, sixteen channels at a time."""
    operator = layer.operator
    assert isinstance(operator, DepthwiseConv2D)
    constants = _constants(layer)
    parameters = layer.graph.parameters[operator.name]
    bias = fold_bias(operator, parameters, constants.input_zero_point)
    size, mode = operator.kernel[0], block_mode(layer.view)
    if mode == "wide":
        bias = bias + np.int32(size * size // 2)
    arrays: dict[str, Array] = {
        f"{layer.prefix}_weights": pack_blocks(parameters.weights, bias, constants.multiplier, constants.shift)
    }
    fields: Fields = {"weights": f"{layer.prefix}_weights", "bias": 0, "multiplier": 0, "shift": 0}
    return _depthwise(layer, arrays, fields, f"ofa_mve_depthwise_blocks_{size}_{mode}", 1)


def _depthwise(
    layer: PlacedLayer, arrays: dict[str, Array], pointers: Fields, function: str, vectors: int
) -> LayerCode:
    operator, source, target = layer.operator, layer.view.source, layer.view.target
    assert isinstance(operator, DepthwiseConv2D)
    constants = _constants(layer)
    fields: Fields = {
        **pointers,
        "input_height": source[1],
        "input_width": source[2],
        "input_channels": source[3],
        "output_height": target[1],
        "output_width": target[2],
        "channels": target[3],
        "depth_multiplier": target[3] // source[3],
        "vectors": vectors,
        "kernel_height": operator.kernel[0],
        "stride_height": operator.stride[0],
        "stride_width": operator.stride[1],
        "pad_top": operator.padding.top,
        "pad_left": operator.padding.left,
        "pad_right": operator.padding.right,
        "input_zero_point": constants.input_zero_point,
        **_clamp(constants),
    }
    arguments = f"{layer.inputs[0]}, {layer.output}, {layer.scratch}"
    return LayerCode(arrays, _call("ofa_mve_depthwise", fields, arguments, function), headers=HEADERS)


def pack_blocks(
    weights: NDArray[np.int8], bias: NDArray[np.int32], multiplier: NDArray[np.int32], shift: NDArray[np.int8]
) -> NDArray[np.int8]:
    """(1, height, width, channels) and (channels,) to (blocks, bytes of a block), see include/ofa_mve.h."""
    channels = weights.shape[3]
    blocks = -(-channels // VECTOR)

    def filled(values: NDArray[np.generic]) -> NDArray[np.int8]:
        """(..., channels) to (blocks, ..., 16)."""
        little = values.astype(values.dtype.newbyteorder("<"))
        missing = [(0, 0)] * (little.ndim - 1) + [(0, blocks * VECTOR - channels)]
        whole = np.pad(little, missing).reshape(*little.shape[:-1], blocks, VECTOR)
        return np.moveaxis(whole, -2, 0)

    def by_four(values: NDArray[np.generic]) -> NDArray[np.int8]:
        """(channels,) to (blocks, 4, bytes of four)."""
        lanes = filled(values).reshape(blocks, 4, 4).transpose(0, 2, 1)[:, [0, 2, 1, 3]]
        return np.ascontiguousarray(lanes).view(np.int8)

    scaling = np.concatenate([by_four(multiplier), by_four(shift)], axis=2)
    parts = [by_four(bias), filled(weights.reshape(-1, channels)), scaling]
    return np.concatenate([part.reshape(blocks, -1) for part in parts], axis=1)


def pack_dots(
    matrix: NDArray[np.int8], bias: NDArray[np.int32], multiplier: NDArray[np.int32], shift: NDArray[np.int8]
) -> NDArray[np.int8]:
    """(outputs, depth) and (outputs,) to the stream of the dot products, see include/ofa_mve.h."""
    outputs, depth = matrix.shape
    dots = Dots(depth, outputs)
    padded = np.zeros((max(outputs, QUAD), dots.vectors * VECTOR), np.int8)
    padded[:outputs, :depth] = matrix
    starts = np.minimum(np.arange(dots.quads) * QUAD, len(padded) - QUAD)
    rows = starts[:, None] + np.arange(QUAD)
    weights = padded[rows].reshape(dots.quads, QUAD, dots.vectors, VECTOR).transpose(0, 2, 1, 3)
    parts: list[NDArray[np.int8]] = [weights.reshape(dots.quads, -1)]
    for values in (bias, multiplier, shift):
        filled = np.zeros(len(padded), values.dtype.newbyteorder("<"))
        filled[:outputs] = values
        parts.append(filled[rows].view(np.int8))
    return np.concatenate(parts, axis=1)


def pack_columns(weights: NDArray[np.int8], vectors: int, pitch: int) -> NDArray[np.int8]:
    """(1, height, width, channels) to (1 + channels * vectors, 16), the first vector zero.

    Taps come column by column, `pitch` apart.
    """
    _, height, width, channels = weights.shape
    packed = np.zeros((channels, vectors * VECTOR), np.int8)
    columns = np.zeros((channels, width, pitch), np.int8)
    columns[:, :, :height] = weights[0].transpose(2, 1, 0)
    used = min(width * pitch, packed.shape[1])
    packed[:, :used] = columns.reshape(channels, -1)[:, :used]
    return np.concatenate([np.zeros(VECTOR, np.int8), packed.ravel()])


def _constants(layer: PlacedLayer) -> ChannelRequantization:
    assert isinstance(layer.constants, ChannelRequantization)
    return layer.constants


def _clamp(constants: ChannelRequantization) -> Fields:
    return {
        "zero_point": constants.output_zero_point,
        "clamp_min": constants.clamp_min,
        "clamp_max": constants.clamp_max,
    }


def _variant(layer: PlacedLayer) -> tuple[str, str, int]:
    """Function, mode and pixels at a time of a way of dot products."""
    function, mode, *block = layer.way.variant.replace(",", "").split()
    return function, mode, int(block[0]) if block else 0


def _dense(layer: PlacedLayer, function: str, matrix: NDArray[np.int8]) -> tuple[dict[str, Array], Fields, str]:
    """Arrays, descriptor and function of the dot products with a matrix (outputs, depth)."""
    operator = layer.operator
    constants = _constants(layer)
    parameters = layer.graph.parameters[operator.name]
    dots = Dots(matrix.shape[1], len(matrix))
    bias = fold_bias(operator, parameters, constants.input_zero_point)
    stream = pack_dots(matrix, bias, constants.multiplier, constants.shift)
    fields: Fields = {
        "stream": f"{layer.prefix}_stream",
        "vectors": dots.vectors,
        "outputs": dots.outputs,
        **_clamp(constants),
    }
    return {f"{layer.prefix}_stream": stream}, fields, f"ofa_mve_{function}_{mode_of(layer.view)}"


def _call(kernel: str, fields: Fields, arguments: str, function: str = "") -> tuple[str, ...]:
    return (
        f"static const {kernel}_layer layer = {{",
        *initializer(fields, 4),
        "};",
        f"{function or kernel}(&layer, {arguments});",
    )

"""C of fully connected layers with the DSP extension: two channels' weights in every halfword."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import Fields, descriptor
from ofa_mcu.codegen.kernels.base import LayerCode, PlacedLayer
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.constants import ChannelRequantization
from ofa_mcu.planning.filters import filter_matrix, fold_bias
from ofa_mcu.planning.kernels.dense import dense_blocks, dense_quads

__all__ = ["DENSE_WRITERS"]

_EVEN_BITS = 8


def _stream(matrix: NDArray[np.int8], bias: NDArray[np.int32], *, scaled_bias: bool) -> NDArray[np.uint32]:
    """Weights (channels, taps) and folded biases in the order the kernel reads them."""
    channels, taps = matrix.shape
    quads = dense_quads(taps)
    fours, twos = dense_blocks(channels)
    rows = 4 * fours + 2 * twos
    weights = np.zeros((rows, 4 * quads), np.int64)
    weights[:channels, :taps] = matrix
    biases = np.zeros(rows, np.int64)
    biases[:channels] = bias
    halves = (weights[1::2] << _EVEN_BITS) + weights[::2]  # (pairs, inputs)
    if halves.size and (halves.min() < -(1 << 15) or halves.max() >= 1 << 15):
        raise OfaMcuError("a pair of weights leaves 16 bits: use another kernel for weights of -128")
    halves = halves.reshape(-1, quads, 4) & 0xFFFF
    words = halves[..., :2] | halves[..., 2:] << 16  # (pairs, quads, 2): inputs k and k + 2, k + 1 and k + 3
    even, odd = biases[::2], biases[1::2]
    heads = np.stack([(odd << _EVEN_BITS) + even if scaled_bias else odd, even], axis=1)
    parts = []
    for block in range(fours):
        pairs = slice(2 * block, 2 * block + 2)
        parts += [heads[pairs].ravel(), words[pairs].transpose(1, 2, 0).ravel()]
    if twos:
        parts += [heads[-1], words[-1].ravel()]
    return (np.concatenate(parts) & 0xFFFFFFFF).astype(np.uint32)


def _fast_scales(layer: PlacedLayer, channels: int) -> NDArray[np.uint32]:
    scales = layer.scales
    if scales is None:
        raise OfaMcuError(f"layer '{layer.operator.name}' has no proved rounding: plan it again with its facts")
    table = np.empty((channels, 4), np.int64)
    table[:, 0], table[:, 1], table[:, 2] = scales.multiplier, scales.offset, scales.dead_zone
    table[:, 3] = np.asarray(scales.shift, np.int64) - 1
    return (table & 0xFFFFFFFF).astype(np.uint32)


def _general_scales(constants: ChannelRequantization) -> NDArray[np.uint32]:
    table = np.stack([constants.multiplier.astype(np.int64), constants.shift.astype(np.int64)], axis=1)
    return (table & 0xFFFFFFFF).astype(np.uint32)


def _dense(layer: PlacedLayer) -> LayerCode:
    operator, constants = layer.operator, layer.constants
    assert isinstance(constants, ChannelRequantization)
    parameters = layer.graph.parameters[operator.name]
    matrix = filter_matrix(operator, parameters.weights)
    bias = fold_bias(operator, parameters, constants.input_zero_point)
    fast = layer.way.kernel == "ofa_dsp_dense"
    names = f"{layer.prefix}_weights", f"{layer.prefix}_scales"
    arrays = {
        names[0]: _stream(matrix, bias, scaled_bias=fast),
        names[1]: _fast_scales(layer, len(matrix)) if fast else _general_scales(constants),
    }
    fields: Fields = {
        "weights": names[0],
        "scales": names[1],
        "quads": dense_quads(prod(layer.view.source)),
        "outputs": len(matrix),
        "clamp_min": constants.clamp_min,
        "clamp_max": constants.clamp_max,
        "output_zero_point": constants.output_zero_point,
    }
    call = f"{layer.way.kernel}(&layer, {layer.inputs[0]}, {layer.output});"
    return LayerCode(arrays, (*descriptor("ofa_dsp_dense_layer", fields), call), headers=("ofa_dsp_dense.h",))


DENSE_WRITERS: Mapping[str, Callable[[PlacedLayer], LayerCode]] = {
    "ofa_dsp_dense": _dense,
    "ofa_dsp_dense_general": _dense,
}
"""By the name of the kernel."""

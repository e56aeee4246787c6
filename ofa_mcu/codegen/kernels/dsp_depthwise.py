"""Depthwise layers for the DSP extension in C: tables, descriptors, generated functions."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import Fields, descriptor
from ofa_mcu.codegen.kernels.base import LayerCode, PlacedLayer
from ofa_mcu.codegen.kernels.dsp_depthwise_functions import split_lines, sweep_lines
from ofa_mcu.graph.constants import ChannelRequantization
from ofa_mcu.planning.filters import fold_bias
from ofa_mcu.planning.kernels.dsp_depthwise import design_of
from ofa_mcu.planning.kernels.dsp_depthwise_block import weight_words
from ofa_mcu.planning.kernels.dsp_depthwise_shape import Planes
from ofa_mcu.planning.kernels.dsp_depthwise_sweep import Pattern, Rounded
from ofa_mcu.planning.requantize import PRESCALE, FastScales
from ofa_mcu.space.shapes import DepthwiseConv2D

__all__ = ["function_name", "padding_word", "planes_fields", "table_of", "write_dsp_depthwise"]


def _taps(planes: Planes, weights: NDArray[np.int8]) -> NDArray[np.int64]:
    """The weights (1, H, W, C) that matter as (C, rows, columns) of the planes."""
    matrix = weights[0].astype(np.int64)
    if planes.transposed:
        matrix = matrix.transpose(1, 0, 2)
    rows, columns = planes.rows, planes.columns
    matrix = matrix[rows.first_tap : rows.first_tap + rows.taps, columns.first_tap : columns.first_tap + columns.taps]
    return np.ascontiguousarray(matrix.transpose(2, 0, 1))


def pack_table(
    planes: Planes,
    rounded: Rounded,
    weights: NDArray[np.int8],
    bias: NDArray[np.int32],
    zero_point: int,
    scales: FastScales,
    constants: ChannelRequantization,
) -> NDArray[np.uint32]:
    """Constants of every channel in the order that include/ofa_dsp_depthwise.h gives."""
    taps = _taps(planes, weights)
    channels = len(taps)
    # Taps that were left out met zero points only.
    left_out = weights[0].astype(np.int64).sum(axis=(0, 1)) - taps.sum(axis=(1, 2))
    values = {
        "bias": (bias.astype(np.int64) + zero_point * left_out) << PRESCALE,
        "multiplier": scales.multiplier,
        "offset": scales.offset,
        "dead_zone": scales.dead_zone,
        "shift": np.asarray(scales.shift),
        "high": np.asarray(constants.clamp_max),
        "low": np.asarray(constants.clamp_min),
    }
    header = [np.broadcast_to(values[word], (channels,)) for word in rounded.header]
    words = weight_words(planes.kernel[1], planes.stride[1], 1)[0]
    packed = [
        (taps[:, :, low] & 0xFFFF) | ((taps[:, :, high] & 0xFFFF) << 16 if high is not None else 0)
        for low, high in words
    ]
    rows = np.stack(packed, axis=2).reshape(channels, -1)
    table = np.concatenate([np.stack(header, axis=1), rows], axis=1)
    return (table & 0xFFFFFFFF).astype(np.uint32).ravel()


def function_name(kind: str, key: object) -> str:
    """A name that functions of equal keys share."""
    return f"{kind}_{sha256(repr(key).encode()).hexdigest()[:8]}"


def table_of(layer: PlacedLayer, planes: Planes, rounded: Rounded) -> NDArray[np.uint32]:
    """The layer's table of constants."""
    operator = layer.operator
    assert isinstance(operator, DepthwiseConv2D)
    assert isinstance(layer.constants, ChannelRequantization)
    assert layer.scales is not None
    parameters = layer.graph.parameters[operator.name]
    zero_point = layer.constants.input_zero_point
    bias = fold_bias(operator, parameters, zero_point)
    return pack_table(planes, rounded, parameters.weights, bias, zero_point, layer.scales, layer.constants)


def padding_word(layer: PlacedLayer) -> str:
    """The zero point of the layer's input times 256, in both halves of a word, in C."""
    assert isinstance(layer.constants, ChannelRequantization)
    return f"0x{(layer.constants.input_zero_point & 0xFF) * 0x01000100:08x}u"


def planes_fields(planes: Planes, pattern: Pattern, strip: int) -> dict[str, int]:
    """Members of the descriptor that follow from shapes alone, but for those of the planes' places."""
    return {
        "input_row": planes.columns.size * planes.channels,
        "output_row": planes.columns.outputs * planes.channels,
        "input_height": planes.rows.used,
        "output_height": planes.rows.outputs,
        "channels": planes.channels,
        "strip": strip,
        "row_words": pattern.row_words,
        "used_words": planes.row_words,
        "lead_words": planes.columns.before // 2,
        "channel_words": pattern.channel_words,
        "kernel": planes.rows.taps,
        "stride": planes.rows.stride,
        "pad_top": planes.rows.before,
        "unit": pattern.unit,
    }


def write_dsp_depthwise(layer: PlacedLayer) -> LayerCode:
    """C of a layer run as `DSP_DEPTHWISE` plans it."""
    design = design_of(layer.view, layer.way)
    planes, split, sweep = design.planes, design.split, design.sweep
    table = f"{layer.prefix}_table"
    split_name, sweep_name = function_name("split", split), function_name("sweep", sweep)
    fields: Fields = {
        "split": split_name,
        "sweep": sweep_name,
        "table": table,
        "padding": padding_word(layer),
        **planes_fields(planes, sweep, design.strip),
        "plane_words": sweep.plane_words,
        "span_words": sweep.plane_words,
    }
    return LayerCode(
        arrays={table: table_of(layer, planes, sweep.rounded)},
        body=(
            *descriptor("ofa_dsp_planes_layer", fields),
            f"ofa_dsp_depthwise_planes(&layer, {layer.inputs[0]}, {layer.output}, (ofa_word *)({layer.scratch}));",
        ),
        functions={
            split_name: split_lines(split_name, split),
            sweep_name: sweep_lines(sweep_name, sweep),
        },
        headers=("ofa_dsp_depthwise.h",),
    )

"""Convolutions and matrix products in plain C: packed weights, records of scales, descriptors and calls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import Fields, descriptor
from ofa_mcu.codegen.kernels.base import Array, LayerCode, PlacedLayer
from ofa_mcu.graph.constants import ChannelRequantization
from ofa_mcu.planning.filters import filter_matrix, fold_bias
from ofa_mcu.planning.kernels.portable import CHANNEL_BLOCK
from ofa_mcu.planning.kernels.portable_depthwise import design_of, sums_of
from ofa_mcu.planning.kernels.portable_store import WORDS, store_of
from ofa_mcu.planning.kernels.portable_windows import Windows, pitch_of, windows_of
from ofa_mcu.planning.requantize import FastScales, accumulator_range
from ofa_mcu.space.shapes import DepthwiseConv2D

__all__ = ["pack_blocks", "pack_records", "write_conv2d", "write_depthwise", "write_product"]

_OFFSET = 128  # of stored codes
_SHORT = 1 << 20  # what short sums stay below
_HEADERS = ("ofa_portable.h",)


def pack_blocks(matrix: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Weights (O, taps) as (blocks, taps, 4), 128 added; channels beyond the last are zero codes."""
    channels, taps = matrix.shape
    blocks = -(-channels // CHANNEL_BLOCK)
    padded = np.zeros((blocks * CHANNEL_BLOCK, taps), np.int16)
    padded[:channels] = matrix
    packed = padded.reshape(blocks, CHANNEL_BLOCK, taps).transpose(0, 2, 1) + _OFFSET
    return np.ascontiguousarray(packed).astype(np.uint8)


def pack_records(
    store: str, bias: NDArray[np.int64], constants: ChannelRequantization, scales: FastScales | None
) -> NDArray[np.int32]:
    """The records (O, words) for the way `store` of turning sums into codes."""
    columns: list[NDArray[np.int64]]
    if store == "general":
        columns = [bias, constants.multiplier.astype(np.int64), constants.shift.astype(np.int64)]
    else:
        assert scales is not None
        columns = [bias, scales.multiplier, scales.offset]
        if store == "channels":
            columns.append(256 * scales.dead_zone + scales.shift)
    records = np.stack(columns, axis=1).astype(np.int32)
    assert records.shape[1] == WORDS[store]
    return records


def _rounding(layer: PlacedLayer, constants: ChannelRequantization, short: bool, kind: str) -> Fields:
    """Members of an ofa_rounding; `kind` of function, "store" or "spread", for sums that are `short` or not."""
    store = store_of(layer.view)
    suffix = "_short" if short and store != "general" else ""
    fields: dict[str, int | str] = {
        kind: f"ofa_{kind}_{store}{suffix}",
        "records": f"{layer.prefix}_records",
        "words": WORDS[store],
    }
    if store == "uniform":
        assert layer.scales is not None and isinstance(layer.scales.shift, int)
        fields["shift"] = layer.scales.shift
    else:
        if store == "general":
            fields["zero_point"] = constants.output_zero_point
        fields |= {"clamp_min": constants.clamp_min, "clamp_max": constants.clamp_max}
    return fields


@dataclass(frozen=True, eq=False)
class _Filter:
    """Constants of a layer, its weights (O, taps), records (O, words) and members of its ofa_rounding."""

    constants: ChannelRequantization
    matrix: NDArray[np.int8]
    records: NDArray[np.int32]
    rounding: Fields


def _filter(layer: PlacedLayer, *, offset: bool, kind: str = "store") -> _Filter:
    """The filter of a kernel that multiplies input codes, with `offset` those with 128 added."""
    constants = layer.constants
    assert isinstance(constants, ChannelRequantization)
    parameters = layer.graph.parameters[layer.operator.name]
    matrix = filter_matrix(layer.operator, parameters.weights)
    folded = fold_bias(layer.operator, parameters, constants.input_zero_point)
    lowest, highest = accumulator_range(matrix, folded)
    reach = np.maximum(np.abs(lowest), np.abs(highest))
    if layer.scales is not None:
        reach = np.where(layer.scales.multiplier > 0, reach, 0)  # whatever is multiplied by zero may be long
    short = bool(reach.max() < _SHORT)
    bias = folded.astype(np.int64)
    if offset:
        bias = bias - _OFFSET * matrix.astype(np.int64).sum(axis=1)
    records = pack_records(store_of(layer.view), bias, constants, layer.scales)
    return _Filter(constants, matrix, records, _rounding(layer, constants, short, kind))


def _code(layer: PlacedLayer, kind: str, weights: Array, records: Array, fields: Fields, call: str) -> LayerCode:
    return LayerCode(
        arrays={f"{layer.prefix}_weights": weights, f"{layer.prefix}_records": records},
        body=(*descriptor(kind, fields), call),
        headers=_HEADERS,
    )


def write_product(layer: PlacedLayer) -> LayerCode:
    """The C of a layer of ofa_pointwise or ofa_fully_connected."""
    in_place = layer.way.variant == "in place"
    found = _filter(layer, offset=not in_place)
    outputs, taps = found.matrix.shape
    fields: Fields = {
        "rounding": found.rounding,
        "weights": f"{layer.prefix}_weights",
        "rows": int(np.prod(layer.view.target)) // outputs,
        "taps": taps,
        "outputs": outputs,
    }
    arguments = f"&layer, {layer.inputs[0]}, {layer.output}"
    if in_place:
        call = f"ofa_product({arguments});"
    else:
        function = "ofa_product_pairs" if layer.way.variant == "pairs" else "ofa_product_copied"
        call = f"{function}({arguments}, (uint8_t *)({layer.scratch}), {int(layer.backward)});"
    return _code(layer, "ofa_product_layer", pack_blocks(found.matrix), found.records, fields, call)


def _window_fields(windows: Windows) -> Fields:
    rows, columns = windows.rows, windows.columns
    return {
        "input_height": rows.size,
        "input_width": columns.size,
        "input_channels": windows.depth,
        "output_height": rows.out,
        "output_width": columns.out,
        "output_channels": windows.channels,
        "kernel_height": rows.kernel,
        "kernel_width": columns.kernel,
        "stride_height": rows.stride,
        "stride_width": columns.stride,
        "dilation_height": rows.dilation,
        "dilation_width": columns.dilation,
        "pad_top": rows.before,
        "pad_left": columns.before,
    }


def write_conv2d(layer: PlacedLayer) -> LayerCode:
    """The C of a layer of ofa_conv2d."""
    found = _filter(layer, offset=True)
    fields: Fields = {
        "rounding": found.rounding,
        "weights": f"{layer.prefix}_weights",
        "window": _window_fields(windows_of(layer.view)),
        "padding": found.constants.input_zero_point + _OFFSET,
    }
    function = "ofa_conv2d_pairs" if layer.way.variant == "pairs" else "ofa_conv2d"
    call = f"{function}(&layer, {layer.inputs[0]}, {layer.output}, (uint8_t *)({layer.scratch}));"
    return _code(layer, "ofa_conv2d_layer", pack_blocks(found.matrix), found.records, fields, call)


def write_depthwise(layer: PlacedLayer) -> LayerCode:
    """The C of a layer of ofa_depthwise."""
    operator = layer.operator
    assert isinstance(operator, DepthwiseConv2D)
    found = _filter(layer, offset=True, kind="spread")
    windows = windows_of(layer.view)
    design = design_of(layer.view, layer.way)
    fields: Fields = {
        "rounding": found.rounding,
        "sums": sums_of(windows),
        "weights": f"{layer.prefix}_weights",
        "window": _window_fields(windows),
        "multiplier": operator.depth_multiplier,
        "pitch": pitch_of(windows),
        "block": design.block,
        "padding": found.constants.input_zero_point + _OFFSET,
    }
    call = f"{design.function}(&layer, {layer.inputs[0]}, {layer.output}, (uint8_t *)({layer.scratch}));"
    return _code(layer, "ofa_depthwise_layer", np.ascontiguousarray(found.matrix), found.records, fields, call)

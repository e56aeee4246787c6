"""Convolutions on DSP cores: the stream of weights, the descriptor and the call of each layer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.codegen.c_text import Fields, initializer
from ofa_mcu.codegen.kernels.base import LayerCode, PlacedLayer
from ofa_mcu.codegen.kernels.dsp_matrix_block import (
    block_function,
    block_name,
    single_function,
    single_name,
)
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.constants import AddConstants, ChannelRequantization, ConvAddConstants
from ofa_mcu.planning.filters import filter_matrix, fold_bias
from ofa_mcu.planning.kernels.dsp_matrix import CONV, DIRECT, Plan, has_single, plan_of
from ofa_mcu.planning.kernels.dsp_matrix_counts import Block
from ofa_mcu.planning.kernels.dsp_matrix_layout import PIXELS
from ofa_mcu.planning.products import product_form
from ofa_mcu.planning.requantize import FastScales
from ofa_mcu.space.shapes import Conv2D, ConvAdd

__all__ = ["pack_stream", "write"]


def pack_stream(
    matrix: NDArray[np.int8], bias: NDArray[np.int32], scales: FastScales, block: Block
) -> NDArray[np.int32]:
    """Weights (O, taps), folded bias (O,) and scales as include/ofa_dsp_matrix.h orders them."""
    outputs = len(matrix)
    even_outputs = outputs + outputs % 2
    wide = np.zeros((even_outputs, matrix.shape[1] + 1), np.int64)  # the last tap is the one of weight zero
    wide[:outputs, :-1] = matrix
    halves = (wide[0::2] + 256 * wide[1::2])[:, np.array(block.taps.order())]
    words = (halves[:, :, 0] & 0xFFFF) | (halves[:, :, 1] & 0xFFFF) << 16
    biases = np.zeros(even_outputs, np.int64)
    biases[:outputs] = bias
    first = np.stack([biases[0::2], biases[0::2] + 256 * biases[1::2]], axis=1)
    columns = [scales.multiplier, scales.offset]
    if block.signed:
        columns.append(scales.dead_zone)
    if block.shift is None:
        columns.append(np.broadcast_to(np.asarray(scales.shift, np.int64) - 1, (outputs,)))
    last = np.zeros((even_outputs, len(columns)), np.int64)
    last[:outputs] = np.stack(columns, axis=1)
    stream = np.concatenate([first, words, last.reshape(len(first), -1)], axis=1).ravel()
    stream = stream[: block.stream_words(outputs)]
    return (stream & 0xFFFFFFFF).astype(np.uint32).view(np.int32)


def write(layer: PlacedLayer) -> LayerCode:
    """The C of a layer of ofa_dsp_pointwise, ofa_dsp_pointwise_add or ofa_dsp_conv."""
    operator, constants, scales = layer.operator, layer.constants, layer.scales
    assert isinstance(operator, Conv2D | ConvAdd)
    addition = constants.addition if isinstance(constants, ConvAddConstants) else None
    constants = constants.convolution if isinstance(constants, ConvAddConstants) else constants
    assert isinstance(constants, ChannelRequantization)
    assert scales is not None
    plan = plan_of(layer.view, layer.way.variant)
    parameters = layer.graph.parameters[operator.name]
    matrix = filter_matrix(operator, parameters.weights)
    bias = fold_bias(operator, parameters, constants.input_zero_point)
    name = f"{layer.prefix}_stream"
    functions = {block_name(plan.block): block_function(plan.block)}
    common = _layer_fields(plan, name, constants, addition or constants)
    wide = "0" if layer.way.scratch_bytes == 0 else f"(ofa_word *)({layer.scratch})"
    if layer.way.kernel != CONV.name:
        kind = "ofa_matrix_points_layer"
        single = "0"
        if has_single(plan.shape) or (addition is not None and plan.shape.pixels % PIXELS):
            single = single_name(plan.block)
            if plan.shape.pixels < PIXELS:
                functions = {}
                common = {**common, "block": "0"}
            functions = {**functions, single: single_function(plan.block)}
        fields: Fields = {
            "matrix": common,
            "single": single,
            "pixels": plan.shape.pixels,
            "depth": plan.shape.depth,
            "left": plan.block.taps.left,
            "shift": 0 if plan.block.shift is None else plan.block.shift - 1,
        }
        descriptor = "&layer"
        if addition is not None:
            kind, fields, descriptor = "ofa_matrix_sum_layer", _sum_fields(layer, addition, fields), "&layer.points"
        call = f"ofa_matrix_points({descriptor}, {layer.inputs[0]}, {layer.output}, {wide}, {int(layer.backward)});"
    else:
        kind = "ofa_matrix_window_layer"
        fields = {"matrix": common, **_window_fields(plan)}
        function = "ofa_matrix_direct" if plan.band == DIRECT else "ofa_matrix_band"
        beside = "0" if layer.way.scratch_bytes == 0 else f"{layer.scratch} + {plan.block.wide_bytes}"
        call = f"{function}(&layer, {layer.inputs[0]}, {layer.output}, {wide}, {beside});"
    body = (f"static const {kind} layer = {{", *initializer(fields, 4), "};", call)
    return LayerCode(
        arrays={name: pack_stream(matrix, bias, scales, plan.block)},
        body=body,
        functions=functions,
        headers=("ofa_dsp_matrix_loop.h",),
    )


def _layer_fields(
    plan: Plan, stream: str, constants: ChannelRequantization, clamp: ChannelRequantization | AddConstants
) -> Fields:
    taps = plan.block.taps
    return {
        "block": block_name(plan.block),
        "weights": f"(const uint32_t *){stream}",
        "outputs": plan.shape.outputs,
        "words": taps.words,
        "column": taps.column,
        "rows": taps.rows,
        "columns": taps.columns,
        "low": clamp.clamp_min,
        "high": clamp.clamp_max,
        "zero_point": constants.input_zero_point,
        "flags": _flags(plan.block),
    }


def _flags(block: Block) -> str:
    marks = (
        ("SIGNED", block.signed),
        ("CLAMPED", block.low or block.high),
        ("ODD", block.odd),
        ("OWN", block.shift is None),
        ("ADDS", bool(block.sums)),
    )
    return " | ".join(f"OFA_MATRIX_{mark}" for mark, present in marks if present) or "0"


def _sum_fields(layer: PlacedLayer, addition: AddConstants, points: Fields) -> Fields:
    form = product_form(addition)
    if form is None:
        raise OfaMcuError(f"the sum of layer '{layer.operator.name}' was not proved: plan it again with its facts")
    return {
        "points": points,
        "factor": form.first,
        "offset": form.offset,
        "other_factor": form.second,
        "other": f"(int32_t)({layer.distance})",
    }


def _window_fields(plan: Plan) -> Fields:
    shape = plan.shape
    return {
        "input_height": shape.height,
        "input_width": shape.width,
        "depth": shape.depth,
        "output_height": shape.output_height,
        "output_width": shape.output_width,
        "extent_height": shape.extent[0],
        "extent_width": shape.extent[1],
        "stride_height": shape.stride[0],
        "stride_width": shape.stride[1],
        "pad_top": shape.pad_top,
        "pad_left": shape.pad_left,
        "kernel_height": shape.kernel[0],
        "dilation_height": shape.dilation[0],
        "band": plan.band,
    }

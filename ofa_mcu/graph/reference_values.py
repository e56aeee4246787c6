"""Operators of the numpy reference that compute codes one by one, by window or by row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ofa_mcu.graph import fixed_point
from ofa_mcu.graph.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    multiply_by_quantized_multiplier,
    rounding_divide_by_power_of_two,
)
from ofa_mcu.graph.constants import Scaling, add_constants, mean_constants, mul_constants, pool_constants
from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.graph.tables import softmax_constants, table_constants
from ofa_mcu.space.shapes import Add, AveragePool2D, MaxPool2D, Mean, Mul, Operator, Softmax, Sub

__all__ = [
    "dequantize",
    "quantize",
    "run_add",
    "run_mean",
    "run_mul",
    "run_pool",
    "run_softmax",
    "run_table",
]

Int8 = NDArray[np.int8]
Int64 = NDArray[np.int64]
_EXCESS_BITS = 12  # a sum of exponentials has 12 integer bits


def run_add(graph: Int8Graph, operator: Add | Sub, first: Int8, second: Int8) -> Int8:
    """Sum or difference of two arrays that broadcast."""
    constants = add_constants(graph, operator)
    left = (first.astype(np.int64) - constants.first_zero_point) << constants.left_shift
    right = (second.astype(np.int64) - constants.second_zero_point) << constants.left_shift
    left, right = _scale(left, constants.first), _scale(right, constants.second)
    total = left - right if isinstance(operator, Sub) else left + right
    codes = _scale(total, constants.output) + constants.output_zero_point
    return codes.clip(constants.clamp_min, constants.clamp_max).astype(np.int8)


def run_mul(graph: Int8Graph, operator: Mul, first: Int8, second: Int8) -> Int8:
    """Product of two arrays that broadcast."""
    constants = mul_constants(graph, operator)
    left = first.astype(np.int64) - constants.first_zero_point
    right = second.astype(np.int64) - constants.second_zero_point
    codes = _scale(left * right, constants.scaling) + constants.output_zero_point
    return codes.clip(constants.clamp_min, constants.clamp_max).astype(np.int8)


def run_pool(graph: Int8Graph, operator: AveragePool2D | MaxPool2D, source: Int8) -> Int8:
    """Average or largest code of every window (N, OH, OW, C); what lies outside the input does not count."""
    constants = pool_constants(graph, operator)
    pad = operator.padding
    widths = ((0, 0), (pad.top, pad.bottom), (pad.left, pad.right), (0, 0))
    if isinstance(operator, MaxPool2D):
        padded = np.pad(source, widths, constant_values=INT8_MIN)
        codes = _windows(operator, padded).max(axis=(4, 5)).astype(np.int64)
    else:
        total = _windows(operator, np.pad(source.astype(np.int64), widths)).sum(axis=(4, 5))
        inside = np.ones((1, *source.shape[1:3], 1), np.int64)
        count = _windows(operator, np.pad(inside, widths)).sum(axis=(4, 5))
        magnitude = (np.abs(total) + count // 2) // count
        codes = np.where(total < 0, -magnitude, magnitude)
    result: Int8 = codes.clip(constants.clamp_min, constants.clamp_max).astype(np.int8)
    return result


def _windows(operator: AveragePool2D | MaxPool2D, padded: NDArray[Any]) -> NDArray[Any]:
    view = sliding_window_view(padded, operator.kernel, axis=(1, 2))
    return view[:, :: operator.stride[0], :: operator.stride[1]]


def run_mean(graph: Int8Graph, operator: Mean, source: Int8) -> Int8:
    """Mean over axes of the tensor, which the result lacks."""
    constants = mean_constants(graph, operator)
    total = source.sum(axis=tuple(axis + 1 for axis in operator.axes), dtype=np.int64)
    centred = total - constants.count * constants.input_zero_point
    codes = _scale(centred, constants.scaling) + constants.output_zero_point
    return codes.clip(INT8_MIN, INT8_MAX).astype(np.int8)


def run_softmax(graph: Int8Graph, operator: Softmax, source: Int8) -> Int8:
    """Softmax over the last axis."""
    constants = softmax_constants(graph, operator)
    codes = source.astype(np.int64)
    exponentials = constants.exponentials.astype(np.int64)[codes.max(axis=-1, keepdims=True) - codes]
    total = rounding_divide_by_power_of_two(exponentials, _EXCESS_BITS).sum(axis=-1, keepdims=True)
    zeros = 32 - np.frexp(total.astype(np.float64))[1].astype(np.int64)
    inverse = fixed_point.reciprocal_of_one_plus((total << zeros) - (1 << 31))
    scaled = fixed_point.rounding_product(inverse, exponentials)
    result = rounding_divide_by_power_of_two(scaled, 35 - zeros) + INT8_MIN
    return np.where(exponentials == 0, INT8_MIN, result).clip(INT8_MIN, INT8_MAX).astype(np.int8)


def run_table(graph: Int8Graph, operator: Operator, source: Int8) -> Int8:
    """Every code by the operator's table."""
    table = table_constants(graph, operator).table
    result: Int8 = table[source.astype(np.int64) - INT8_MIN]
    return result


def quantize(values: NDArray[np.float32], target: Quantization) -> Int8:
    """float32 values to codes: divided in float32, rounded half away from zero; values beyond are cut off."""
    with np.errstate(over="ignore"):
        steps = values.astype(np.float32) / np.float32(target.scale)
    wide = steps.astype(np.float64)
    rounded = np.copysign(np.floor(np.abs(wide) + 0.5), wide).clip(-(2.0**30), 2.0**30)
    return (rounded.astype(np.int64) + target.zero_point).clip(INT8_MIN, INT8_MAX).astype(np.int8)


def dequantize(codes: Int8, source: Quantization) -> NDArray[np.float32]:
    """Codes to float32 values."""
    scale = float(np.float32(source.scale))
    return (scale * (codes.astype(np.int64) - source.zero_point)).astype(np.float32)


def _scale(x: Int64, scaling: Scaling) -> Int64:
    return multiply_by_quantized_multiplier(x, scaling.multiplier, scaling.shift)

"""Operators on single codes as tables of 256 codes, and softmax as a table of 256 exponentials.

An int8 function of one int8 code is its table; the numpy reference and the code generator both take it from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import floor, frexp

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph import fixed_point
from ofa_mcu.graph.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_power_of_two,
)
from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.space.shapes import HardSwish, Logistic, Operator, Quantize, Relu, Relu6, Softmax

__all__ = ["SoftmaxConstants", "TableConstants", "softmax_constants", "table_constants"]

Int64 = NDArray[np.int64]

_SOFTMAX_BITS, _LOGISTIC_BITS = 5, 4  # integer bits of their fixed-point arguments
_MOST_CLASSES = 4095  # exp(0) counts 2**19 in a sum below 2**31
_CODES = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class TableConstants:
    """output = table[input + 128]; `table` int8 (256,)."""

    table: NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class SoftmaxConstants:
    """Softmax over `depth` codes of each of `rows` rows.

    exponentials[m - x] is exp(beta * scale * (x - m)) with no integer bits for a code x below the largest code m of
    its row, int32 (256,); 0 stands for codes too far below it, whose output is -128. Then, with S the sum over the row
    of round(exponentials / 2**12), z its leading zeros as a uint32 and r = reciprocal_of_one_plus((S << z) - 2**31),
    output = clamp(round(rounding_product(r, exponential) / 2**(35 - z)) - 128), rounding half away from zero.
    """

    exponentials: NDArray[np.int32]
    rows: int
    depth: int


def table_constants(graph: Int8Graph, operator: Operator) -> TableConstants:
    """The table of a Logistic, HardSwish, Relu, Relu6 or Quantize from int8.

    Raises OfaMcuError for scales with which TFLite Micro would abort or compute nonsense.
    """
    source = graph.quantization[operator.inputs[0]]
    target = graph.quantization[operator.output]
    centred = _CODES - source.zero_point
    match operator:
        case Quantize():
            codes = _rescaled(operator, centred, float(np.float32(source.scale)) / float(np.float32(target.scale)))
            codes += target.zero_point
        case Relu():
            with np.errstate(over="ignore", under="ignore"):
                ratio = float(np.float32(source.scale) / np.float32(target.scale))
            codes = (_rescaled(operator, centred, ratio) + target.zero_point).clip(target.zero_point, None)
        case Relu6():
            codes = _CODES.clip(source.zero_point, _six(operator, source))
        case Logistic():
            codes = _logistic(operator, source, target)
        case HardSwish():
            codes = _hard_swish(operator, centred, source, target)
        case _:
            raise OfaMcuError(
                f"operator '{operator.name}' of type {type(operator).__name__} is no function of one code: "
                "use only operators the int8 graph knows"
            )
    return TableConstants(codes.clip(INT8_MIN, INT8_MAX).astype(np.int8))


def _bad_scale(operator: Operator, scale: float, kind: str) -> OfaMcuError:
    return OfaMcuError(
        f"the input scale {scale:.3g} of layer '{operator.name}' is too {kind} for its arithmetic: "
        "quantize the model again with a usual range for the tensors around this layer"
    )


def _fixed_output(operator: Operator, target: Quantization) -> None:
    if target.zero_point != INT8_MIN or target.scale != 1 / 256:
        raise OfaMcuError(
            f"the output of layer '{operator.name}' has scale {target.scale:.6g} and zero point {target.zero_point} "
            "instead of 1/256 and -128: convert the model again with full integer quantization"
        )


def _six(operator: Operator, source: Quantization) -> int:
    with np.errstate(over="ignore"):
        six = float(np.float32(6.0) / np.float32(source.scale))
    if six >= 2.0**30:
        raise _bad_scale(operator, source.scale, "small")
    return min(source.zero_point + floor(six + 0.5), INT8_MAX)


def _rescaled(operator: Operator, centred: Int64, ratio: float) -> Int64:
    multiplier, shift = quantize_multiplier(ratio if np.isfinite(ratio) else 1e30)
    if int(np.abs(centred).max()) << max(int(shift), 0) >= 1 << 31:
        raise OfaMcuError(
            f"layer '{operator.name}' scales codes by {ratio:.3g}, beyond 32 bits: "
            "quantize the model again with a wider output range for this layer"
        )
    return multiply_by_quantized_multiplier(centred, multiplier, shift)


def _radius(integer_bits: int, left_shift: int) -> int:
    """Codes from the zero point at which an argument of so many integer bits would overflow."""
    return floor(((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits - left_shift))


def _logistic(operator: Operator, source: Quantization, target: Quantization) -> Int64:
    _fixed_output(operator, target)
    scale = float(np.float32(source.scale))
    mantissa, left = frexp(scale * 2.0 ** (31 - _LOGISTIC_BITS))
    if not 0 <= left < 62:
        raise _bad_scale(operator, scale, "small" if left < 0 else "large")
    radius = _radius(_LOGISTIC_BITS, left)
    centred = _CODES - source.zero_point
    inside = np.abs(centred) < radius
    multiplier = floor(mantissa * 2.0**31 + 0.5)
    argument = fixed_point.rounding_product(np.where(inside, centred, 0) << left, multiplier)
    codes = rounding_divide_by_power_of_two(fixed_point.logistic(argument, _LOGISTIC_BITS), 23) + INT8_MIN
    return np.where(inside, codes, np.where(centred <= -radius, INT8_MIN, INT8_MAX))


def _hard_swish(operator: Operator, centred: Int64, source: Quantization, target: Quantization) -> Int64:
    """All in 16 bits: the input at 128 times its resolution, times a relu of it that runs from -1 to 1."""
    with np.errstate(over="ignore", under="ignore"):
        fine = np.float32(1.0 / 128.0) * np.float32(source.scale)
        ratios = float(fine / np.float32(target.scale)), float(fine / (np.float32(3.0) / np.float32(32768.0)))
    if not all(np.isfinite(ratio) for ratio in ratios):
        raise _bad_scale(operator, source.scale, "large")
    (out_multiplier, out_shift), (relu_multiplier, relu_shift) = (_multiplier16(ratio) for ratio in ratios)
    if out_shift > 0:
        raise _bad_scale(operator, source.scale, "large")
    value = centred << 7
    scaled = _rounding_product16(value, out_multiplier)
    relu = value
    if relu_shift > 0:
        relu = _saturate16(relu << (relu_shift - 1))
    relu = _rounding_product16(relu, relu_multiplier)
    relu = _saturate16(relu << 1) if relu_shift > 0 else _rounding_divide16(relu, -relu_shift)
    relu = (relu + (1 << 15)) >> 1
    product = relu * scaled
    product = np.where(product < 0, -(-product >> 15), product >> 15)  # truncated
    return _rounding_divide16(product, -out_shift) + target.zero_point


def _multiplier16(ratio: float) -> tuple[int, int]:
    multiplier, shift = quantize_multiplier(ratio)
    return min((int(multiplier) + (1 << 15)) >> 16, (1 << 15) - 1), int(shift)


def _saturate16(x: Int64) -> Int64:
    return x.clip(-(1 << 15), (1 << 15) - 1)


def _rounding_product16(x: Int64, multiplier: int) -> Int64:
    return (x * multiplier + (1 << 14)) >> 15


def _rounding_divide16(x: Int64, exponent: int) -> Int64:
    """x / 2**exponent to nearest, ties away from zero; from 16 on with the mask that wraps around in 16 bits."""
    if exponent < 16:
        return rounding_divide_by_power_of_two(x, exponent)
    return np.where(x < 0, -1, 1)


def softmax_constants(graph: Int8Graph, operator: Softmax) -> SoftmaxConstants:
    """Constants of a Softmax; raises OfaMcuError for scales TFLite Micro aborts on."""
    _fixed_output(operator, graph.quantization[operator.output])
    shape = graph.structure.shapes[operator.output]
    if shape[-1] > _MOST_CLASSES:
        raise OfaMcuError(
            f"layer '{operator.name}' takes a softmax over {shape[-1]} codes, more than the {_MOST_CLASSES} that fit "
            "its 32-bit sum: split the classes"
        )
    scale = float(np.float32(graph.quantization[operator.inputs[0]].scale))
    real = min(float(np.float32(operator.beta)) * scale * 2.0 ** (31 - _SOFTMAX_BITS), 2.0**31 - 1.0)
    if not real > 1.0:
        raise _bad_scale(operator, scale, "small")
    multiplier, left = (int(part) for part in quantize_multiplier(real))
    distance = np.arange(256, dtype=np.int64)
    near = distance <= _radius(_SOFTMAX_BITS, left)
    argument = fixed_point.rounding_product(-np.where(near, distance, 0) << left, multiplier)
    exponentials = np.where(near, fixed_point.exp_of_negative(argument, _SOFTMAX_BITS), 0)
    return SoftmaxConstants(exponentials.astype(np.int32), int(np.prod(shape[:-1])), shape[-1])

"""TensorFlow Lite's integer arithmetic, exact, on numpy arrays.

Rounding is the double rounding of gemmlowp's fixed point, the one TFLite Micro is built with: a doubling high
multiplication rounded to nearest, then a right shift rounded to nearest with ties away from zero.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ofa_mcu.graph.ir import Quantization
from ofa_mcu.space.shapes import Activation

__all__ = [
    "INT8_MAX",
    "INT8_MIN",
    "activation_range",
    "multiply_by_quantized_multiplier",
    "quantize_multiplier",
    "rounding_divide_by_power_of_two",
    "saturating_rounding_doubling_high_multiply",
]

Int64 = NDArray[np.int64]

INT8_MIN, INT8_MAX = -128, 127


def quantize_multiplier(real: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Multiplier m and shift s of each non-negative finite `real`, so that real = m * 2**(s - 31) nearly.

    m is 0 or in [2**30, 2**31). The mantissa is rounded to 31 bits, half away from zero; one that rounds up to
    2**31 is halved and its shift raised; a shift below -31 flushes to (0, 0). The result has the shape of `real`.
    """
    values = np.asarray(real, dtype=np.float64)
    mantissa, exponent = np.frexp(values)
    fixed = np.floor(mantissa * 2.0**31 + 0.5).astype(np.int64)
    carry = fixed == 1 << 31
    fixed = np.where(carry, 1 << 30, fixed)
    shift = exponent.astype(np.int64) + carry
    vanishes = (shift < -31) | (values == 0.0)
    return (
        np.where(vanishes, 0, fixed).astype(np.int32),
        np.where(vanishes, 0, np.minimum(shift, 127)).astype(np.int8),
    )


def saturating_rounding_doubling_high_multiply(x: Int64, multiplier: ArrayLike) -> Int64:
    """High 32 bits of 2 * x * multiplier, rounded to nearest, for int32 values and multipliers >= 0.

    gemmlowp adds a nudge of the product's sign and divides truncating; for every product that equals
    floor((product + 2**30) / 2**31), which is what is computed. Saturation needs two INT32_MIN and cannot occur.
    """
    product = x * np.asarray(multiplier, dtype=np.int64)
    product += 1 << 30
    product >>= 31
    return product


def rounding_divide_by_power_of_two(x: Int64, exponent: ArrayLike) -> Int64:
    """x / 2**exponent rounded to nearest, ties away from zero, for int32 values and exponents 0 to 31."""
    exponent = np.asarray(exponent, dtype=np.int64)
    rounds = exponent > 0
    half = np.where(rounds, np.int64(1) << np.maximum(exponent - 1, 0), 0)
    result: Int64 = x + half
    result -= (x < 0) & rounds
    result >>= exponent
    return result


def multiply_by_quantized_multiplier(x: Int64, multiplier: ArrayLike, shift: ArrayLike) -> Int64:
    """x * multiplier * 2**(shift - 31) with double rounding; multiplier and shift broadcast against the last axes.

    |x| * 2**max(shift, 0) must stay below 2**31, as in the 32-bit original; `constants` proves it for a graph.
    """
    shift = np.asarray(shift, dtype=np.int64)
    left = np.maximum(shift, 0)
    scaled = saturating_rounding_doubling_high_multiply(x << left if left.any() else x, multiplier)
    return rounding_divide_by_power_of_two(scaled, np.maximum(-shift, 0))


def activation_range(activation: Activation, output: Quantization) -> tuple[int, int]:
    """Smallest and largest int8 code an operator with this fused activation writes.

    The bounds 0, 6, -1 and 1 are quantized in float32, half away from zero, and cut to int8.
    """

    def steps(bound: float) -> int:
        return int(min(np.floor(float(np.float32(bound) / np.float32(output.scale)) + 0.5), 2.0**30))

    low, high = INT8_MIN, INT8_MAX
    if activation is Activation.RELU_N1_TO_1:
        low = max(low, output.zero_point - steps(1.0))
        high = min(high, output.zero_point + steps(1.0))
    elif activation is not Activation.NONE:
        low = max(low, output.zero_point)
    if activation is Activation.RELU6:
        high = min(high, output.zero_point + steps(6.0))
    return low, high

"""The exponential, the reciprocal and the logistic function in fixed point, exact to TensorFlow Lite's last bit.

A raw int32 with i integer bits stands for raw / 2**(31 - i). Everything works on int64 arrays that hold int32 values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.arithmetic import rounding_divide_by_power_of_two

__all__ = ["exp_of_negative", "logistic", "reciprocal_of_one_plus", "rounding_product", "saturating_shift"]

Int64 = NDArray[np.int64]

_MIN, _MAX = -(1 << 31), (1 << 31) - 1
_EXP_OF_MINUS_EIGHTH = 1895147668
_ONE_THIRD = 715827883
_EXP_OF_MINUS_POWERS = (
    (-2, 1672461947),
    (-1, 1302514674),
    (0, 790015084),
    (1, 290630308),
    (2, 39332535),
    (3, 720401),
    (4, 242),
)
"""Exponent e and exp(-2**e) with no integer bits."""
_48_OVER_17, _MINUS_32_OVER_17 = 1515870810, -1010580540  # with two integer bits


def rounding_product(a: Int64, b: Int64 | int) -> Int64:
    """Product of two raws, whose integer bits add up: the high half of 2ab to nearest; never both INT32_MIN."""
    product: Int64 = a * b
    product = product + (1 << 30)
    product >>= 31
    return product


def saturating_shift(x: Int64, bits: int) -> Int64:
    """x * 2**bits within int32; a negative `bits` divides with rounding, ties away from zero."""
    if bits < 0:
        return rounding_divide_by_power_of_two(x, -bits)
    return (x << bits).clip(_MIN, _MAX)


def exp_of_negative(x: Int64, integer_bits: int) -> Int64:
    """exp(x) with no integer bits, for x <= 0 with `integer_bits` of them, 0 to 5."""
    fraction = 31 - integer_bits
    quarter = 1 << (fraction - 2)
    rest = (x & (quarter - 1)) - quarter  # in [-1/4, 0)
    result = _exp_near_zero(saturating_shift(rest, integer_bits))
    remainder = rest - x
    for exponent, factor in _EXP_OF_MINUS_POWERS:
        if exponent < integer_bits:
            chosen = (remainder >> (fraction + exponent)) & 1 == 1
            result = np.where(chosen, rounding_product(result, factor), result)
    return np.where(x == 0, _MAX, result)


def _exp_near_zero(x: Int64) -> Int64:
    """exp(x) for x in [-1/4, 0), by a Taylor series around -1/8; no integer bits."""
    y = x + (1 << 28)
    square = rounding_product(y, y)
    cube = rounding_product(square, y)
    fourth = rounding_product(square, square)
    tail = rounding_product(saturating_shift(fourth, -2) + cube, _ONE_THIRD) + square
    return _EXP_OF_MINUS_EIGHTH + rounding_product(y + saturating_shift(tail, -1), _EXP_OF_MINUS_EIGHTH)


def reciprocal_of_one_plus(x: Int64) -> Int64:
    """1 / (1 + x) for x in [0, 1], no integer bits on either side; three steps of Newton's."""
    half = (x + _MAX + 1) >> 1  # the sum is not negative
    y = _48_OVER_17 + rounding_product(half, _MINUS_32_OVER_17)
    for _ in range(3):
        error = (1 << 29) - rounding_product(half, y)
        y = y + saturating_shift(rounding_product(y, error), 2)
    return saturating_shift(y, 1)  # y is twice the result, which its other integer bit makes good


def logistic(x: Int64, integer_bits: int) -> Int64:
    """1 / (1 + exp(-x)) with no integer bits, for x with `integer_bits` of them."""
    positive = reciprocal_of_one_plus(exp_of_negative(-np.abs(x), integer_bits))
    return np.where(x == 0, 1 << 30, np.where(x > 0, positive, _MAX - positive))

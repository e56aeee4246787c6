"""Sums of two quantized tensors as two products with 32-bit results, proved for every pair of codes.

A kernel that has one addend in a register computes

    code = clamp(saturate8((first * a + second * b + offset) >> 22))

with the factors rounded to 22 fraction bits. As in `affine`, every one of the 65,536 pairs of codes bounds the offset,
and where the bounds leave none the factors are moved by a few units. Products may wrap, their sum with the offset does
not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.arithmetic import INT8_MAX, INT8_MIN, multiply_by_quantized_multiplier
from ofa_mcu.graph.constants import AddConstants, Scaling

__all__ = ["PRODUCT_SHIFT", "ProductForm", "product_form"]

Int64 = NDArray[np.int64]

PRODUCT_SHIFT = 22
"""Fraction bits of factors and sums."""

_FAR = 1 << 40
_CODES = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)
_MOST_MOVES = 2
_MOVES = sorted(
    product(range(-_MOST_MOVES, _MOST_MOVES + 1), repeat=2), key=lambda move: (abs(move[0]) + abs(move[1]), move)
)
_NEAR = 4 * (_MOST_MOVES + 1) * 128


@dataclass(frozen=True)
class ProductForm:
    """Factors int32 and offset int32 in units of 2**-22 of an output code."""

    first: int
    second: int
    offset: int


def _scaled(codes: Int64, scaling: Scaling) -> Int64:
    return multiply_by_quantized_multiplier(codes, scaling.multiplier, scaling.shift)


def _real(scaling: Scaling) -> float:
    return scaling.multiplier * 2.0 ** (scaling.shift - 31)


@lru_cache(256)
def product_form(constants: AddConstants) -> ProductForm | None:
    """The proved form of a sum, None where there is none."""
    first = _scaled((_CODES - constants.first_zero_point) << constants.left_shift, constants.first)
    second = _scaled((_CODES - constants.second_zero_point) << constants.left_shift, constants.second)
    wanted = _scaled(first[:, None] + second[None, :], constants.output) + constants.output_zero_point
    wanted = wanted.clip(constants.clamp_min, constants.clamp_max)
    low = np.where(wanted > constants.clamp_min, wanted << PRODUCT_SHIFT, -_FAR)
    high = np.where(wanted < constants.clamp_max, ((wanted + 1) << PRODUCT_SHIFT) - 1, _FAR)
    unit = _real(constants.output) * 2.0 ** (constants.left_shift + PRODUCT_SHIFT)
    factors = unit * _real(constants.first), unit * _real(constants.second)
    if max(factors) >= 2.0**31 - _MOST_MOVES - 1:
        return None
    ideal = round(factors[0]), round(factors[1])
    sums = ideal[0] * _CODES[:, None] + ideal[1] * _CODES[None, :]
    lows, highs = low - sums, high - sums
    # Only pairs near the bounds can decide when the factors move a little.
    close = np.nonzero((lows >= lows.max() - _NEAR) | (highs <= highs.min() + _NEAR))
    first_codes, second_codes = _CODES[close[0]], _CODES[close[1]]
    for move in _MOVES:
        a, b = ideal[0] + move[0], ideal[1] + move[1]
        moved = move[0] * first_codes + move[1] * second_codes
        if (lows[close] - moved).max() > (highs[close] - moved).min():
            continue
        sums = a * _CODES[:, None] + b * _CODES[None, :]
        lowest = max(int((low - sums).max()), -(1 << 31) - int(sums.min()), -(1 << 31))
        highest = min(int((high - sums).min()), (1 << 31) - 1 - int(sums.max()), (1 << 31) - 1)
        if lowest <= highest:
            return ProductForm(a, b, (lowest + highest) // 2)
    return None

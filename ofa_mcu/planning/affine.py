"""Sums of two quantized tensors as one affine form, proved for every pair of codes.

TFLite adds two codes in four roundings. Fast kernels compute

    code = clamp((offset + floor(first * a / 256) + floor(second * b / 256)) >> 22)

or, without the halves of a 16 x 32 bit multiplication, (offset + floor((first * a + second * b) / 256)) >> 22. There
are only 65,536 pairs of codes: for given factors every pair bounds the offset from below and above, and if all bounds
leave an offset, both forms equal TFLite everywhere. If they leave none, the factors are moved by a few units.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.arithmetic import INT8_MAX, INT8_MIN, multiply_by_quantized_multiplier
from ofa_mcu.graph.constants import AddConstants, Scaling

__all__ = ["AFFINE_SHIFT", "AffineForm", "affine_form"]

Int64 = NDArray[np.int64]

AFFINE_SHIFT = 22
"""Fraction bits of the sums: those that 32 bits leave beside codes and what goes beyond them."""

_FRACTION = 8
_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1
_CODES = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)
_MOVES = np.array(sorted(product(range(-16, 17), repeat=2), key=lambda move: abs(move[0]) + abs(move[1]))).T[..., None]
_TRIALS = 8
_NEAR = 96


@dataclass(frozen=True)
class AffineForm:
    """Factors int32 of both codes, in units of 2**-30 of an output code, and the offset in units of 2**-22.

    The offset leads to codes less `clamp_min`, so that they saturate at 0 below; the form's last step is
    clamp_min + min(max(value, 0), clamp_max - clamp_min).
    """

    first: int
    second: int
    offset: int
    clamp_min: int
    clamp_max: int

    def terms(self) -> tuple[Int64, Int64]:
        """What each code -128 .. 127 of either input adds, (256,) both; the offset is in the first."""
        return self.offset + (self.first * _CODES >> _FRACTION), self.second * _CODES >> _FRACTION


def _scaled(codes: Int64, scaling: Scaling) -> Int64:
    return multiply_by_quantized_multiplier(codes, scaling.multiplier, scaling.shift)


def _real(scaling: Scaling) -> float:
    return scaling.multiplier * 2.0 ** (scaling.shift - 31)


def _bounds(steps: Int64, sums: Int64, constants: AddConstants) -> tuple[Int64, Int64]:
    """Smallest and largest offset each pair allows, for its wanted code (clamped) and its sum without offset."""
    far = np.int64(1) << 40
    low = np.where(steps > constants.clamp_min, (steps << AFFINE_SHIFT) - sums, -far)
    high = np.where(steps < constants.clamp_max, ((steps + 1) << AFFINE_SHIFT) - 1 - sums, far)
    return low, high


def affine_form(constants: AddConstants, *, subtract: bool = False) -> AffineForm | None:
    """The proved form of a sum, or of a difference, None where there is none."""
    first = _scaled((_CODES - constants.first_zero_point) << constants.left_shift, constants.first)
    second = _scaled((_CODES - constants.second_zero_point) << constants.left_shift, constants.second)
    sign = -1 if subtract else 1
    total = first[:, None] + sign * second[None, :]
    wanted = _scaled(total, constants.output) + constants.output_zero_point
    wanted = wanted.clip(constants.clamp_min, constants.clamp_max)
    gain = _real(constants.output) * 2.0**constants.left_shift
    slopes = gain * _real(constants.first), sign * gain * _real(constants.second)
    unit = 2.0 ** (AFFINE_SHIFT + _FRACTION)
    if max(map(abs, slopes)) * unit >= 2.0**31 - 64:
        return None
    return _search((round(slopes[0] * unit), round(slopes[1] * unit)), wanted, constants)


def _sums(first: int | Int64, second: int | Int64, a: Int64, b: Int64) -> tuple[Int64, Int64]:
    """Both forms' sums: floored apart and floored together; the first is never above the second, by one at most."""
    one, two = first * a, second * b
    return (one >> _FRACTION) + (two >> _FRACTION), (one + two) >> _FRACTION


def _search(factors: tuple[int, int], wanted: Int64, constants: AddConstants) -> AffineForm | None:
    a, b = np.broadcast_to(_CODES[:, None], (256, 256)), np.broadcast_to(_CODES[None, :], (256, 256))
    apart, together = _sums(*factors, a, b)
    low, high = _bounds(wanted, apart, constants)[0], _bounds(wanted, together, constants)[1]
    lowest, highest = int(low.max()), int(high.min())
    if lowest <= highest:
        return _form(*factors, (lowest, highest), constants, apart)
    if lowest - highest > _NEAR // 2:
        return None
    # Only pairs near the bounds can decide when the factors move a little; the winner is checked on all of them.
    close = (low >= highest - _NEAR) | (high <= lowest + _NEAR)
    moved = np.asarray(factors)[:, None, None] + _MOVES
    one, both = _sums(moved[0], moved[1], a[close], b[close])
    lows = _bounds(wanted[close], one, constants)[0].max(axis=1)
    highs = _bounds(wanted[close], both, constants)[1].min(axis=1)
    for index in np.flatnonzero(lows <= highs)[:_TRIALS].tolist():
        pair = int(moved[0, index, 0]), int(moved[1, index, 0])
        apart, together = _sums(*pair, a, b)
        lowest = int(_bounds(wanted, apart, constants)[0].max())
        highest = int(_bounds(wanted, together, constants)[1].min())
        if lowest <= highest:
            return _form(*pair, (lowest, highest), constants, apart)
    return None


def _form(
    first: int, second: int, bounds: tuple[int, int], constants: AddConstants, sums: Int64
) -> AffineForm | None:
    """The form with an offset between the bounds, None where a 32-bit sum could overflow, the code's or its excess's."""
    added = constants.clamp_min << AFFINE_SHIFT
    lowest = max(bounds[0], _INT32_MIN - int(sums.min()) + max(added, 0), _INT32_MIN + added)
    highest = min(bounds[1], _INT32_MAX - 1 - int(sums.max()) + min(added, 0), _INT32_MAX + added)
    if lowest > highest:
        return None
    offset = (lowest + highest) // 2 - added
    return AffineForm(first, second, offset, constants.clamp_min, constants.clamp_max)

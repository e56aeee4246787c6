"""Sums of two quantized tensors as one affine form, proved for every pair of codes.

TFLite adds two codes in four roundings. Fast kernels compute

    sum = base + floor(first * a / 256) + floor(second * b / 256)
    code = clamp((sum + offset - (dead_zone if sum < 0 else 0)) >> 22)

or, without multiplications of 16 by 32 bits, sum = base + floor((first * a + second * b) / 256). There are only 65,536
pairs of codes: for given factors each of them bounds the offset from below and above, and if all bounds leave an
offset, both forms equal TFLite everywhere. If they leave none, the factors are moved by a few units. What that cannot
mend are ties, which TFLite rounds away from zero: then negative sums get an offset of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.arithmetic import INT8_MAX, INT8_MIN, multiply_by_quantized_multiplier
from ofa_mcu.graph.constants import AddConstants, Scaling

__all__ = ["AFFINE_SHIFT", "AffineForm", "affine_form", "code_bounds", "exact_terms"]

Int64 = NDArray[np.int64]

AFFINE_SHIFT = 22
"""Fraction bits of the sums: those that 32 bits leave beside codes and what goes beyond them."""

_FRACTION = 8
_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1
_FAR = 1 << 40
_CODES = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int64)
_FIRST, _SECOND = np.broadcast_to(_CODES[:, None], (256, 256)), np.broadcast_to(_CODES[None, :], (256, 256))
_MOVES = np.array(sorted(product(range(-16, 17), repeat=2), key=lambda move: abs(move[0]) + abs(move[1]))).T[..., None]
_TRIALS = 8
_NEAR = 96


@dataclass(frozen=True)
class AffineForm:
    """Factors int32 of both codes, in units of 2**-30 of an output code; the rest in units of 2**-22.

    The offset leads to codes less `clamp_min`, so that they saturate at 0 below; the form's last step is
    clamp_min + min(max(value, 0), clamp_max - clamp_min). Without a dead zone the base is 0.
    """

    first: int
    second: int
    base: int
    offset: int
    dead_zone: int
    clamp_min: int
    clamp_max: int

    def terms(self) -> tuple[Int64, Int64]:
        """What each code -128 .. 127 of either input adds to the sum, (256,) both; the base is in the first."""
        return self.base + (self.first * _CODES >> _FRACTION), self.second * _CODES >> _FRACTION


def _scaled(codes: Int64, scaling: Scaling) -> Int64:
    return multiply_by_quantized_multiplier(codes, scaling.multiplier, scaling.shift)


def _real(scaling: Scaling) -> float:
    return scaling.multiplier * 2.0 ** (scaling.shift - 31)


def exact_terms(constants: AddConstants, *, subtract: bool = False) -> tuple[Int64, Int64, Int64]:
    """TFLite's scaled terms of every code of either input, (256,) both, and the codes of all sums, (256, 256)."""
    first = _scaled((_CODES - constants.first_zero_point) << constants.left_shift, constants.first)
    second = _scaled((_CODES - constants.second_zero_point) << constants.left_shift, constants.second)
    second = -second if subtract else second
    wanted = _scaled(first[:, None] + second, constants.output) + constants.output_zero_point
    return first, second, wanted.clip(constants.clamp_min, constants.clamp_max)


def code_bounds(wanted: Int64, constants: AddConstants) -> tuple[Int64, Int64]:
    """The smallest and the largest sum, in units of 2**-22, that gives each wanted code."""
    return _lower(wanted, np.int64(0), constants), _upper(wanted, np.int64(0), constants)


def affine_form(constants: AddConstants, *, subtract: bool = False) -> AffineForm | None:
    """The proved form of a sum, or of a difference, None where there is none."""
    _, _, wanted = exact_terms(constants, subtract=subtract)
    sign = -1 if subtract else 1
    gain = _real(constants.output) * 2.0**constants.left_shift
    slopes = gain * _real(constants.first), sign * gain * _real(constants.second)
    unit = 2.0 ** (AFFINE_SHIFT + _FRACTION)
    if max(map(abs, slopes)) * unit >= 2.0**31 - 64:
        return None
    factors = round(slopes[0] * unit), round(slopes[1] * unit)
    zero = round((slopes[0] * constants.first_zero_point + slopes[1] * constants.second_zero_point) * 2.0**AFFINE_SHIFT)
    return _search(factors, wanted, constants) or _with_dead_zone(factors, -zero, wanted, constants)


def _sums(first: int | Int64, second: int | Int64, a: Int64, b: Int64) -> tuple[Int64, Int64]:
    """Both forms' sums: floored apart and floored together; the first is never above the second, by one at most."""
    one, two = first * a, second * b
    return (one >> _FRACTION) + (two >> _FRACTION), (one + two) >> _FRACTION


def _lower(steps: Int64, sums: Int64 | np.int64, constants: AddConstants) -> Int64:
    """The smallest offset each pair allows, for its wanted code (clamped) and its sum."""
    return np.where(steps > constants.clamp_min, (steps << AFFINE_SHIFT) - sums, -_FAR)


def _upper(steps: Int64, sums: Int64 | np.int64, constants: AddConstants) -> Int64:
    """The largest offset each pair allows."""
    return np.where(steps < constants.clamp_max, ((steps + 1) << AFFINE_SHIFT) - 1 - sums, _FAR)


def _search(factors: tuple[int, int], wanted: Int64, constants: AddConstants) -> AffineForm | None:
    """The form without a dead zone, with these factors or with others near them."""
    apart, together = _sums(*factors, _FIRST, _SECOND)
    low, high = _lower(wanted, apart, constants), _upper(wanted, together, constants)
    lowest, highest = int(low.max()), int(high.min())
    if lowest <= highest:
        return _plain(*factors, (lowest, highest), constants, apart)
    if lowest - highest > _NEAR // 2:
        return None
    # Only pairs near the bounds can decide when the factors move a little; the winner is checked on all of them.
    close = (low >= highest - _NEAR) | (high <= lowest + _NEAR)
    moved = np.asarray(factors)[:, None, None] + _MOVES
    one, both = _sums(moved[0], moved[1], _FIRST[close], _SECOND[close])
    lows = _lower(wanted[close], one, constants).max(axis=1)
    highs = _upper(wanted[close], both, constants).min(axis=1)
    for index in np.flatnonzero(lows <= highs)[:_TRIALS].tolist():
        pair = int(moved[0, index, 0]), int(moved[1, index, 0])
        apart, together = _sums(*pair, _FIRST, _SECOND)
        bounds = int(_lower(wanted, apart, constants).max()), int(_upper(wanted, together, constants).min())
        if bounds[0] <= bounds[1]:
            return _plain(*pair, bounds, constants, apart)
    return None


def _plain(first: int, second: int, bounds: tuple[int, int], constants: AddConstants, sums: Int64) -> AffineForm | None:
    offset = _offset(bounds, int(sums.min()), int(sums.max()) + 1, constants)
    if offset is None:
        return None
    return AffineForm(first, second, 0, offset, 0, constants.clamp_min, constants.clamp_max)


def _offset(bounds: tuple[int, int], smallest: int, largest: int, constants: AddConstants) -> int | None:
    """An offset between the bounds, to codes less clamp_min; None where a sum, to a code or to that, could overflow."""
    added = constants.clamp_min << AFFINE_SHIFT
    lowest = max(bounds[0], _INT32_MIN - smallest + max(added, 0), _INT32_MIN + added)
    highest = min(bounds[1], _INT32_MAX - largest + min(added, 0), _INT32_MAX + added)
    return (lowest + highest) // 2 - added if lowest <= highest else None


def _with_dead_zone(factors: tuple[int, int], base: int, wanted: Int64, constants: AddConstants) -> AffineForm | None:
    """The form that gives negative sums an offset of their own."""
    both = [sums + base for sums in _sums(*factors, _FIRST, _SECOND)]
    smallest, largest = int(both[0].min()), int(both[1].max())
    if smallest < _INT32_MIN or largest > _INT32_MAX or not _INT32_MIN <= base <= _INT32_MAX:
        return None
    offsets = []
    for negative in (False, True):
        lowest, highest = -_FAR, _FAR
        for sums in both:
            chosen = (sums < 0) == negative
            lowest = max(lowest, int(_lower(wanted[chosen], sums[chosen], constants).max(initial=-_FAR)))
            highest = min(highest, int(_upper(wanted[chosen], sums[chosen], constants).min(initial=_FAR)))
        limits = (smallest, -1) if negative else (0, largest)
        offsets.append(_offset((lowest, highest), *limits, constants))
    above, below = offsets
    if above is None or below is None or not _INT32_MIN <= above - below <= _INT32_MAX:
        return None
    return AffineForm(*factors, base, above, above - below, constants.clamp_min, constants.clamp_max)

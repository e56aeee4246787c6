"""Sums of two quantized tensors by tables: what each code of either input adds, proved for every pair of codes.

    code = codes[(first[a] + second[b]) >> 22]

with sums of 32 bits, taken modulo 2**32, whose upper 10 bits index a table of codes. The entries are free numbers,
which the affine form's are not: each of the 65,536 pairs bounds the sum of two entries from below and above. Entries
that obey all bounds are found by putting them between the bounds that the other table leaves, in turn, starting from
TFLite's own terms, which are next to right. Sums that leave the 32 bits of the affine form do no harm as long as they
span fewer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.constants import AddConstants
from ofa_mcu.planning.affine import AFFINE_SHIFT, affine_form, code_bounds, exact_terms

__all__ = ["SumTables", "sum_tables"]

Int64 = NDArray[np.int64]

_ROUNDS = 16
_WORD = 1 << 32
_STEPS = _WORD >> AFFINE_SHIFT


@dataclass(frozen=True, eq=False)
class SumTables:
    """Terms int32 of codes -128 .. 127, (256,) both, in units of 2**-22 of an output code; int8 codes, (1024,).

    With a dead zone that is not 0, the sum still gets the offset added, and sums below zero the dead zone subtracted.
    """

    first: Int64
    second: Int64
    offset: int
    dead_zone: int
    codes: Int64


def sum_tables(constants: AddConstants, *, subtract: bool = False) -> SumTables | None:
    """The tables of a sum, or of a difference; None where none were found."""
    form = affine_form(constants, subtract=subtract)
    if form is None:
        return _solved(constants, subtract)
    first, second = form.terms()
    offset = form.offset if form.dead_zone else 0
    codes = _codes(-_STEPS // 2, form.clamp_min, constants)
    return SumTables(first + form.offset - offset, second, offset, form.dead_zone, codes)


def _wrapped(terms: Int64) -> Int64:
    """Modulo 2**32, as int32."""
    return (terms + _WORD // 2) % _WORD - _WORD // 2


def _codes(lowest: int, base: int, constants: AddConstants) -> Int64:
    """The codes base + step of the steps from the lowest on, each at its step modulo 1024."""
    steps = lowest + (np.arange(_STEPS) - lowest) % _STEPS
    return (base + steps).clip(constants.clamp_min, constants.clamp_max)


def _solved(constants: AddConstants, subtract: bool) -> SumTables | None:
    first, second, wanted = exact_terms(constants, subtract=subtract)
    lowest, highest = code_bounds(wanted, constants)
    unit = constants.output.multiplier * 2.0 ** (constants.output.shift - 31 + AFFINE_SHIFT)
    a = np.round(first * unit).astype(np.int64)
    b = np.round(second * unit).astype(np.int64) + (2 * constants.output_zero_point + 1 << AFFINE_SHIFT - 1)
    for _ in range(_ROUNDS):
        sums = a[:, None] + b
        if ((lowest <= sums) & (sums <= highest)).all():
            return _tables(a, b, constants)
        a = _between((lowest - b).max(axis=1), a, (highest - b).min(axis=1))
        b = _between((lowest - a[:, None]).max(axis=0), b, (highest - a[:, None]).min(axis=0))
    return None


def _between(lowest: Int64, terms: Int64, highest: Int64) -> Int64:
    """The terms moved between their bounds, to the middle where these contradict each other."""
    return np.where(lowest <= highest, terms.clip(lowest, highest), lowest + highest >> 1)


def _tables(first: Int64, second: Int64, constants: AddConstants) -> SumTables | None:
    """None where the sums reach too far to be told apart modulo 2**32."""
    lowest = int(first.min() + second.min()) >> AFFINE_SHIFT
    if (int(first.max() + second.max()) >> AFFINE_SHIFT) - lowest >= _STEPS:
        return None
    return SumTables(_wrapped(first), _wrapped(second), 0, 0, _codes(lowest, 0, constants))

"""The integer part of int8 layers, as loops that Numba compiles: one pass over memory, TFLite's arithmetic as written.

Compiled code is kept on disk; only the first use after an installation waits for the compiler, about a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

__all__ = ["Requantizer", "add_by_table"]

Floats = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Requantizer:
    """From accumulators to codes less their zero point: TFLite's double rounding per channel, then a clamp.

    Arrays are int64 (channels,): `factor` is the multiplier with the left shift in it, `right` the shift to the right,
    `half` what rounds it, and `sign` all ones where a negative number is rounded away from zero.
    """

    factor: NDArray[np.int64]
    right: NDArray[np.int64]
    half: NDArray[np.int64]
    sign: NDArray[np.int64]
    low: int
    high: int

    @classmethod
    def of(cls, multiplier: ArrayLike, shift: ArrayLike, channels: int, low: int, high: int) -> Requantizer:
        """For multipliers and shifts as `ChannelRequantization` or `Scaling` has them; |acc| * 2**shift < 2**31."""
        multipliers, shifts = (np.array(np.broadcast_to(v, channels), np.int64) for v in (multiplier, shift))
        right = np.maximum(-shifts, 0)
        half, sign = (np.int64(1) << right) >> 1, -(right > 0).astype(np.int64)
        return cls(multipliers << np.maximum(shifts, 0), right, half, sign, low, high)

    def __call__(self, values: Floats) -> None:
        """Whole numbers (rows, channels), contiguous, in place."""
        _requantize(values, self.factor, self.right, self.half, self.sign, self.low, self.high)


@njit(nogil=True, cache=True)
def _requantize(
    values: Floats,
    factor: NDArray[np.int64],
    right: NDArray[np.int64],
    half: NDArray[np.int64],
    sign: NDArray[np.int64],
    low: int,
    high: int,
) -> None:
    rows, channels = values.shape
    for row in range(rows):
        for channel in range(channels):
            doubled = (np.int64(values[row, channel]) * factor[channel] + (1 << 30)) >> 31
            rounded = (doubled + ((doubled >> 63) & sign[channel]) + half[channel]) >> right[channel]
            values[row, channel] = min(max(rounded, low), high)


@njit(nogil=True, cache=True)
def add_by_table(
    first: NDArray[np.float32],
    second: NDArray[np.float32],
    out: NDArray[np.float32],
    table: NDArray[np.float32],
    start: int,
) -> None:
    """`out` = table[256 * first + second + start], all (values,) and contiguous."""
    for index in range(len(out)):
        out[index] = table[np.int64(256 * first[index] + second[index]) + start]

"""What int8 layers do beside multiplying matrices, as loops that Numba compiles: TFLite's arithmetic, to the bit.

Compiled code is kept on disk; only the first use after an installation waits for the compiler, a few seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

__all__ = ["Requantizer", "add_by_table", "depthwise"]

Codes = NDArray[np.int8]
Accumulators = NDArray[np.int32] | NDArray[np.float32] | NDArray[np.float64]
Constants = tuple[Any, ...]

_EXACT_RIGHT = 13
"""The furthest shift to the right with which `_by_doubles` is exact."""


@dataclass(frozen=True, eq=False)
class Requantizer:
    """From accumulators to codes: bias, TFLite's double rounding per channel, zero point, clamp.

    `integers` and `doubles` are the constants of the two loops that do it. The second is faster, and `exact` where no
    channel is shifted to the left, nor too far to the right.
    """

    integers: Constants
    doubles: Constants
    exact: bool

    @classmethod
    def of(
        cls,
        multiplier: ArrayLike,
        shift: ArrayLike,
        bias: NDArray[np.int32],
        zero_point: int,
        low: int,
        high: int,
    ) -> Requantizer:
        """For the output's zero point and the range of its codes.

        Args:
            multiplier: as `ChannelRequantization` or `Scaling` has them, one or (channels,).
            shift: alike; |acc + bias| * 2**shift < 2**31.
            bias: what is added to accumulators (channels,).
            zero_point: of the output.
            low: the least code.
            high: the largest code.
        """
        multipliers, shifts = (np.array(np.broadcast_to(v, len(bias)), np.int64) for v in (multiplier, shift))
        bias = np.array(bias, np.int32)
        right = np.maximum(-shifts, 0)
        half, sign = (np.int64(1) << right) >> 1, -(right > 0).astype(np.int64)
        steps = np.ldexp(1.0, -right)
        doubles = (
            multipliers * np.ldexp(1.0, -31 - right),
            steps / 2,
            np.where(right > 0, steps, 0.0),
            np.where(right > 0, 0.5, 0.0) + zero_point + 256,
            low + 256.0,
            high + 256.0,
        )
        integers = multipliers << np.maximum(shifts, 0), right, half, sign, zero_point, low, high
        exact = bool(shifts.max() <= 0 and shifts.min() >= -_EXACT_RIGHT)
        return cls((bias, *integers), (bias, *doubles), exact)

    def __call__(self, accumulators: Accumulators, codes: Codes) -> None:
        """Whole numbers to codes, both (rows, channels) and contiguous."""
        _requantize(accumulators, codes, self.exact, self.integers, self.doubles)


@njit(nogil=True, cache=True)
def _by_integers(
    accumulators: Accumulators,
    codes: Codes,
    bias: NDArray[np.int32],
    factor: NDArray[np.int64],
    right: NDArray[np.int64],
    half: NDArray[np.int64],
    sign: NDArray[np.int64],
    zero_point: int,
    low: int,
    high: int,
) -> None:
    """As TFLite writes it. `factor` is the multiplier with the left shift in it, `right` the shift to the right.

    `half` rounds that shift, and `sign` is all ones where a negative number is rounded away from zero.
    """
    rows, channels = accumulators.shape
    for row in range(rows):
        for channel in range(channels):
            value = np.int64(accumulators[row, channel]) + bias[channel]
            doubled = (value * factor[channel] + (1 << 30)) >> 31
            rounded = (doubled + ((doubled >> 63) & sign[channel]) + half[channel]) >> right[channel]
            codes[row, channel] = min(max(rounded + zero_point, low), high)


@njit(nogil=True, cache=True)
def _by_doubles(
    accumulators: Accumulators,
    codes: Codes,
    bias: NDArray[np.int32],
    scale: NDArray[np.float64],
    once: NDArray[np.float64],
    step: NDArray[np.float64],
    twice: NDArray[np.float64],
    low: float,
    high: float,
) -> None:
    """The same in float64, which rounds nothing that is not clamped.

    Two roundings down one after another are one of the sum of their halves, and a negative number has one unit of the
    first (`step`) less. All terms are multiples of 2**-(31 + right) and stay below 2**9, or are clamped: with a shift
    of at most 13 they fit the 53 bits. 256 more make every code positive, so that dropping the fraction rounds down.
    """
    rows, channels = accumulators.shape
    for row in range(rows):
        for channel in range(channels):
            value = np.float64(accumulators[row, channel] + bias[channel]) * scale[channel] + once[channel]
            if value < 0.0:
                value -= step[channel]
            value = min(max(value + twice[channel], low), high)
            codes[row, channel] = np.int8(np.int32(value) - 256)


@njit(nogil=True, cache=True)
def _requantize(accumulators: Accumulators, codes: Codes, exact: bool, integers: Constants, doubles: Constants) -> None:
    if exact:
        _by_doubles(accumulators, codes, *doubles)
    else:
        _by_integers(accumulators, codes, *integers)


@njit(nogil=True, cache=True)
def _sums(
    inputs: Codes,
    weights: NDArray[np.int32],
    zero_point: np.int32,
    stride: tuple[int, int],
    top: int,
    left: int,
    row: int,
    sums: NDArray[np.int32],
) -> None:
    """One row of a depthwise convolution: `sums` (W', C) of an image (H, W, C) and filters (kh, kw, C)."""
    height, width, channels = inputs.shape
    rows, columns = weights.shape[:2]
    first = row * stride[0] - top
    for column in range(sums.shape[0]):
        begin = column * stride[1] - left
        for channel in range(channels):
            sums[column, channel] = 0
        for y in range(max(0, -first), min(rows, height - first)):
            for x in range(max(0, -begin), min(columns, width - begin)):
                for channel in range(channels):
                    code = np.int32(inputs[first + y, begin + x, channel]) - zero_point
                    sums[column, channel] += code * weights[y, x, channel]


@njit(nogil=True, cache=True)
def _depthwise(
    inputs: Codes,
    weights: NDArray[np.int32],
    zero_point: np.int32,
    stride: tuple[int, int],
    corner: tuple[int, int],
    codes: Codes,
    exact: bool,
    integers: Constants,
    doubles: Constants,
) -> None:
    sums = np.empty(codes.shape[2:], np.int32)
    for image in range(len(inputs)):
        for row in range(codes.shape[1]):
            _sums(inputs[image], weights, zero_point, stride, corner[0], corner[1], row, sums)
            _requantize(sums, codes[image, row], exact, integers, doubles)


def depthwise(
    inputs: Codes,
    weights: NDArray[np.int32],
    zero_point: int,
    stride: tuple[int, int],
    corner: tuple[int, int],
    codes: Codes,
    finish: Requantizer,
) -> None:
    """A depthwise convolution of `inputs` (N, H, W, C) by `weights` (kh, kw, C) into `codes` (N, H', W', C).

    `zero_point` is the input's, and `corner` the padding above and to the left. A row's sums, which no memory beyond
    the cache sees, become codes at once. Nothing checks that shapes go together.
    """
    constants = finish.exact, finish.integers, finish.doubles
    _depthwise(inputs, weights, np.int32(zero_point), stride, corner, codes, *constants)


@njit(nogil=True, cache=True)
def add_by_table(first: Codes, second: Codes, codes: Codes, table: Codes) -> None:
    """`codes` = table[256 * (first + 128) + second + 128], all (values,) and contiguous."""
    for index in range(len(codes)):
        codes[index] = table[256 * (np.int64(first[index]) + 128) + second[index] + 128]

"""Requantization in two or three instructions, proved channel by channel.

TFLite scales an accumulator in two roundings. For accumulators scaled by 256 fast kernels compute

    code = clamp(saturate8((offset + floor(256 * accumulator * multiplier / 2**32)) >> shift))

where codes below the zero point survive, `dead_zone` is taken off the offset of negative accumulators, since TFLite
rounds ties away from zero. Both are monotone in the accumulator, so they agree everywhere if they agree around each of
the at most 255 accumulators where TFLite's code steps; that is what is checked, for the range of accumulators that the
channel's weights allow. With one shift for all channels the saturation shifts, too; a shift for every channel keeps all
bits of its multiplier.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.arithmetic import INT8_MAX, INT8_MIN, multiply_by_quantized_multiplier

__all__ = ["PRESCALE", "ChannelScales", "FastScales", "accumulator_range", "own_shifts", "prove", "widest_shift"]

Int64 = NDArray[np.int64]

PRESCALE = 8
"""Bits by which kernels hand over their sums shifted to the left."""

MAX_ACCUMULATOR = 1 << (31 - PRESCALE)
_LARGEST_SHIFT = 23  # a zero point of -128 shifted by more leaves 32 bits
_NUDGES = sorted(product(range(-3, 4), repeat=2), key=lambda pair: abs(pair[0]) + abs(pair[1]))


@dataclass(frozen=True, eq=False)
class ChannelScales:
    """What TFLite does: multipliers and shifts (O,), and the range of each channel's accumulators with bias (O,)."""

    multiplier: Int64
    shift: Int64
    lowest: Int64
    highest: Int64
    zero_point: int
    clamp_min: int = INT8_MIN
    clamp_max: int = INT8_MAX

    @cached_property
    def wanted(self) -> Int64:
        """(codes, 1): the codes above the smallest that the clamp lets through."""
        return np.arange(self.clamp_min + 1, self.clamp_max + 1)[:, None]

    @cached_property
    def steps(self) -> Int64:
        """(codes, O): the smallest accumulator whose code is at least `wanted`; one past the largest where none is."""
        return _steps(self, self.wanted)

    def same(self, other: ChannelScales) -> bool:
        """Whether all values are equal."""
        mine, others = (vars(each) for each in (self, other))
        return all(np.array_equal(mine[each.name], others[each.name]) for each in fields(self))

    @property
    def dead_zone(self) -> bool:
        """Whether codes of negative accumulators survive the clamp."""
        return self.clamp_min < self.zero_point

    def codes(self, accumulators: Int64) -> Int64:
        """Unclamped codes of accumulators (..., O)."""
        return multiply_by_quantized_multiplier(accumulators, self.multiplier, self.shift) + self.zero_point


@dataclass(frozen=True, eq=False)
class FastScales:
    """Constants of the fast form, int64 (O,) within int32; of no use where `proved` is false.

    `shift` is the one shift of all channels, or one for each (O,).
    """

    shift: int | Int64
    multiplier: Int64
    offset: Int64
    dead_zone: Int64
    proved: NDArray[np.bool_]

    @property
    def per_channel(self) -> bool:
        """Whether every channel has a shift of its own."""
        return not isinstance(self.shift, int)


def accumulator_range(matrix: NDArray[np.int8], bias: NDArray[np.int32]) -> tuple[Int64, Int64]:
    """Smallest and largest sums of raw codes times weights (O, taps) plus folded bias (O,), over all inputs."""
    wide = matrix.astype(np.int64)
    positive, negative = np.maximum(wide, 0).sum(axis=1), np.minimum(wide, 0).sum(axis=1)
    return (
        positive * INT8_MIN + negative * INT8_MAX + bias,
        positive * INT8_MAX + negative * INT8_MIN + bias,
    )


def _constant_code(scales: ChannelScales) -> tuple[NDArray[np.bool_], Int64]:
    """Channels whose code is the same for every input, and that code."""
    low = np.clip(scales.codes(scales.lowest), scales.clamp_min, scales.clamp_max)
    high = np.clip(scales.codes(scales.highest), scales.clamp_min, scales.clamp_max)
    return low == high, low


def own_shifts(scales: ChannelScales) -> Int64:
    """The shift of every channel (O,) that keeps all bits of its multiplier."""
    return np.clip(PRESCALE - 1 - scales.shift, 1, _LARGEST_SHIFT)


def widest_shift(scales: ChannelScales) -> int:
    """The one shift that keeps most bits of the layer's multipliers."""
    usable = ~_constant_code(scales)[0]
    return int(own_shifts(scales)[usable].min()) if usable.any() else PRESCALE


def _steps(scales: ChannelScales, wanted: Int64) -> Int64:
    floor = np.broadcast_to(scales.lowest, (len(wanted), len(scales.lowest)))
    ceiling = floor - scales.lowest + scales.highest + 1
    real = np.ldexp(np.maximum(scales.multiplier, 1).astype(float), scales.shift - 31)
    guess = np.ceil((wanted - scales.zero_point - 0.5) / real)
    steps: Int64 = np.clip(guess, floor.astype(float), ceiling.astype(float)).astype(np.int64)
    right = (steps == ceiling) | (scales.codes(steps) >= wanted)
    right &= (steps == floor) | (scales.codes(steps - 1) < wanted)
    # The few others are searched for in the whole range.
    code, channel = np.nonzero(~right)
    multiplier, shift = scales.multiplier[channel], scales.shift[channel]
    low, high, least = floor[code, channel], ceiling[code, channel], wanted[code, 0] - scales.zero_point
    while (low < high).any():
        middle = (low + high) >> 1
        enough = multiply_by_quantized_multiplier(middle, multiplier, shift) >= least
        open_ = low < high
        high = np.where(open_ & enough, middle, high)
        low = np.where(open_ & ~enough, middle + 1, low)
    steps[code, channel] = low
    return steps


def prove(scales: ChannelScales, shift: int | Int64) -> FastScales:
    """Constants for one shift, or one per channel, and for which channels they give TFLite's codes for every input."""
    shifts = np.broadcast_to(np.asarray(shift, np.int64), scales.shift.shape)
    exponent = -scales.shift
    constant, code = _constant_code(scales)
    kept = shifts - exponent  # bits of a unit of TFLite's first rounding
    ideal = np.where(
        kept >= PRESCALE - 1,
        scales.multiplier << np.clip(kept - PRESCALE + 1, 0, 31),
        (scales.multiplier + (1 << np.clip(PRESCALE - 2 - kept, 0, 40))) >> np.clip(PRESCALE - 1 - kept, 0, 40),
    )
    # Two roundings only where TFLite shifts right a second time.
    unit = np.where((kept >= 0) & (exponent >= 1), np.int64(1) << np.clip(kept, 0, 40), 0)
    half = np.int64(1) << (shifts - 1)
    middle = unit // 2 + half + (scales.zero_point << shifts)
    fits = np.maximum(np.abs(scales.lowest), np.abs(scales.highest)) < MAX_ACCUMULATOR
    usable = ~constant & (kept <= PRESCALE - 1) & fits
    multiplier = np.zeros_like(ideal)
    offset = (code << shifts) + half
    dead_zone = np.zeros_like(ideal)
    proved = constant.copy()  # with a multiplier of zero the accumulator may wrap
    wanted, steps = scales.wanted, scales.steps
    for nudge_multiplier, nudge_offset in _NUDGES:
        open_ = np.flatnonzero(usable & ~proved)
        if not open_.size:
            break
        m, c = ideal[open_] + nudge_multiplier, middle[open_] + nudge_offset
        d = unit[open_] if scales.dead_zone else np.zeros_like(m)
        step, shift_ = steps[:, open_], shifts[open_]
        low, high = scales.lowest[open_], scales.highest[open_]

        def value(accumulator: Int64, m: Int64 = m, c: Int64 = c, d: Int64 = d) -> Int64:
            return ((accumulator << PRESCALE) * m >> 32) + c - np.where(accumulator < 0, d, 0)

        good = (m >= 0) & (m < 1 << 31) & (np.abs(c) + d < 1 << 31)
        good &= (value(low) >= -(1 << 31)) & (value(high) < 1 << 31)
        good &= ((value(step) >> shift_ >= wanted) | (step > high)).all(axis=0)
        good &= ((value(step - 1) >> shift_ < wanted) | (step <= low)).all(axis=0)
        found = open_[good]
        multiplier[found], offset[found], dead_zone[found] = m[good], c[good], d[good]
        proved[found] = True
    return FastScales(shift, multiplier, offset, dead_zone, proved)

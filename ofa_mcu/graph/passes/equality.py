"""Whether two ways to scale accumulators give the same codes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.arithmetic import multiply_by_quantized_multiplier
from ofa_mcu.graph.constants import ChannelRequantization

__all__ = ["same_codes"]


def same_codes(first: ChannelRequantization, second: ChannelRequantization) -> bool:
    """Whether both give the same code for every accumulator that any input can cause.

    Where multipliers differ, each code's smallest accumulator is compared: codes never fall as accumulators grow.
    """

    def rest(constants: ChannelRequantization) -> tuple[int, ...]:
        return (
            constants.input_zero_point,
            constants.output_zero_point,
            constants.clamp_min,
            constants.clamp_max,
        )

    if rest(first) != rest(second) or first.multiplier.shape != second.multiplier.shape:
        return False
    if np.array_equal(first.multiplier, second.multiplier) and np.array_equal(first.shift, second.shift):
        return True
    bound = max(first.accumulator_bound, second.accumulator_bound)
    return np.array_equal(_thresholds(first, bound), _thresholds(second, bound))


def _thresholds(constants: ChannelRequantization, bound: int) -> NDArray[np.int64]:
    """(codes, channels): the smallest accumulator from -bound on that gives each code or more, else bound + 1."""
    codes = np.arange(constants.clamp_min + 1, constants.clamp_max + 1, dtype=np.int64) - constants.output_zero_point
    shape = (len(codes), len(constants.multiplier))
    low, high = np.full(shape, -bound, np.int64), np.full(shape, bound + 1, np.int64)
    while (low < high).any():
        middle = (low + high) >> 1
        reached = multiply_by_quantized_multiplier(middle, constants.multiplier, constants.shift) >= codes[:, None]
        low, high = np.where(reached, low, np.minimum(middle + 1, high)), np.where(reached, middle, high)
    return low

"""Integer arithmetic against plain-Python transcriptions of its definition, one value at a time."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ofa_mcu.graph.arithmetic import (
    activation_range,
    multiply_by_quantized_multiplier,
    quantize_multiplier,
    rounding_divide_by_power_of_two,
    saturating_rounding_doubling_high_multiply,
)
from ofa_mcu.graph.ir import Quantization
from ofa_mcu.space.shapes import Activation

INT32 = st.integers(-(2**31), 2**31 - 1)
MULTIPLIER = st.integers(0, 2**31 - 1)


def high_multiply(x: int, multiplier: int) -> int:
    """The definition: a nudge with the product's sign, then a division that truncates."""
    product = x * multiplier
    nudged = product + (2**30 if product >= 0 else 1 - 2**30)
    return abs(nudged) // 2**31 * (1 if nudged >= 0 else -1)


def divide_by_power(x: int, exponent: int) -> int:
    """The definition: compare the remainder with half, one more for negative numbers."""
    mask = (1 << exponent) - 1
    threshold = (mask >> 1) + (1 if x < 0 else 0)
    return (x >> exponent) + (1 if x & mask > threshold else 0)


@given(st.floats(0, 1e9, allow_nan=False))
@example(0.0)
@example(0.5)
@example(1.0)
@example(1.0 - 2.0**-33)  # the mantissa rounds up to 2**31
@example(2.0**-32)  # the smallest that survives: mantissa 1/2, shift -31
@example(2.0**-32 * (1 - 2.0**-40))  # rounds up into it, after its shift was raised
@example(2.0**-33)
@example(5e-324)
def test_quantize_multiplier_follows_its_definition(real: float) -> None:
    mantissa, shift = math.frexp(real)
    fixed = math.floor(Fraction(mantissa) * 2**31 + Fraction(1, 2))
    if fixed == 2**31:
        fixed, shift = 2**30, shift + 1
    if shift < -31 or real == 0.0:
        fixed, shift = 0, 0
    multiplier, found_shift = quantize_multiplier(real)
    assert (int(multiplier), int(found_shift)) == (fixed, shift)
    assert multiplier.dtype == np.int32 and found_shift.dtype == np.int8


def test_quantize_multiplier_keeps_the_shape_and_the_precision() -> None:
    real = np.exp(np.random.default_rng(0).uniform(-15, 4, (7, 11)))
    multiplier, shift = quantize_multiplier(real)
    assert multiplier.shape == shift.shape == real.shape
    assert np.allclose(multiplier * 2.0 ** (shift.astype(np.float64) - 31), real, rtol=2.0**-31, atol=0)


@given(st.lists(INT32, min_size=1, max_size=20), MULTIPLIER)
@example([-(2**31), 2**31 - 1, 0, -1, 1], 2**31 - 1)
@example([-(2**30), 2**30, -1, 1], 2**30)
@example([-3, -2, -1, 1, 2, 3], 2**30)  # ties
def test_high_multiplication_follows_its_definition(values: list[int], multiplier: int) -> None:
    found = saturating_rounding_doubling_high_multiply(np.array(values, np.int64), multiplier)
    assert found.tolist() == [high_multiply(value, multiplier) for value in values]


@given(st.lists(INT32, min_size=1, max_size=20), st.integers(0, 31))
@example([-(2**31), 2**31 - 1], 31)
@example([-(2**31), 2**31 - 1], 0)
@example([-12, -8, -4, 4, 8, 12], 3)  # ties
def test_division_follows_its_definition(values: list[int], exponent: int) -> None:
    found = rounding_divide_by_power_of_two(np.array(values, np.int64), exponent)
    assert found.tolist() == [divide_by_power(value, exponent) for value in values]


@given(st.integers(0, 2**32 - 1))
def test_multiplication_is_per_channel(seed: int) -> None:
    rng = np.random.default_rng(seed)
    multiplier = rng.integers(2**30, 2**31, 6)
    shift = rng.integers(-31, 8, 6)
    bound = 2 ** (31 - max(0, int(shift.max()))) - 1
    values = rng.integers(-bound, bound, (5, 6))
    before = values.copy()
    found = multiply_by_quantized_multiplier(values, multiplier, shift)
    for row in range(5):
        for channel in range(6):
            left, right = max(int(shift[channel]), 0), max(-int(shift[channel]), 0)
            high = high_multiply(int(values[row, channel]) << left, int(multiplier[channel]))
            assert found[row, channel] == divide_by_power(high, right)
    assert (values == before).all(), "the accumulators given must not change"


@pytest.mark.parametrize(
    ("activation", "scale", "zero_point", "expected"),
    [
        (Activation.NONE, 0.1, 5, (-128, 127)),
        (Activation.RELU, 0.1, 5, (5, 127)),
        (Activation.RELU, 0.1, -128, (-128, 127)),
        (Activation.RELU6, 0.1, -128, (-128, -68)),
        (Activation.RELU6, 0.1, 100, (100, 127)),
        (Activation.RELU6, 0.1, 127, (127, 127)),
        (Activation.RELU6, 100.0, -3, (-3, -3)),
        (Activation.RELU6, 12.0, -3, (-3, -2)),  # a half rounds away from zero
        (Activation.RELU6, 1e-30, -128, (-128, 127)),
        (Activation.RELU6, float(np.float32(6 / 255)), -128, (-128, 127)),
    ],
)
def test_activation_range(activation: Activation, scale: float, zero_point: int, expected: tuple[int, int]) -> None:
    assert activation_range(activation, Quantization(scale, zero_point)) == expected

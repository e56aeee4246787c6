"""The affine form of sums, and their tables, against TFLite's arithmetic, for all pairs of codes."""

from __future__ import annotations

import numpy as np
import pytest

from ofa_mcu.graph.arithmetic import multiply_by_quantized_multiplier, quantize_multiplier
from ofa_mcu.graph.constants import ADD_LEFT_SHIFT, AddConstants, Scaling
from ofa_mcu.planning.affine import AFFINE_SHIFT, AffineForm, affine_form
from ofa_mcu.planning.sum_tables import SumTables, sum_tables

CODES = np.arange(-128, 128, dtype=np.int64)
LIMIT = 1 << 31


def scaling(real: float) -> Scaling:
    multiplier, shift = quantize_multiplier(real)
    return Scaling(int(multiplier), int(shift))


def constants(scales: tuple[float, float, float], zeros: list[int], clamp: tuple[int, int]) -> AddConstants:
    first, second, output = scales
    twice = 2 * max(first, second)
    return AddConstants(
        ADD_LEFT_SHIFT,
        scaling(first / twice),
        scaling(second / twice),
        scaling(twice / ((1 << ADD_LEFT_SHIFT) * output)),
        zeros[0],
        zeros[1],
        zeros[2],
        *clamp,
    )


def wanted(given: AddConstants, sign: int) -> np.ndarray:
    def scaled(codes: np.ndarray, by: Scaling) -> np.ndarray:
        return multiply_by_quantized_multiplier(codes, by.multiplier, by.shift)

    first = scaled((CODES - given.first_zero_point) << ADD_LEFT_SHIFT, given.first)[:, None]
    second = scaled((CODES - given.second_zero_point) << ADD_LEFT_SHIFT, given.second)[None, :]
    codes = scaled(first + sign * second, given.output) + given.output_zero_point
    return codes.clip(given.clamp_min, given.clamp_max)


def codes_of(form: AffineForm, sums: np.ndarray) -> np.ndarray:
    values = sums + form.offset - np.where(sums < 0, form.dead_zone, 0)
    for number in (sums, values, values + (form.clamp_min << AFFINE_SHIFT)):
        assert number.min() >= -LIMIT
        assert number.max() < LIMIT
    return form.clamp_min + (values >> AFFINE_SHIFT).clip(0, form.clamp_max - form.clamp_min)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_both_forms_for_every_pair(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = np.exp(rng.normal(-3.0, 0.5, 2))
    output = max(first, second) * np.exp(rng.uniform(-0.2, 0.8))
    if seed % 3 == 0:
        first, second, output = 0.5, 0.5 * int(rng.integers(1, 3)), 0.5 * int(rng.integers(2, 5))
    low = -128 if rng.random() < 0.5 else int(rng.integers(-128, 60))
    high = 127 if rng.random() < 0.5 else int(rng.integers(low, 128))
    given = constants((first, second, output), rng.integers(-100, 100, 3).tolist(), (low, high))
    form = affine_form(given, subtract=seed % 2 == 1)
    if form is None:  # only sums that leave 32 bits
        assert (first + second) / output > 1.2
        return
    one, two = form.terms()
    together = (form.first * CODES[:, None] + form.second * CODES[None, :]) >> 8
    expected = wanted(given, -1 if seed % 2 else 1)
    assert (codes_of(form, one[:, None] + two[None, :]) == expected).all()
    assert (codes_of(form, form.base + together) == expected).all()


def test_ties_need_a_dead_zone() -> None:
    """(a + b) / 2 is rounded away from zero on both sides."""
    form = affine_form(constants((0.5, 0.5, 1.0), [0, 0, 0], (-128, 127)))
    assert form is not None
    assert form.dead_zone > 0


def test_outputs_far_finer_than_inputs_have_no_form() -> None:
    assert affine_form(constants((1.0, 1.0, 0.1), [0, 0, 0], (-128, 127))) is None


def table_codes(tables: SumTables) -> np.ndarray:
    for number in (tables.first, tables.second):
        assert number.min() >= -LIMIT
        assert number.max() < LIMIT
    sums = (tables.first[:, None] + tables.second[None, :] + LIMIT) % (2 * LIMIT) - LIMIT
    values = sums + tables.offset - np.where(sums < 0, tables.dead_zone, 0)
    return tables.codes[values % (2 * LIMIT) >> AFFINE_SHIFT]


@pytest.mark.parametrize("seed", range(30))
def test_tables_for_every_pair(seed: int) -> None:
    rng = np.random.default_rng([seed, 1])
    first, second = np.exp(rng.normal(-3.0, 0.5, 2))
    if seed % 3 == 0:
        second = first
    output = max(first, second) * (np.exp(rng.uniform(-0.2, 0.8)) if seed % 5 else 2)
    low, high = (-128, 127) if seed % 2 else (int(rng.integers(-128, 0)), int(rng.integers(0, 128)))
    given = constants((first, second, output), rng.integers(-100, 100, 3).tolist(), (low, high))
    tables = sum_tables(given, subtract=seed % 4 == 1)
    if tables is None:
        assert seed % 3 == 0  # ties, and sums that leave 32 bits
        return
    assert (table_codes(tables) == wanted(given, -1 if seed % 4 == 1 else 1)).all()


def only_tables() -> list[AddConstants]:
    """Sums, one in a hundred of those of trained networks, that no affine form gives for every pair."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(600):
        first = rng.uniform(0.01, 0.1)
        second = first * np.exp(rng.uniform(-1, 1))
        scales = (first, second, max(first, second) * rng.uniform(0.8, 2))
        zeros = [int(rng.integers(-60, 60)), int(rng.integers(-128, 60)), int(rng.integers(-128, 40))]
        given = constants(scales, zeros, (-128, 127))
        if affine_form(given) is None:
            found.append(given)
    return found


def test_tables_where_there_is_no_affine_form() -> None:
    found = only_tables()
    assert found
    for given in found:
        tables = sum_tables(given)
        assert tables is not None
        assert (table_codes(tables) == wanted(given, 1)).all()

"""Resampling and codes: integers, against a slow implementation in fractions."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_mcu.space.presets import SPACES, space_for
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.tasks.resample import INPUT_SCALE, INPUT_ZERO_POINT, area_matrix, resample, to_codes


def slow_weights(source: int, target: int) -> list[list[int]]:
    """Fixed-point weights of every output pixel; what flooring leaves goes to its first largest weight."""
    rows = []
    for i in range(target):
        low, high = Fraction(i * source, target), Fraction((i + 1) * source, target)
        pixels = [(Fraction(j), Fraction(j + 1)) for j in range(source)]
        shares = [max(Fraction(0), min(high, end) - max(low, begin)) / (high - low) for begin, end in pixels]
        assert sum(shares) == 1
        fixed = [int(share * 1024) for share in shares]
        fixed[shares.index(max(shares))] += 1024 - sum(fixed)
        rows.append(fixed)
    return rows


def slow_resample(image: np.ndarray, target: int) -> np.ndarray:
    """One (H, W, C) image, pixel by pixel with Python's integers, rounded half up."""
    height, width, channels = image.shape
    rows, columns = slow_weights(height, target), slow_weights(width, target)
    out = np.empty((target, target, channels), np.uint8)
    for y in range(target):
        for x in range(target):
            for c in range(channels):
                total = sum(
                    rows[y][h] * columns[x][w] * int(image[h, w, c])
                    for h in range(height)
                    for w in range(width)
                    if rows[y][h] and columns[x][w]
                )
                out[y, x, c] = (total * 2 + 2**20) // 2**21
    return out


@given(st.integers(1, 70), st.integers(1, 70))
def test_weights_equal_those_of_fractions(source: int, target: int) -> None:
    fixed = area_matrix(source, target)
    assert fixed.tolist() == slow_weights(source, target)
    assert fixed.min() >= 0 and fixed.sum(axis=1).tolist() == [1024] * target


@pytest.mark.parametrize("target", [20, 24])
@pytest.mark.parametrize("seed", range(2))
def test_images_equal_those_of_slow_arithmetic(target: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (28, 28, 1), dtype=np.uint8)
    assert np.array_equal(resample(image[None], target)[0], slow_resample(image, target))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_any_small_image_equals_slow_arithmetic(size: int, target: int, channels: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (size, size, channels), dtype=np.uint8)
    assert np.array_equal(resample(image[None], target)[0], slow_resample(image, target))


def test_height_and_width_go_their_own_ways() -> None:
    image = np.random.default_rng(2).integers(0, 256, (2, 9, 4, 3), dtype=np.uint8)
    narrow = resample(image, (5, 4))
    assert narrow.shape == (2, 5, 4, 3)
    for column in range(4):  # columns do not mix
        alone = resample(image[:, :, column : column + 1], (5, 1))
        assert np.array_equal(narrow[:, :, column : column + 1], alone)


def test_the_bytes_shipped_supernets_were_trained_on_stay_the_same() -> None:
    images = np.random.default_rng(0).integers(0, 256, (8, 28, 28, 1), dtype=np.uint8)
    found = hashlib.sha256(b"".join(resample(images, r).tobytes() for r in (20, 24, 28))).hexdigest()
    assert found == "c19fa2e79245886bcd07c7e5b8f7ea4e102139d25025ab3b49c6daaaa25d8b3f"


def test_the_own_size_changes_nothing() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 2), dtype=np.uint8)
    assert np.array_equal(resample(images, 28), images)
    for size in (1, 2, 28, 31):
        assert np.array_equal(area_matrix(size, size), 1024 * np.eye(size, dtype=int))


@given(st.integers(0, 255), st.integers(1, 33), st.integers(1, 33))
@settings(max_examples=60)
def test_a_constant_image_stays_constant(value: int, size: int, target: int) -> None:
    images = np.full((1, size, size, 1), value, np.uint8)
    assert np.array_equal(resample(images, target), np.full((1, target, target, 1), value, np.uint8))


@pytest.mark.parametrize("target", [20, 24])
def test_the_mean_is_preserved_within_rounding(target: int) -> None:
    """Pixels are rounded by half a step at most, and on average by next to nothing."""
    images = np.random.default_rng(3).integers(0, 256, (50, 28, 28, 1), dtype=np.uint8)
    before = images.mean(axis=(1, 2, 3))
    after = resample(images, target).mean(axis=(1, 2, 3))
    # weights in steps of 1/1024 leave a few thousandths of a pixel's weight in the wrong place
    assert np.abs(after - before).max() < 0.5
    assert abs(float((after - before).mean())) < 0.1


def test_chunks_do_not_show() -> None:
    images = np.random.default_rng(1).integers(0, 256, (4100, 3, 3, 1), dtype=np.uint8)
    together = resample(images, 2)
    for index in (0, 4095, 4096, 4099):
        assert np.array_equal(together[index], resample(images[index : index + 1], 2)[0])


def test_codes_are_bytes_less_128() -> None:
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    codes = to_codes(every)
    assert codes.dtype == np.int8
    assert codes.reshape(-1).tolist() == list(range(-128, 128))
    real = INPUT_SCALE * (codes.astype(np.float64) - INPUT_ZERO_POINT)
    assert np.abs(real - every / 255.0).max() < 1e-7


def test_every_task_has_a_space_of_its_shape() -> None:
    for name, space in SPACES.items():
        task = task_named(name)
        assert space_for(name, task.shape, len(task.labels)) is space
        assert space.input_size(max(space.resolutions)) == task.shape[:2]

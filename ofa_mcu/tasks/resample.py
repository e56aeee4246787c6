"""Exact area resampling of byte inputs, and the step from bytes to int8 codes."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["INPUT_SCALE", "INPUT_ZERO_POINT", "Size", "area_matrix", "resample", "resolution_of", "to_codes"]

INPUT_SCALE = float(np.float32(1.0 / 255.0))
INPUT_ZERO_POINT = -128
_FRACTION_BITS = 10

Size = int | tuple[int, int]
"""Height and width of an input; one number is a square."""


def resolution_of(size: Size) -> int:
    """What a space calls an input of that size: its height, or the number of steps of a sequence (height 1)."""
    if isinstance(size, int):
        return size
    height, width = size
    return width if height == 1 else height


@cache
def area_matrix(source: int, target: int) -> NDArray[np.int64]:
    """Fixed-point area weights (target, source): row i averages the source span of output pixel i.

    Every row sums to 2**10 exactly, so a constant image stays constant.
    """
    # lengths in units of 1/target of a source pixel, so that all of them are integers
    edges = np.arange(target + 1, dtype=np.int64) * source
    starts = np.arange(source, dtype=np.int64) * target
    overlap = np.minimum(edges[1:, None], starts + target) - np.maximum(edges[:-1, None], starts)
    overlap = np.maximum(overlap, 0)
    fixed: NDArray[np.int64] = (overlap << _FRACTION_BITS) // source
    fixed[np.arange(target), overlap.argmax(axis=1)] += 2**_FRACTION_BITS - fixed.sum(axis=1)
    return fixed


def resample(inputs: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Byte inputs (N, H, W, C) at another size: area average, rounded half up, integers only."""
    count, height, width, channels = inputs.shape
    target = (size, size) if isinstance(size, int) else size
    if (height, width) == target:
        return inputs
    # float64 products of these integers are exact, and BLAS is fast
    rows = area_matrix(height, target[0]).astype(np.float64)
    columns = area_matrix(width, target[1]).astype(np.float64)
    out = np.empty((count, *target, channels), np.uint8)
    for begin in range(0, count, 4096):
        part = inputs[begin : begin + 4096].astype(np.float64)
        part = np.einsum("yh,nhwc->nywc", rows, part, optimize=True)
        part = np.einsum("xw,nywc->nyxc", columns, part, optimize=True)
        out[begin : begin + 4096] = (part.astype(np.int64) + 2 ** (2 * _FRACTION_BITS - 1)) >> (2 * _FRACTION_BITS)
    return out


def to_codes(inputs: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Input codes of a network: byte minus 128, that is scale 1/255 and zero point -128."""
    return (inputs.astype(np.int16) + INPUT_ZERO_POINT).astype(np.int8)

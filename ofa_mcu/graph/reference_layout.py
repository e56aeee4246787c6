"""Operators of the numpy reference that only move codes. Arrays are (N, *shape of the tensor)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.space.shapes import Pad, ResizeNearestNeighbor, Shape, StridedSlice

__all__ = ["nearest", "run_pad", "run_resize", "run_slice"]

Int8 = NDArray[np.int8]


def run_pad(operator: Pad, value: int, source: Int8) -> Int8:
    """The input with codes of `value` around it."""
    return np.pad(source, ((0, 0), *operator.padding), constant_values=value)


def run_slice(operator: StridedSlice, source: Int8) -> Int8:
    """The chosen elements; dropped axes are still there, with extent 1."""
    for axis, (begin, count, stride) in enumerate(
        zip(operator.begin, operator.counts, operator.strides, strict=True), start=1
    ):
        source = source.take(begin + stride * np.arange(count), axis=axis)
    return source


def nearest(operator: ResizeNearestNeighbor, size: int, output: int) -> NDArray[np.int64]:
    """Which of `size` elements along an axis each of `output` ones repeats; TensorFlow's float32 arithmetic."""
    corners = operator.align_corners and output > 1
    scale = np.float32(size - 1) / np.float32(output - 1) if corners else np.float32(size) / np.float32(output)
    offset = np.float32(0.5 if operator.half_pixel_centers else 0.0)
    position = (np.arange(output, dtype=np.float32) + offset) * scale
    if operator.align_corners:
        position = position.astype(np.float64) + 0.5  # half away from zero
    indices: NDArray[np.int64] = np.floor(position).astype(np.int64).clip(0, size - 1)
    return indices


def run_resize(operator: ResizeNearestNeighbor, shape: Shape, source: Int8) -> Int8:
    """The input (N, H, W, C) at the height and width of `shape`, which is the output's."""
    rows = nearest(operator, source.shape[1], shape[1])
    return source.take(rows, axis=1).take(nearest(operator, source.shape[2], shape[2]), axis=2)

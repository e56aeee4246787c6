"""From TFLite's layout to the order the kernels read: channels in blocks of four, zero points folded into biases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.planning.filters import filter_matrix, fold_bias
from ofa_mcu.planning.layout import CHANNEL_BLOCK

__all__ = ["filter_matrix", "fold_bias", "pack_shift", "pack_weights"]


def pack_weights(matrix: NDArray[np.int8]) -> NDArray[np.int8]:
    """(channels, taps) to (blocks, taps, 4), the last block filled with zeros."""
    channels, taps = matrix.shape
    blocks = -(-channels // CHANNEL_BLOCK)
    padded = np.zeros((blocks * CHANNEL_BLOCK, taps), np.int8)
    padded[:channels] = matrix
    return np.ascontiguousarray(padded.reshape(blocks, CHANNEL_BLOCK, taps).transpose(0, 2, 1))


def pack_shift(shift: NDArray[np.int8]) -> NDArray[np.int8]:
    """The shifts, filled with zeros to a multiple of four."""
    packed = np.zeros(-(-len(shift) // CHANNEL_BLOCK) * CHANNEL_BLOCK, np.int8)
    packed[: len(shift)] = shift
    return packed

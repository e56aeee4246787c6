"""Weights and biases of filters in the form that kernels multiply: raw codes, zero points folded away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.ir import Parameters
from ofa_mcu.space.shapes import DepthwiseConv2D, Operator

__all__ = ["filter_matrix", "fold_bias"]


def filter_matrix(operator: Operator, weights: NDArray[np.int8]) -> NDArray[np.int8]:
    """The weights as (output channels, taps), taps in the order kernel row, kernel column, input channel."""
    if isinstance(operator, DepthwiseConv2D):
        return weights.reshape(-1, weights.shape[-1]).T
    return weights.reshape(weights.shape[0], -1)


def fold_bias(operator: Operator, parameters: Parameters, zero_point: int) -> NDArray[np.int32]:
    """bias - zero_point * (sum of the channel's weights), (channels,), for kernels that multiply raw codes.

    Raises OfaMcuError where a partial sum of a kernel could leave 32 bits.
    """
    matrix = filter_matrix(operator, parameters.weights).astype(np.int64)
    folded: NDArray[np.int64] = parameters.bias.astype(np.int64) - zero_point * matrix.sum(axis=1)
    reach = np.abs(folded) + 128 * np.abs(matrix).sum(axis=1)
    if reach.max() >= 1 << 31:
        channel = int(reach.argmax())
        raise OfaMcuError(
            f"output channel {channel} of layer '{operator.name}' can overflow its 32-bit accumulator (bias "
            f"{int(parameters.bias[channel])}): quantize the model again with wider weight scales for this layer"
        )
    return folded.astype(np.int32)

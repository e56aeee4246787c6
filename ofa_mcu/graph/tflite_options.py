"""Operators of the TensorFlow Lite file format: codes, versions, and the slots of their options tables.

Numbers are those of the published flatbuffer schema, version 3; versions are those int8 tensors ask for.
"""

from __future__ import annotations

from enum import IntEnum

from ofa_mcu.space.shapes import Activation

__all__ = [
    "ACTIVATION_CODES",
    "VERSIONS",
    "BinarySlot",
    "BuiltinOperator",
    "BuiltinOptions",
    "ConcatenationSlot",
    "ConvSlot",
    "DepthwiseSlot",
    "FullyConnectedSlot",
    "PaddingCode",
    "PoolSlot",
    "ReducerSlot",
    "ReshapeSlot",
    "ResizeSlot",
    "SliceSlot",
    "SoftmaxSlot",
    "SqueezeSlot",
]

ACTIVATION_CODES = {Activation.NONE: 0, Activation.RELU: 1, Activation.RELU_N1_TO_1: 2, Activation.RELU6: 3}


class BuiltinOperator(IntEnum):
    """Operator codes."""

    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    DEQUANTIZE = 6
    FULLY_CONNECTED = 9
    LOGISTIC = 14
    MAX_POOL_2D = 17
    MUL = 18
    RELU = 19
    RELU6 = 21
    RESHAPE = 22
    SOFTMAX = 25
    PAD = 34
    TRANSPOSE = 39
    MEAN = 40
    SUB = 41
    SQUEEZE = 43
    STRIDED_SLICE = 45
    PADV2 = 60
    RESIZE_NEAREST_NEIGHBOR = 97
    QUANTIZE = 114
    HARD_SWISH = 117


VERSIONS = {
    BuiltinOperator.CONV_2D: 3,
    BuiltinOperator.DEPTHWISE_CONV_2D: 3,
    BuiltinOperator.FULLY_CONNECTED: 4,
    BuiltinOperator.HARD_SWISH: 1,
    BuiltinOperator.QUANTIZE: 1,
    BuiltinOperator.RESHAPE: 1,
    BuiltinOperator.SQUEEZE: 1,
}
"""Operator versions other than 2."""


class BuiltinOptions(IntEnum):
    """Which options table an operator carries."""

    NONE = 0
    CONV_2D = 1
    DEPTHWISE_CONV_2D = 2
    POOL_2D = 5
    FULLY_CONNECTED = 8
    SOFTMAX = 9
    CONCATENATION = 10
    ADD = 11
    RESHAPE = 17
    MUL = 21
    PAD = 22
    TRANSPOSE = 26
    REDUCER = 27
    SUB = 28
    SQUEEZE = 30
    STRIDED_SLICE = 32
    DEQUANTIZE = 38
    PADV2 = 43
    RESIZE_NEAREST_NEIGHBOR = 74
    QUANTIZE = 89
    HARD_SWISH = 91


class PaddingCode(IntEnum):
    """Padding of a window."""

    SAME = 0
    VALID = 1


class ConvSlot(IntEnum):
    """Fields of Conv2DOptions."""

    PADDING = 0
    STRIDE_W = 1
    STRIDE_H = 2
    ACTIVATION = 3
    DILATION_W = 4
    DILATION_H = 5


class DepthwiseSlot(IntEnum):
    """Fields of DepthwiseConv2DOptions."""

    PADDING = 0
    STRIDE_W = 1
    STRIDE_H = 2
    DEPTH_MULTIPLIER = 3
    ACTIVATION = 4
    DILATION_W = 5
    DILATION_H = 6


class FullyConnectedSlot(IntEnum):
    """Fields of FullyConnectedOptions."""

    ACTIVATION = 0
    WEIGHTS_FORMAT = 1
    KEEP_NUM_DIMS = 2


class BinarySlot(IntEnum):
    """Fields of AddOptions, SubOptions and MulOptions."""

    ACTIVATION = 0


class ReducerSlot(IntEnum):
    """Fields of ReducerOptions."""

    KEEP_DIMS = 0


class PoolSlot(IntEnum):
    """Fields of Pool2DOptions."""

    PADDING = 0
    STRIDE_W = 1
    STRIDE_H = 2
    KERNEL_W = 3
    KERNEL_H = 4
    ACTIVATION = 5


class SoftmaxSlot(IntEnum):
    """Fields of SoftmaxOptions."""

    BETA = 0


class ConcatenationSlot(IntEnum):
    """Fields of ConcatenationOptions."""

    AXIS = 0
    ACTIVATION = 1


class ReshapeSlot(IntEnum):
    """Fields of ReshapeOptions."""

    NEW_SHAPE = 0


class SqueezeSlot(IntEnum):
    """Fields of SqueezeOptions."""

    AXES = 0


class SliceSlot(IntEnum):
    """Fields of StridedSliceOptions."""

    BEGIN_MASK = 0
    END_MASK = 1
    ELLIPSIS_MASK = 2
    NEW_AXIS_MASK = 3
    SHRINK_AXIS_MASK = 4
    OFFSET = 5


class ResizeSlot(IntEnum):
    """Fields of ResizeNearestNeighborOptions."""

    ALIGN_CORNERS = 0
    HALF_PIXEL_CENTERS = 1

"""Operators and tensor shapes of a network, without weights: what the planner needs and no more.

Tensors are NHWC with batch 1, named; operators are named, in execution order, and write one tensor each.
Terms and padding rules are TensorFlow Lite's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from math import prod

__all__ = [
    "Activation",
    "Add",
    "Conv2D",
    "DepthwiseConv2D",
    "FullyConnected",
    "Mean",
    "Operator",
    "Padding",
    "Shape",
    "ShapeGraph",
    "same_padding",
]

Shape = tuple[int, ...]


class Activation(Enum):
    """Fused activation of an operator."""

    NONE = "none"
    RELU = "relu"
    RELU6 = "relu6"


@dataclass(frozen=True)
class Padding:
    """Rows and columns of zero points around the input of a convolution."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """(before, after) of TensorFlow's SAME padding along one axis; the odd element goes after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One step of a network: reads the tensors named in `inputs`, writes the tensor named `output`."""

    name: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, kw_only=True)
class Conv2D(Operator):
    """2-D convolution; weights OHWI. `kernel` and `stride` are (height, width)."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: Activation = Activation.NONE


@dataclass(frozen=True, kw_only=True)
class DepthwiseConv2D(Operator):
    """Depthwise convolution with depth multiplier 1; weights 1HWC."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: Padding = Padding()
    activation: Activation = Activation.NONE


@dataclass(frozen=True, kw_only=True)
class FullyConnected(Operator):
    """Matrix product with a flat input; weights OI."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True, kw_only=True)
class Add(Operator):
    """Element-wise sum of two tensors of equal shape."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True, kw_only=True)
class Mean(Operator):
    """Mean over height and width: (1, H, W, C) -> (1, C)."""


@dataclass(frozen=True)
class ShapeGraph:
    """A network's operators in execution order and the shape of every activation tensor.

    `shapes` maps tensor name to shape with batch 1: (1, H, W, C) or (1, C). Every activation is int8, so a
    tensor takes as many bytes as it has elements.
    """

    name: str
    shapes: Mapping[str, Shape]
    operators: tuple[Operator, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def bytes_of(self, tensor: str) -> int:
        """Bytes of the int8 tensor."""
        return prod(self.shapes[tensor])

    def macs_of(self, operator: Operator) -> int:
        """Multiply-accumulates of one inference of the operator; padding counts, additions do not."""
        out = self.shapes[operator.output]
        depth = self.shapes[operator.inputs[0]][-1]
        match operator:
            case Conv2D():
                return prod(out) * operator.kernel[0] * operator.kernel[1] * depth
            case DepthwiseConv2D():
                return prod(out) * operator.kernel[0] * operator.kernel[1]
            case FullyConnected():
                return prod(out) * prod(self.shapes[operator.inputs[0]])
            case _:
                return 0

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one inference of the network."""
        return sum(self.macs_of(op) for op in self.operators)

    def weight_shape(self, operator: Operator) -> Shape | None:
        """Shape of the operator's weights in TFLite's layout, None where it has none."""
        depth = self.shapes[operator.inputs[0]][-1]
        out = self.shapes[operator.output][-1]
        match operator:
            case Conv2D():
                return (out, *operator.kernel, depth)
            case DepthwiseConv2D():
                return (1, *operator.kernel, out)
            case FullyConnected():
                return (out, prod(self.shapes[operator.inputs[0]]))
            case _:
                return None

    @cached_property
    def parameters(self) -> int:
        """Weights and biases of the network, in elements."""
        total = 0
        for op in self.operators:
            shape = self.weight_shape(op)
            if shape is not None:
                total += prod(shape) + self.shapes[op.output][-1]
        return total

"""Operators and tensor shapes of a network, without weights: what the planner needs and no more.

Tensors are NHWC with batch 1, named; operators are named, in execution order, and write one tensor each.
Terms and padding rules are TensorFlow Lite's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

from ofa_mcu.space.operators import (
    Activation,
    Add,
    AveragePool2D,
    Binary,
    Cascade,
    Concatenation,
    Conv2D,
    ConvAdd,
    DepthwiseConv2D,
    Dequantize,
    FullyConnected,
    HardSwish,
    Logistic,
    MaxPool2D,
    Mean,
    Mul,
    Operator,
    Pad,
    Padding,
    Pool2D,
    Quantize,
    Relu,
    Relu6,
    Reshape,
    ResizeNearestNeighbor,
    Softmax,
    Squeeze,
    StridedSlice,
    Sub,
    Transpose,
    is_pointwise,
    same_padding,
    window_extent,
)

__all__ = [
    "Activation",
    "Add",
    "AveragePool2D",
    "Binary",
    "Cascade",
    "Concatenation",
    "Conv2D",
    "ConvAdd",
    "DepthwiseConv2D",
    "Dequantize",
    "FullyConnected",
    "HardSwish",
    "Logistic",
    "MaxPool2D",
    "Mean",
    "Mul",
    "Operator",
    "Pad",
    "Padding",
    "Pool2D",
    "Quantize",
    "Relu",
    "Relu6",
    "Reshape",
    "ResizeNearestNeighbor",
    "Shape",
    "ShapeGraph",
    "Softmax",
    "Squeeze",
    "StridedSlice",
    "Sub",
    "Transpose",
    "is_pointwise",
    "same_padding",
    "window_extent",
]

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ShapeGraph:
    """A network's operators in execution order and the shape of every activation tensor.

    `shapes` maps tensor name to shape with batch 1: mostly (1, H, W, C) or (1, C). Tensors are int8 but for those
    named in `floats`, float32 at the border of the network; those named in `constants` are written by nobody.
    """

    name: str
    shapes: Mapping[str, Shape]
    operators: tuple[Operator, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    floats: frozenset[str] = frozenset()
    constants: frozenset[str] = frozenset()

    def bytes_of(self, tensor: str) -> int:
        """Bytes of the tensor."""
        return prod(self.shapes[tensor]) * (4 if tensor in self.floats else 1)

    def rows_of(self, operator: FullyConnected) -> int:
        """How many input rows the layer multiplies with its weights."""
        return prod(self.shapes[operator.output][:-1])

    def macs_of(self, operator: Operator) -> int:
        """Multiply-accumulates of one inference of the operator; padding counts, additions do not."""
        out = self.shapes[operator.output]
        match operator:
            case Conv2D() | ConvAdd():
                return prod(out) * operator.kernel[0] * operator.kernel[1] * self.shapes[operator.inputs[0]][-1]
            case DepthwiseConv2D():
                return prod(out) * operator.kernel[0] * operator.kernel[1]
            case FullyConnected():
                return out[-1] * prod(self.shapes[operator.inputs[0]])
            case Cascade():
                return sum(map(self.macs_of, operator.steps))
            case _:
                return 0

    @cached_property
    def steps(self) -> tuple[Operator, ...]:
        """The operators, cascades taken apart."""
        return tuple(step for op in self.operators for step in (op.steps if isinstance(op, Cascade) else (op,)))

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one inference of the network."""
        return sum(self.macs_of(op) for op in self.operators)

    def weight_shape(self, operator: Operator) -> Shape | None:
        """Shape of the operator's weights in TFLite's layout, None where it has none."""
        if not isinstance(operator, Conv2D | ConvAdd | DepthwiseConv2D | FullyConnected):
            return None
        depth = self.shapes[operator.inputs[0]][-1]
        out = self.shapes[operator.output][-1]
        if isinstance(operator, Conv2D | ConvAdd):
            return (out, *operator.kernel, depth)
        if isinstance(operator, DepthwiseConv2D):
            return (1, *operator.kernel, out)
        return (out, prod(self.shapes[operator.inputs[0]]) // self.rows_of(operator))

    @cached_property
    def parameters(self) -> int:
        """Weights and biases of the network, in elements."""
        total = 0
        for op in self.steps:
            shape = self.weight_shape(op)
            if shape is not None:
                total += prod(shape) + self.shapes[op.output][-1]
        return total

"""Which kernel a layer gets and how many bytes of constants it takes, known from shapes alone."""

from __future__ import annotations

from math import prod

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.space.shapes import (
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Operator,
    Padding,
    ShapeGraph,
)

__all__ = ["CHANNEL_BLOCK", "DESCRIPTOR_BYTES", "kernel_of", "layer_bytes", "layer_kernel", "weight_bytes"]

CHANNEL_BLOCK = 4
"""Output channels whose weights lie side by side; the last block is filled with zeros."""

DESCRIPTOR_BYTES = {
    "ofa_pointwise": 28,
    "ofa_conv2d": 40,
    "ofa_depthwise": 36,
    "ofa_fully_connected": 28,
    "ofa_add": 24,
    "ofa_mean": 16,
}
"""Bytes of each kernel's layer descriptor on a core with 32-bit pointers."""


def kernel_of(operator: Operator) -> str:
    """Name of the C function that runs the operator; OfaMcuError where there is none."""
    _require_plain_options(operator)
    match operator:
        case Conv2D(kernel=(1, 1), stride=(1, 1), padding=padding) if padding == Padding():
            return "ofa_pointwise"
        case Conv2D():
            return "ofa_conv2d"
        case DepthwiseConv2D():
            return "ofa_depthwise"
        case FullyConnected():
            return "ofa_fully_connected"
        case Add():
            return "ofa_add"
        case Mean():
            return "ofa_mean"
    raise OfaMcuError(
        f"layer '{operator.name}' of type {type(operator).__name__} has no C kernel: use only operators of the "
        "supported kinds (Conv2D, DepthwiseConv2D, FullyConnected, Add, Mean)"
    )


def _require_plain_options(operator: Operator) -> None:
    what = ""
    if isinstance(operator, Conv2D | DepthwiseConv2D) and operator.dilation != (1, 1):
        what = f"dilation {operator.dilation}"
    elif isinstance(operator, DepthwiseConv2D) and operator.depth_multiplier != 1:
        what = f"depth multiplier {operator.depth_multiplier}"
    elif isinstance(operator, Mean) and operator.axes != (1, 2):
        what = f"a mean over axes {operator.axes}"
    if what:
        raise OfaMcuError(
            f"layer '{operator.name}' has {what}, for which there is no C kernel: export a model without it"
        )


def layer_kernel(structure: ShapeGraph, operator: Operator) -> str:
    """`kernel_of` a layer in its network; OfaMcuError, too, where the kernel cannot run it with its tensors."""
    kernel = kernel_of(operator)
    what = ""
    if not structure.constants.isdisjoint(operator.inputs):
        what = "reads a constant tensor"
    elif isinstance(operator, Add) and len({structure.shapes[name] for name in operator.inputs}) > 1:
        what = "adds tensors of different shapes"
    elif isinstance(operator, FullyConnected) and structure.rows_of(operator) != 1:
        what = f"multiplies {structure.rows_of(operator)} rows"
    if what:
        raise OfaMcuError(f"layer '{operator.name}' {what}, for which there is no C kernel: export a model without it")
    return kernel


def layer_bytes(structure: ShapeGraph, operator: Operator) -> int:
    """Bytes of constant data of one layer: packed weights, bias, multipliers, shifts, and the descriptor.

    Every array starts at a multiple of 4 and takes a multiple of 4 bytes, so sums hold for the linked image, too.
    """
    total = DESCRIPTOR_BYTES[layer_kernel(structure, operator)]
    shape = structure.weight_shape(operator)
    if shape is None:
        return total
    channels = structure.shapes[operator.output][-1]
    taps = prod(shape) // channels
    padded = -(-channels // CHANNEL_BLOCK) * CHANNEL_BLOCK
    return total + padded * taps + 4 * channels + 4 * channels + padded


def weight_bytes(structure: ShapeGraph) -> int:
    """Bytes of constant data (.rodata) of the C generated for the graph, whatever its weights."""
    return sum(layer_bytes(structure, operator) for operator in structure.operators)

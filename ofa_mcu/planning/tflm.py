"""The arena TensorFlow Lite Micro would need for the same graph: its greedy planner, re-computed, and its structures.

TFLM places tensors by falling size, the one later in the file first among equals, each at the first gap that is
large enough, at multiples of 16 bytes; the buffers that its mean works in come after all tensors. Inputs are alive
before the first operator. That is the "head" of its arena, and exact for its reference kernels.

The "tail" holds persistent structures. Their sizes are those of a 32-bit core (from the layouts in TFLM's headers, the
largest of the releases seen), so the tail is an upper bound, and so is what CMSIS-NN's kernels work in, by the formulas
its headers give. Together with the head they are 1.6 to 16 % above what TFLM took on a Cortex-M7 for four models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from ofa_mcu.space.shapes import (
    AveragePool2D,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Operator,
    Pad,
    ShapeGraph,
    StridedSlice,
)

__all__ = ["TFLM_STACK_BYTES", "TflmNeeds", "tflm_arena_needs", "tflm_head_bytes"]

TFLM_STACK_BYTES = 4096
"""Stack reserve with TFLite Micro, whose set-up descends deeper than compiled code; what is used is measured."""

_ALIGNMENT = 16
_FIXED_BYTES = 512
"""Allocators, planner and graph."""
_OPERATOR_BYTES = 160
"""Node and registration 44, parsed options 40 at most, the kernel's own data 84 at most."""
_CHANNEL_BYTES = 8
"""Multiplier and shift."""
_TENSOR_BYTES, _END_BYTES = 12, 88
"""Of every tensor, and beyond that of inputs and outputs."""
_ALLOCATION_BYTES, _PLANNED_BYTES = 24, 40
"""While the head is laid out, in its place: of every tensor, and of those that get a place."""
_SLACK_BYTES = 64
"""Alignment at both ends."""
_MVE_CHANNELS = 124
"""Channels that CMSIS-NN's vector kernel of a depthwise convolution takes at a time."""


@dataclass(frozen=True)
class TflmNeeds:
    """Bytes of TFLM's arena: `head` activations and scratch, `tail` persistent structures, both upper bounds.

    An arena below `least_bytes` cannot be large enough.
    """

    head: int
    tail: int
    least_bytes: int

    @property
    def arena_bytes(self) -> int:
        """An arena that is large enough."""
        return -(-(self.head + self.tail + _SLACK_BYTES) // _ALIGNMENT) * _ALIGNMENT


def tflm_arena_needs(graph: ShapeGraph, cmsis_nn: bool = False) -> TflmNeeds:
    """What TFLM needs of its arena on a 32-bit core for a graph as it is in the file, with or without CMSIS-NN."""
    weighted = [op for op in graph.operators if graph.weight_shape(op) is not None]
    placed = len(graph.inputs) + len(graph.operators)
    tensors = placed + len(graph.constants) + sum(map(_constants_of, graph.operators))
    channels = sum(graph.shapes[op.output][-1] for op in weighted)
    tail = (
        _FIXED_BYTES
        + _OPERATOR_BYTES * len(graph.operators)
        + _CHANNEL_BYTES * channels
        + _TENSOR_BYTES * tensors
        + _END_BYTES * (len(graph.inputs) + len(graph.outputs))
    )
    scratch = {op.name: _cmsis_nn_bytes(graph, op) for op in graph.operators} if cmsis_nn else {}
    planning = _ALLOCATION_BYTES * tensors + _PLANNED_BYTES * placed
    head = max(tflm_head_bytes(graph, scratch), planning)
    # The bound on the tail is less than twice what is taken.
    return TflmNeeds(head, tail, tflm_head_bytes(graph) + tail // 2)


def _constants_of(operator: Operator) -> int:
    """Tensors of constants that an operator reads in the file."""
    match operator:
        case Conv2D() | DepthwiseConv2D() | FullyConnected() | Pad():
            return 2
        case StridedSlice():
            return 3
        case _:
            return 1


def _cmsis_nn_bytes(graph: ShapeGraph, operator: Operator) -> int:
    """The largest buffer that CMSIS-NN asks for on any core."""
    channels = graph.shapes[operator.inputs[0]][-1]
    match operator:
        case Conv2D():
            taps = prod(operator.kernel) * channels
            return 0 if tuple(operator.kernel) == (1, 1) else 4 * (-(-taps // 4) * 4)
        case DepthwiseConv2D():
            return prod(operator.kernel) * max(2 * channels, 4 * min(channels, _MVE_CHANNELS))
        case FullyConnected():
            return 4 * graph.shapes[operator.output][-1]
        case AveragePool2D():
            return 4 * channels
        case _:
            return 0


def tflm_head_bytes(graph: ShapeGraph, scratch: Mapping[str, int] | None = None) -> int:
    """Bytes of TFLM's arena head: activations and scratch buffers of the graph as its greedy planner lays them out.

    `scratch` has further bytes that kernels other than the reference ones ask for, by operator name.
    """
    names = [*graph.inputs, *(op.output for op in graph.operators)]
    born = dict.fromkeys(graph.inputs, -1) | {op.output: i for i, op in enumerate(graph.operators)}
    last = {name: i for i, op in enumerate(graph.operators) for name in op.inputs}
    last |= {name: len(graph.operators) - 1 for name in graph.outputs}
    wanted = [(graph.bytes_of(name), born[name], last.get(name, born[name])) for name in names]
    for i, op in enumerate(graph.operators):
        if isinstance(op, Mean):
            # an int32 for every output, a position in the input, the axes
            sums = 4 * graph.bytes_of(op.output)
            position, axes = 4 * len(graph.shapes[op.inputs[0]]), 4 * len(op.axes)
            wanted += [(size, i, i) for size in (sums, position, axes)]
        if scratch and scratch.get(op.name):
            wanted.append((scratch[op.name], i, i))
    sizes = [-(-size // _ALIGNMENT) * _ALIGNMENT for size, _, _ in wanted]
    order = sorted(range(len(wanted)), key=lambda i: (-sizes[i], -i))
    placed: list[tuple[int, int, int, int]] = []  # offset, end, first, last
    for index in order:
        _, first, final = wanted[index]
        offset = 0
        for start, end, other_first, other_last in sorted(placed):
            if other_first > final or other_last < first:
                continue
            if start >= offset + sizes[index]:
                break
            offset = max(offset, end)
        placed.append((offset, offset + sizes[index], first, final))
    return max(end for _, end, _, _ in placed)

"""Which operators keep channels apart: channel c of the output from channel c of an input, perhaps by an offset."""

from __future__ import annotations

from itertools import accumulate

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.space.shapes import (
    Binary,
    Concatenation,
    DepthwiseConv2D,
    HardSwish,
    Logistic,
    Mean,
    Operator,
    Pad,
    Pool2D,
    Quantize,
    Relu,
    Relu6,
    Reshape,
    ResizeNearestNeighbor,
    Shape,
    Squeeze,
)

__all__ = ["Spans", "channel_spans"]

Spans = tuple[slice, ...]


def channel_spans(graph: Int8Graph, operator: Operator) -> tuple[slice, ...]:
    """Of each input: the channels of the output that depend on its channels one by one, and on no others of it.

    Empty where the operator mixes channels or moves them about.
    """
    structure = graph.structure
    named = (*operator.inputs, operator.output)
    shapes = [structure.shapes[name] for name in named]
    if not structure.constants.isdisjoint(named) or not structure.floats.isdisjoint(named):
        return ()
    if any(shape[:1] != (1,) for shape in shapes):
        return ()
    if isinstance(operator, Concatenation):
        if operator.axis < len(shapes[0]) - 1:
            return (slice(None),) * len(operator.inputs)
        ends = list(accumulate(shape[-1] for shape in shapes[:-1]))
        return tuple(slice(end - shape[-1], end) for end, shape in zip(ends, shapes, strict=False))
    return (slice(None),) * len(operator.inputs) if _maps_channels(operator, shapes) else ()


def _maps_channels(operator: Operator, shapes: list[Shape]) -> bool:
    """Whether channel c of the output depends on channel c of every input and on no other."""
    match operator:
        case DepthwiseConv2D():
            return operator.depth_multiplier == 1
        case Mean():
            return len(shapes[0]) - 1 not in operator.axes
        case Pad():
            return operator.padding[-1] == (0, 0)
        case Binary() | Reshape() | Squeeze():
            return len({shape[-1] for shape in shapes}) == 1
        case Pool2D() | HardSwish() | Logistic() | Quantize() | Relu() | Relu6() | ResizeNearestNeighbor():
            return True
        case _:
            return False

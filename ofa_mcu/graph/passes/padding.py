"""Lets a convolution pad its input itself, which spares the padded copy."""

from __future__ import annotations

from dataclasses import replace

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes.editing import readers_of, rebuilt
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, Operator, Pad, Padding

__all__ = ["fold_padding"]


def fold_padding(graph: Int8Graph) -> Int8Graph:
    """The graph without the Pads that only convolutions read, whose `padding` grows by them.

    Exact where a Pad writes the zero point around height and width only and its input has the same quantization as its
    output, since then the convolution sees the same codes; a layer that has padding of its own keeps it on the outside.
    """
    readers = readers_of(graph)
    folded: dict[str, Pad] = {}
    for operator in graph.structure.operators:
        if isinstance(operator, Pad) and _foldable(graph, operator, readers.get(operator.output, [])):
            folded[operator.output] = operator
    kept = [_padded(op, folded) for op in graph.structure.operators if op.output not in folded]
    return rebuilt(graph, kept)


def _foldable(graph: Int8Graph, pad: Pad, readers: list[Operator]) -> bool:
    (source,) = pad.inputs
    quantization = graph.quantization[pad.output]
    return (
        bool(readers)
        and all(isinstance(reader, Conv2D | DepthwiseConv2D) for reader in readers)
        and pad.output not in graph.structure.outputs
        and len(pad.padding) == 4
        and pad.padding[0] == pad.padding[3] == (0, 0)
        and pad.value in (None, quantization.zero_point)
        and graph.quantization[source] == quantization
    )


def _padded(operator: Operator, folded: dict[str, Pad]) -> Operator:
    if not isinstance(operator, Conv2D | DepthwiseConv2D) or operator.inputs[0] not in folded:
        return operator
    pad = folded[operator.inputs[0]]
    (top, bottom), (left, right) = pad.padding[1:3]
    own = operator.padding
    around = Padding(own.top + top, own.bottom + bottom, own.left + left, own.right + right)
    return replace(operator, inputs=pad.inputs, padding=around)

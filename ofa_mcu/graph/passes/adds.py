"""Sums that the layer before them can write at once: finding them, and making one operator of a convolution and a sum.

The fused operator is exact whatever kernel runs it, but only pointwise convolutions have one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes.editing import readers_of, rebuilt, writers_of
from ofa_mcu.space.shapes import Activation, Add, Conv2D, ConvAdd, DepthwiseConv2D, FullyConnected, Operator, Padding

__all__ = ["AddFusion", "fuse_add", "fuse_adds"]


@dataclass(frozen=True)
class AddFusion:
    """The layer `producer` could add `other` (of its output's shape, written before it runs) in place of `add`.

    `position` is that of the producer's output among the sum's inputs. All but `other` are operator names.
    """

    producer: str
    add: str
    other: str
    position: int


def fuse_add(graph: Int8Graph) -> tuple[AddFusion, ...]:
    """The possible fusions in order of the sums; a sum of two such layers is found with the later one.

    A producer has no activation of its own, and nobody but the sum reads what it writes.
    """
    structure = graph.structure
    readers, writers = readers_of(graph), writers_of(graph)
    order = {op.output: place for place, op in enumerate(structure.operators)}
    found = []
    for add in structure.operators:
        if not isinstance(add, Add) or len({structure.shapes[name] for name in (*add.inputs, add.output)}) > 1:
            continue
        for position, name in enumerate(add.inputs):
            other = add.inputs[1 - position]
            producer = writers.get(name)
            if not isinstance(producer, Conv2D | DepthwiseConv2D | FullyConnected):
                continue
            alone = len(readers[name]) == 1 and name not in structure.outputs
            linear = producer.activation is Activation.NONE
            if alone and linear and other not in structure.constants and order.get(other, -1) < order[name]:
                found.append(AddFusion(producer.name, add.name, other, position))
    return tuple(found)


def fuse_adds(graph: Int8Graph, producers: Collection[str] | None = None) -> Int8Graph:
    """The graph with one ConvAdd for a pointwise convolution and the sum that reads it, under the convolution's name.

    With `producers` only for the convolutions of these names. A layer that adds its own input stays as it is.
    """
    named = {op.name: op for op in graph.structure.operators}
    fused: dict[str, ConvAdd] = {}
    gone: set[str] = set()
    for fusion in fuse_add(graph):
        convolution, add = named[fusion.producer], named[fusion.add]
        if not isinstance(convolution, Conv2D) or not isinstance(add, Add) or not _is_pointwise(convolution):
            continue
        if (producers is None or convolution.name in producers) and fusion.other != convolution.inputs[0]:
            gone.add(add.name)
            fused[convolution.name] = ConvAdd(
                name=convolution.name,
                inputs=(convolution.inputs[0], fusion.other),
                output=add.output,
                middle=convolution.output,
                kernel=convolution.kernel,
                stride=convolution.stride,
                padding=convolution.padding,
                activation=convolution.activation,
                dilation=convolution.dilation,
                sum_activation=add.activation,
            )
    if not fused:
        return graph
    operators: list[Operator] = [fused.get(op.name, op) for op in graph.structure.operators if op.name not in gone]
    return rebuilt(graph, operators)


def _is_pointwise(operator: Conv2D) -> bool:
    plain = operator.kernel == (1, 1) and operator.stride == (1, 1) and operator.dilation == (1, 1)
    return plain and operator.padding == Padding()

"""Finds the sums that the layer before them could write at once: what a fused kernel may do; nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes.editing import readers_of, writers_of
from ofa_mcu.space.shapes import Activation, Add, Conv2D, DepthwiseConv2D, FullyConnected

__all__ = ["AddFusion", "fuse_add"]


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

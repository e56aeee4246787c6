"""Leaves out what nobody reads."""

from __future__ import annotations

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes.editing import rebuilt
from ofa_mcu.space.shapes import Operator

__all__ = ["drop_unread"]


def drop_unread(graph: Int8Graph) -> Int8Graph:
    """The graph without operators whose output neither an operator that stays reads nor the caller."""
    needed = set(graph.structure.outputs)
    kept: list[Operator] = []
    for operator in reversed(graph.structure.operators):
        if operator.output in needed:
            kept.append(operator)
            needed.update(operator.inputs)
    return rebuilt(graph, reversed(kept))

"""Finds tensors that hold the same codes in the same order as another one: reshapes need no memory and no time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.space.shapes import Operator, Reshape, ShapeGraph, Squeeze, Transpose

__all__ = ["Aliases", "alias_reshapes"]


@dataclass(frozen=True)
class Aliases:
    """`root` maps every tensor that is another one under a new shape to the tensor that is really written.

    The operators in `free` move nothing: whoever reads their output reads the root's bytes.
    """

    root: Mapping[str, str]
    free: frozenset[str]


def alias_reshapes(graph: Int8Graph) -> Aliases:
    """The aliases by Reshape, Squeeze, and a Transpose that only moves axes of extent 1.

    An output of the graph may be an alias, of an input, too; a constant has none.
    """
    root: dict[str, str] = {}
    free = set()
    for operator in graph.structure.operators:
        if _moves_nothing(graph.structure, operator) and operator.inputs[0] not in graph.structure.constants:
            source = operator.inputs[0]
            root[operator.output] = root.get(source, source)
            free.add(operator.name)
    return Aliases(root, frozenset(free))


def _moves_nothing(structure: ShapeGraph, operator: Operator) -> bool:
    match operator:
        case Reshape() | Squeeze():
            return True
        case Transpose():
            shape = structure.shapes[operator.inputs[0]]
            real = [axis for axis in operator.permutation if shape[axis] > 1]
            return real == sorted(real)
        case _:
            return False

"""Takes reshapes away: a tensor that holds the codes of another one in the same order needs no memory and no time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes.editing import operator_named, rebuilt, renamed
from ofa_mcu.graph.passes.shaping import reshaped
from ofa_mcu.graph.passes.views import Rewrite
from ofa_mcu.space.shapes import Operator, Reshape, ShapeGraph, Squeeze, Transpose

__all__ = ["Aliases", "alias_reshapes", "moves_nothing", "remove_reshapes"]


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
        if moves_nothing(graph.structure, operator) and operator.inputs[0] not in graph.structure.constants:
            source = operator.inputs[0]
            root[operator.output] = root.get(source, source)
            free.add(operator.name)
    return Aliases(root, frozenset(free))


def moves_nothing(structure: ShapeGraph, operator: Operator) -> bool:
    """Whether the operator only gives its input another shape."""
    match operator:
        case Reshape() | Squeeze():
            return True
        case Transpose():
            shape = structure.shapes[operator.inputs[0]]
            real = [axis for axis in operator.permutation if shape[axis] > 1]
            return real == sorted(real)
        case _:
            return False


def remove_reshapes(graph: Int8Graph) -> Rewrite:
    """The graph without the operators that move nothing, wherever the tensors before and behind can share one shape.

    The tensor behind such an operator takes the place of the one before if it is an output of the graph, else it goes.
    What stays are a reshape between operators that need one shape each, one from an input of the graph to an output,
    and one whose output has another quantization than its input.
    """
    aliases: dict[str, str] = {}
    plain = [
        Reshape(name=op.name, inputs=op.inputs, output=op.output) if moves_nothing(graph.structure, op) else op
        for op in graph.structure.operators
    ]
    graph = rebuilt(graph, plain)
    for operator in plain:
        if not isinstance(operator, Reshape):
            continue
        merged = _merged(graph, operator.name)
        if merged is not None:
            graph, gone, left = merged
            aliases = {name: left if root == gone else root for name, root in aliases.items()} | {gone: left}
    return Rewrite(graph, aliases=aliases)


def _merged(graph: Int8Graph, name: str) -> tuple[Int8Graph, str, str] | None:
    """The graph without the Reshape of this name, the tensor that is gone, and the one in its place."""
    structure = graph.structure
    operator = operator_named(graph, name)
    before, after = operator.inputs[0], operator.output
    exposed = before in (*structure.inputs, *structure.outputs) and after in structure.outputs
    if exposed or before in structure.constants or graph.quantization.get(before) != graph.quantization.get(after):
        return None
    trials = [{after: structure.shapes[before]}, {before: structure.shapes[after]}]
    if after in structure.outputs:
        trials.reverse()
    found = next((shaped for trial in trials if (shaped := reshaped(graph, trial)) is not None), None)
    if found is None:
        return None
    gone, left = (before, after) if after in structure.outputs else (after, before)
    kept = [op for op in found.structure.operators if op.name != name]
    shorter = replace(found, structure=replace(found.structure, operators=tuple(kept)))
    return renamed(shorter, {gone: left}), gone, left

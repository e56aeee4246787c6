"""Computes at compile time what depends on constants only."""

from __future__ import annotations

from ofa_mcu.graph import reference
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes.editing import rebuilt
from ofa_mcu.space.shapes import Dequantize

__all__ = ["fold_constants"]


def fold_constants(graph: Int8Graph) -> Int8Graph:
    """The graph without the operators all of whose inputs are constants; their outputs are constants instead.

    An output of the graph may be a constant, but a float32 one is not: its Dequantize stays.
    """
    constants = dict(graph.constants)
    kept = []
    for operator in graph.structure.operators:
        if isinstance(operator, Dequantize) or not all(name in constants for name in operator.inputs):
            kept.append(operator)
            continue
        sources = [constants[name] for name in operator.inputs]
        images = [codes.reshape(1, *reference.image_shape(codes.shape)) for codes in sources]
        shape = graph.structure.shapes[operator.output]
        constants[operator.output] = reference.run_operator(graph, operator, *images).reshape(shape)
    return rebuilt(graph, kept, constants=constants)

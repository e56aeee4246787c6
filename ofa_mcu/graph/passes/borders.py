"""Leaves the QUANTIZE of float inputs and the DEQUANTIZE of float outputs to the caller."""

from __future__ import annotations

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes.editing import readers_of, rebuilt
from ofa_mcu.space.shapes import Dequantize, Operator, Quantize

__all__ = ["fold_borders"]


def fold_borders(graph: Int8Graph) -> Int8Graph:
    """The graph with int8 inputs and outputs, each in the place of the float32 tensor that it stands for.

    A float input that is quantized in several ways, or that is an output, stays; so does an output that is made of an
    input. Several outputs may become one and the same tensor.
    """
    readers = readers_of(graph)
    floats = graph.structure.floats
    inputs, outputs = list(graph.structure.inputs), list(graph.structure.outputs)
    gone: set[str] = set()
    for position, name in enumerate(inputs):
        quantizers: list[Operator] = readers.get(name, []) if name in floats else []
        if len(quantizers) == 1 and isinstance(quantizers[0], Quantize) and name not in outputs:
            inputs[position] = quantizers[0].output
            gone.add(quantizers[0].name)
    for operator in graph.structure.operators:
        if isinstance(operator, Dequantize):
            (source,) = operator.inputs
            if source in inputs:
                continue
            outputs = [source if name == operator.output else name for name in outputs]
            gone.add(operator.name)
    kept = (operator for operator in graph.structure.operators if operator.name not in gone)
    return rebuilt(graph, kept, inputs=tuple(inputs), outputs=tuple(outputs))

"""Lets an operator clamp its own output where a standalone activation only clamps codes."""

from __future__ import annotations

from dataclasses import replace

from ofa_mcu.graph.arithmetic import activation_range
from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.graph.passes.editing import readers_of, rebuilt
from ofa_mcu.space.shapes import (
    Activation,
    Binary,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Operator,
    Pool2D,
    Relu,
    Relu6,
)

__all__ = ["fuse_relu"]

_Clamping = Conv2D | DepthwiseConv2D | FullyConnected | Binary | Pool2D


def fuse_relu(graph: Int8Graph) -> Int8Graph:
    """The graph without the Relus and Relu6s that read, alone, the output of an operator with a fused activation.

    Exact, and done only, where the Relu's input and output have the same quantization and some activation clamps to
    just the range that both clamps leave.
    """
    readers = readers_of(graph)
    operators: dict[str, Operator] = {}  # by output, in execution order
    for operator in graph.structure.operators:
        producer = operators.get(operator.inputs[0]) if isinstance(operator, Relu | Relu6) else None
        if isinstance(producer, _Clamping):
            alone = len(readers[producer.output]) == 1 and producer.output not in graph.structure.outputs
            quantization = graph.quantization[producer.output]
            if alone and quantization == graph.quantization[operator.output]:
                both = _both(producer.activation, operator, quantization)
                if both is not None:
                    place = list(operators)
                    fused = replace(producer, activation=both, output=operator.output)
                    operators = {
                        (fused.output if name == producer.output else name): (
                            fused if name == producer.output else operators[name]
                        )
                        for name in place
                    }
                    continue
        operators[operator.output] = operator
    return rebuilt(graph, operators.values())


def _both(first: Activation, operator: Operator, quantization: Quantization) -> Activation | None:
    """The one activation that clamps as `first` and then the Relu or Relu6, None where there is none."""
    second = Activation.RELU6 if isinstance(operator, Relu6) else Activation.RELU
    ranges = {activation: activation_range(activation, quantization) for activation in Activation}
    wanted = max(ranges[first][0], ranges[second][0]), min(ranges[first][1], ranges[second][1])
    return next((activation for activation, limits in ranges.items() if limits == wanted), None)

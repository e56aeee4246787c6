"""Checks that an int8 graph hangs together, so that everything behind it may rely on that."""

from __future__ import annotations

import numpy as np

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.space.shapes import Add, Conv2D, DepthwiseConv2D, FullyConnected, Mean, Operator, Shape

__all__ = ["check_graph"]

_SMALLEST = float(np.finfo(np.float32).smallest_subnormal)
_LARGEST = float(np.finfo(np.float32).max)


def check_graph(graph: Int8Graph) -> None:
    """Raises OfaMcuError, naming graph and layer, unless order, names, shapes, types and scales are consistent."""
    structure = graph.structure
    known: set[str] = set()
    for name in structure.inputs:
        _check_tensor(graph, name)
        known.add(name)
    seen: set[str] = set()
    for operator in structure.operators:
        if operator.name in seen:
            raise _error(graph, operator, "has the name of an earlier layer", "give every layer a name of its own")
        seen.add(operator.name)
        for name in operator.inputs:
            if name not in known:
                raise _error(
                    graph, operator, f"reads tensor '{name}' before it is written", "put the layers in execution order"
                )
        if operator.output in known:
            raise _error(graph, operator, f"writes tensor '{operator.output}' a second time", "name every tensor once")
        _check_tensor(graph, operator.output)
        expected = _output_shape(graph, operator)
        if structure.shapes[operator.output] != expected:
            raise _error(
                graph,
                operator,
                f"writes shape {expected} but its output '{operator.output}' is {structure.shapes[operator.output]}",
                "correct the shape of that tensor",
            )
        if isinstance(operator, Conv2D | DepthwiseConv2D | FullyConnected):
            _check_parameters(graph, operator)
        known.add(operator.output)
    for name in structure.outputs:
        if name not in known:
            raise OfaMcuError(
                f"output '{name}' of graph '{structure.name}' is written by no layer: name a tensor that is"
            )


def _error(graph: Int8Graph, operator: Operator, what: str, remedy: str) -> OfaMcuError:
    return OfaMcuError(f"layer '{operator.name}' of graph '{graph.structure.name}' {what}: {remedy}")


def _check_tensor(graph: Int8Graph, name: str) -> None:
    where = f"tensor '{name}' of graph '{graph.structure.name}'"
    shape = graph.structure.shapes.get(name)
    if shape is None or name not in graph.quantization:
        raise OfaMcuError(f"{where} has no shape or no quantization: supply both")
    if len(shape) not in (2, 4) or shape[0] != 1 or min(shape) < 1:
        raise OfaMcuError(f"{where} has shape {shape}: use (1, H, W, C) or (1, C) with positive sizes")
    quantization = graph.quantization[name]
    if not _SMALLEST <= quantization.scale <= _LARGEST:
        raise OfaMcuError(f"{where} has scale {quantization.scale}: use a positive float32 value")
    if not -128 <= quantization.zero_point <= 127:
        raise OfaMcuError(f"{where} has zero point {quantization.zero_point}: use a value from -128 to 127")


def _output_shape(graph: Int8Graph, operator: Operator) -> Shape:
    """Shape the operator writes, from its inputs and parameters."""
    shapes = [graph.structure.shapes[name] for name in operator.inputs]
    wanted = 2 if isinstance(operator, Add) else 1
    if len(shapes) != wanted:
        raise _error(graph, operator, f"has {len(shapes)} inputs", f"give it {wanted}")
    source = shapes[0]
    if isinstance(operator, Conv2D | DepthwiseConv2D | Mean) and len(source) != 4:
        raise _error(graph, operator, f"reads a tensor of shape {source}", "give it one of shape (1, H, W, C)")
    match operator:
        case Conv2D() | DepthwiseConv2D():
            pad = operator.padding
            height = (source[1] + pad.top + pad.bottom - operator.kernel[0]) // operator.stride[0] + 1
            width = (source[2] + pad.left + pad.right - operator.kernel[1]) // operator.stride[1] + 1
            channels = source[3] if isinstance(operator, DepthwiseConv2D) else _channels(graph, operator)
            return (1, height, width, channels)
        case FullyConnected():
            return (1, _channels(graph, operator))
        case Mean():
            return (1, source[3])
        case Add() if shapes[0] != shapes[1]:
            raise _error(graph, operator, f"adds shapes {shapes[0]} and {shapes[1]}", "give it two equal shapes")
        case Add():
            return source
        case _:
            raise _error(
                graph, operator, f"is of type {type(operator).__name__}", "use only operators the int8 graph knows"
            )


def _channels(graph: Int8Graph, operator: Operator) -> int:
    parameters = graph.parameters.get(operator.name)
    if parameters is None:
        raise _error(graph, operator, "has no weights", "supply its parameters")
    return parameters.bias.size


def _check_parameters(graph: Int8Graph, operator: Operator) -> None:
    parameters = graph.parameters.get(operator.name)
    expected = graph.structure.weight_shape(operator)
    if parameters is None or expected is None:
        raise _error(graph, operator, "has no weights", "supply its parameters")
    if parameters.weights.dtype != np.int8 or parameters.weights.shape != expected:
        raise _error(
            graph,
            operator,
            f"has {parameters.weights.dtype} weights {parameters.weights.shape}",
            f"supply int8 weights {expected}",
        )
    channels = expected[-1 if isinstance(operator, DepthwiseConv2D) else 0]
    if parameters.bias.dtype != np.int32 or parameters.bias.shape != (channels,):
        raise _error(
            graph,
            operator,
            f"has {parameters.bias.dtype} biases {parameters.bias.shape}",
            f"supply int32 biases ({channels},)",
        )
    scales = parameters.weight_scales
    if scales.dtype != np.float32 or scales.shape not in ((1,), (channels,)):
        raise _error(
            graph, operator, f"has {scales.dtype} weight scales {scales.shape}", f"supply float32 (1,) or ({channels},)"
        )
    if not (np.isfinite(scales).all() and scales.min() > 0):
        raise _error(graph, operator, "has a weight scale that is not positive", "use positive float32 scales")

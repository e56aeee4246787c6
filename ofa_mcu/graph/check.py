"""Checks that an int8 graph hangs together, so that everything behind it may rely on that."""

from __future__ import annotations

import numpy as np

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.graph.output_shapes import OptionError, output_shape
from ofa_mcu.space.shapes import Conv2D, ConvAdd, DepthwiseConv2D, Dequantize, FullyConnected, Operator, Quantize

__all__ = ["check_graph"]

_MOST_AXES = 5
_SMALLEST = float(np.finfo(np.float32).smallest_subnormal)
_LARGEST = float(np.finfo(np.float32).max)


def check_graph(graph: Int8Graph) -> None:
    """Raises OfaMcuError, naming graph and layer, unless order, names, shapes, types and scales are consistent."""
    structure = graph.structure
    _check_constants(graph)
    known: set[str] = set(structure.constants)
    _check_ends(graph)
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
        _check_types(graph, operator)
        try:
            expected = output_shape(graph, operator)
        except OptionError as error:
            raise _error(graph, operator, error.what, error.remedy) from None
        if structure.shapes[operator.output] != expected:
            raise _error(
                graph,
                operator,
                f"writes shape {expected} but its output '{operator.output}' is {structure.shapes[operator.output]}",
                "correct the shape of that tensor",
            )
        if isinstance(operator, Conv2D | ConvAdd | DepthwiseConv2D | FullyConnected):
            _check_parameters(graph, operator)
        if isinstance(operator, ConvAdd):
            _check_middle(graph, operator)
        known.add(operator.output)
    for name in structure.outputs:
        if name not in known:
            raise OfaMcuError(
                f"output '{name}' of graph '{structure.name}' is written by no layer: name a tensor that is"
            )


def _check_ends(graph: Int8Graph) -> None:
    """There is something to take and something to give, and no input counts twice. Outputs may."""
    structure = graph.structure
    for kind, names in (("inputs", structure.inputs), ("outputs", structure.outputs)):
        if not names:
            raise OfaMcuError(f"graph '{structure.name}' has no {kind}: export a model with at least one")
    twice = [name for name in structure.inputs if structure.inputs.count(name) > 1]
    if twice:
        raise OfaMcuError(
            f"graph '{structure.name}' has tensor '{twice[0]}' as several of its inputs: name every input once"
        )


def _error(graph: Int8Graph, operator: Operator, what: str, remedy: str) -> OfaMcuError:
    return OfaMcuError(f"layer '{operator.name}' of graph '{graph.structure.name}' {what}: {remedy}")


def _check_tensor(graph: Int8Graph, name: str) -> None:
    where = f"tensor '{name}' of graph '{graph.structure.name}'"
    shape = graph.structure.shapes.get(name)
    real = name in graph.structure.floats
    if shape is None or (name not in graph.quantization and not real):
        raise OfaMcuError(f"{where} has no shape or no quantization: supply both")
    lowest = 0 if name in graph.structure.constants else 1
    if not lowest <= len(shape) <= _MOST_AXES or min(shape, default=1) < 1:
        raise OfaMcuError(f"{where} has shape {shape}: use (1, H, W, C) or (1, C) with positive sizes")
    if real:
        return
    quantization = graph.quantization[name]
    _check_quantization(where, quantization)


def _check_quantization(where: str, quantization: Quantization) -> None:
    if not _SMALLEST <= quantization.scale <= _LARGEST:
        raise OfaMcuError(f"{where} has scale {quantization.scale}: use a positive float32 value")
    if not -128 <= quantization.zero_point <= 127:
        raise OfaMcuError(f"{where} has zero point {quantization.zero_point}: use a value from -128 to 127")


def _check_middle(graph: Int8Graph, operator: ConvAdd) -> None:
    """The tensor between convolution and sum has a quantization, and that is all there is of it."""
    if operator.middle in graph.structure.shapes or operator.middle not in graph.quantization:
        raise _error(
            graph,
            operator,
            f"adds to tensor '{operator.middle}', which has a place in memory or no quantization",
            "name a tensor that nobody else names and supply its quantization",
        )
    where = f"tensor '{operator.middle}' of graph '{graph.structure.name}'"
    _check_quantization(where, graph.quantization[operator.middle])


def _check_constants(graph: Int8Graph) -> None:
    """The names in the structure are those with content, int8 in the tensor's shape."""
    structure = graph.structure
    for name in sorted(structure.constants | graph.constants.keys()):
        value = graph.constants.get(name)
        if value is None or name not in structure.constants or name in structure.inputs or name in structure.floats:
            raise OfaMcuError(
                f"constant '{name}' of graph '{structure.name}' is an input, has no content or is not declared: "
                "name every constant in the structure and supply its codes"
            )
        _check_tensor(graph, name)
        if value.dtype != np.int8 or value.shape != structure.shapes[name]:
            raise OfaMcuError(
                f"constant '{name}' of graph '{structure.name}' is {value.dtype} {value.shape}: "
                f"supply int8 codes {structure.shapes[name]}"
            )


def _check_types(graph: Int8Graph, operator: Operator) -> None:
    """Float tensors lie at the border: inputs that only a Quantize reads, outputs that a Dequantize writes."""
    structure = graph.structure
    for name in operator.inputs:
        if name in structure.floats and not (isinstance(operator, Quantize) and name in structure.inputs):
            raise _error(graph, operator, f"reads float tensor '{name}'", "quantize inputs first, and nothing twice")
    real = operator.output in structure.floats
    if real is not isinstance(operator, Dequantize) or (real and operator.output not in structure.outputs):
        raise _error(
            graph,
            operator,
            f"writes {'float' if real else 'int8'} tensor '{operator.output}'",
            "make floats only by a Dequantize, and of outputs only",
        )


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

"""Removes channels whose codes are the same for every input, or that nobody needs.

A channel is constant where its weights are zero wherever its input varies. Whoever reads it takes its share into the
bias, which is exact unless the reader pads: there the constant must be the zero point.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph import reference
from ofa_mcu.graph.ir import Int8Graph, Parameters
from ofa_mcu.graph.passes.editing import readers_of, rebuilt, writers_of
from ofa_mcu.space.shapes import (
    Binary,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    HardSwish,
    Logistic,
    Mean,
    Operator,
    Pad,
    Padding,
    Pool2D,
    Quantize,
    Relu,
    Relu6,
    Reshape,
    Squeeze,
)

__all__ = ["LiveChannels", "remove_dead_channels"]

Bools = NDArray[np.bool_]
Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LiveChannels:
    """The graph without dead channels; `kept` maps each narrowed tensor to the channels it still has, ascending."""

    graph: Int8Graph
    kept: Mapping[str, NDArray[np.int64]]


def remove_dead_channels(graph: Int8Graph, *, multiple: int = 1, keep: Collection[str] = ()) -> LiveChannels:
    """Drops every channel that is constant or unneeded and whose writer and readers can all do without it.

    At least one channel of every tensor stays, and of the tensors in `keep` every one. With a `multiple`, so many dead
    channels stay, the first ones, that the count of a narrowed tensor is a multiple of it. Weights, biases and shapes
    shrink; codes of what stays do not change.
    """
    constant = _constant_channels(graph)
    pinned = {name: np.ones(len(constant[name][0]), bool) for name in keep if name in constant}
    while True:
        dead = _removable(graph, constant, pinned)
        more = {name: first for name, channels in dead.items() if (first := _wanted(channels, multiple)).any()}
        if not more:
            break
        for name, channels in more.items():
            pinned[name] = pinned.get(name, np.zeros_like(channels)) | channels
    dead = {name: channels for name, channels in dead.items() if channels.any()}
    parameters = {name: _narrowed(graph, name, given, dead, constant) for name, given in graph.parameters.items()}
    shapes = dict(graph.structure.shapes)
    for name, channels in dead.items():
        shapes[name] = (*shapes[name][:-1], int((~channels).sum()))
    narrowed = rebuilt(graph, graph.structure.operators, shapes=shapes, parameters=parameters)
    return LiveChannels(narrowed, {name: np.flatnonzero(~channels) for name, channels in dead.items()})


def _wanted(dead: Bools, multiple: int) -> Bools:
    """The first of the dead channels that must stay for their count's sake."""
    live = int((~dead).sum())
    missing = min(-(-max(live, 1) // multiple) * multiple, len(dead)) - live
    wanted = np.zeros_like(dead)
    wanted[np.flatnonzero(dead)[:missing]] = dead.any()
    return wanted


def _maps_channels(graph: Int8Graph, operator: Operator) -> bool:
    """Whether channel c of the output depends on channel c of every input and on no other."""
    structure = graph.structure
    shapes = [structure.shapes[name] for name in (*operator.inputs, operator.output)]
    if not structure.constants.isdisjoint(operator.inputs) or not structure.floats.isdisjoint(operator.inputs):
        return False
    if any(shape[:1] != (1,) for shape in shapes):
        return False
    match operator:
        case DepthwiseConv2D():
            return operator.depth_multiplier == 1
        case Binary():
            return len(set(shapes)) == 1
        case Mean():
            return len(shapes[0]) - 1 not in operator.axes
        case Pad():
            return operator.padding[-1] == (0, 0)
        case Reshape() | Squeeze():
            return shapes[0][-1] == shapes[1][-1]
        case Pool2D() | HardSwish() | Logistic() | Quantize() | Relu() | Relu6():
            return True
        case _:
            return False


def _constant_channels(graph: Int8Graph) -> dict[str, tuple[Bools, Codes]]:
    """Of every tensor: which channels are constant, and their codes (elsewhere the zero point)."""
    structure = graph.structure
    found: dict[str, tuple[Bools, Codes]] = {}
    for name in (*structure.inputs, *structure.constants):
        found[name] = _nothing(graph, name)
    for operator in structure.operators:
        found[operator.output] = _nothing(graph, operator.output)
        whole = isinstance(operator, Conv2D | FullyConnected) and _plain(graph, operator)
        if not whole and not _maps_channels(graph, operator):
            continue
        sources = [found[name] for name in operator.inputs]
        fixed = np.logical_and.reduce([known for known, _ in sources])
        if whole:
            weights = graph.parameters[operator.name].weights
            fixed = ~_by_channel(weights, len(fixed))[:, :, ~fixed].any(axis=(1, 2))
        elif isinstance(operator, DepthwiseConv2D):
            fixed = fixed | ~graph.parameters[operator.name].weights.any(axis=(0, 1, 2))
        # Codes of a constant image are those of any image, channel by channel where all that varies has no weight.
        images = [
            np.broadcast_to(codes.astype(np.int8), (1, *structure.shapes[name][1:]))
            for name, (_, codes) in zip(operator.inputs, sources, strict=True)
        ]
        pixels = reference.run_operator(graph, operator, *images).reshape(-1, len(fixed)).astype(np.int64)
        fixed = fixed & (pixels == pixels[0]).all(axis=0)
        found[operator.output] = fixed, np.where(fixed, pixels[0], found[operator.output][1])
    return found


def _nothing(graph: Int8Graph, name: str) -> tuple[Bools, Codes]:
    depth = graph.structure.shapes[name][-1] if graph.structure.shapes[name] else 1
    zero = graph.quantization[name].zero_point if name in graph.quantization else 0
    return np.zeros(depth, bool), np.full(depth, zero, np.int64)


def _plain(graph: Int8Graph, operator: Operator) -> bool:
    """A convolution, or a fully connected layer of one row, of something that varies."""
    structure = graph.structure
    source = operator.inputs[0]
    if source in structure.constants or structure.shapes[source][0] != 1:
        return False
    return not isinstance(operator, FullyConnected) or structure.rows_of(operator) == 1


def _by_channel(weights: NDArray[np.int8], depth: int) -> NDArray[np.int8]:
    """Weights (O, taps, depth) of a convolution or of a fully connected layer that reads `depth` channels."""
    return weights.reshape(len(weights), -1, depth)


def _removable(
    graph: Int8Graph, constant: Mapping[str, tuple[Bools, Codes]], pinned: Mapping[str, Bools]
) -> dict[str, Bools]:
    """The channels that every writer and reader can do without: the largest such sets, found by taking away."""
    structure = graph.structure
    readers, writers = readers_of(graph), writers_of(graph)
    dead: dict[str, Bools] = {}
    for name in structure.shapes:
        writer = writers.get(name)
        written = writer is not None and (
            _maps_channels(graph, writer) or (isinstance(writer, Conv2D | FullyConnected) and _plain(graph, writer))
        )
        channels = np.full(len(constant[name][0]) if name in constant else 1, written and name not in structure.outputs)
        if name in pinned:
            channels &= ~pinned[name]
        dead[name] = channels
    changed = True
    while changed:
        changed = False
        for name, channels in dead.items():
            if not channels.any():
                continue
            left = channels.copy()
            for reader in readers.get(name, []):
                left &= _spares(graph, reader, name, dead, constant)
            writer = writers[name]
            if _maps_channels(graph, writer):
                for source in writer.inputs:
                    left &= dead[source]
            if (left != channels).any():
                dead[name], changed = left, True
    return dead


def _spares(
    graph: Int8Graph,
    reader: Operator,
    name: str,
    dead: Mapping[str, Bools],
    constant: Mapping[str, tuple[Bools, Codes]],
) -> Bools:
    """Channels of its input `name` the reader can do without."""
    if _maps_channels(graph, reader):
        return dead[reader.output]
    known, codes = constant[name]
    if not (isinstance(reader, Conv2D | FullyConnected) and _plain(graph, reader)):
        return np.zeros_like(known)
    weights = _by_channel(graph.parameters[reader.name].weights, len(known))[~dead[reader.output]]
    if isinstance(reader, Conv2D) and reader.padding != Padding():
        known = known & (codes == graph.quantization[name].zero_point)
    return known | ~weights.any(axis=(0, 1))


def _narrowed(
    graph: Int8Graph,
    name: str,
    given: Parameters,
    dead: Mapping[str, Bools],
    constant: Mapping[str, tuple[Bools, Codes]],
) -> Parameters:
    """Parameters of the layer without its dead inputs, which move into the bias, and without its dead outputs."""
    operator = next(op for op in graph.structure.operators if op.name == name)
    source = operator.inputs[0]
    weights, bias = given.weights, given.bias
    if source in dead and not isinstance(operator, DepthwiseConv2D):
        gone = dead[source]
        centred = np.where(gone, constant[source][1] - graph.quantization[source].zero_point, 0)
        grouped = _by_channel(weights, len(gone))
        bias = (bias + grouped.sum(axis=1, dtype=np.int64) @ centred).astype(np.int32)
        weights = grouped[:, :, ~gone].reshape(*weights.shape[:-1], -1)
    if operator.output in dead:
        live = ~dead[operator.output]
        weights = weights[..., live] if isinstance(operator, DepthwiseConv2D) else weights[live]
        bias = bias[live]
        if given.weight_scales.size > 1:
            return replace(given, weights=weights, bias=bias, weight_scales=given.weight_scales[live])
    return replace(given, weights=np.ascontiguousarray(weights), bias=bias)

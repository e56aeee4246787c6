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
from ofa_mcu.graph.passes.editing import operator_named, readers_of, rebuilt, writers_of
from ofa_mcu.graph.passes.spans import Spans, channel_spans
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, FullyConnected, Operator, Padding, window_extent

__all__ = ["LiveChannels", "remove_dead_channels"]

Bools = NDArray[np.bool_]
Codes = NDArray[np.int64]
Constant = tuple[Bools, Codes]


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
    spans = {op.name: channel_spans(graph, op) for op in graph.structure.operators}
    constant = _constant_channels(graph, spans)
    pinned = {name: np.ones(len(constant[name][0]), bool) for name in keep if name in constant}
    while True:
        dead = _removable(graph, spans, constant, pinned)
        more = ((name, first) for name, channels in dead.items() if (first := _wanted(channels, multiple)).any())
        found = next(more, None)
        if found is None:
            break
        name, first = found  # one tensor at a time: others that need the same channels then have them
        pinned[name] = pinned.get(name, np.zeros_like(first)) | first
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


def _constant_channels(graph: Int8Graph, spans: Mapping[str, Spans]) -> dict[str, Constant]:
    """Of every tensor: which channels are constant, and their codes (elsewhere the zero point)."""
    structure = graph.structure
    found: dict[str, Constant] = {}
    for name in (*structure.inputs, *structure.constants):
        found[name] = _nothing(graph, name)
    for operator in structure.operators:
        found[operator.output] = _nothing(graph, operator.output)
        places = spans[operator.name]
        whole = _mixes(graph, operator)
        sources = [found[name] for name in operator.inputs]
        fixed: Bools = np.full(len(found[operator.output][0]), whole or bool(places))
        for (known, _), span in zip(sources, places, strict=False):
            fixed[span] &= known
        if whole:
            weights = graph.parameters[operator.name].weights
            varying = ~sources[0][0]
            fixed = ~np.asarray(_by_channel(weights, len(varying))[:, :, varying].any(axis=(1, 2)))
        elif places and isinstance(operator, DepthwiseConv2D):
            fixed |= ~np.asarray(graph.parameters[operator.name].weights.any(axis=(0, 1, 2)))
        if fixed.any():
            pixels = _pixels(graph, operator, [codes for _, codes in sources])
            fixed &= np.asarray((pixels == pixels[0]).all(axis=0))
            found[operator.output] = fixed, np.where(fixed, pixels[0], found[operator.output][1])
    return found


def _pixels(graph: Int8Graph, operator: Operator, sources: list[Codes]) -> Codes:
    """What the operator makes of images that have these codes everywhere: (pixels, channels).

    Where a constant channel depends only on constant channels, these are its codes for any image.
    """
    shapes = dict(graph.structure.shapes)
    if isinstance(operator, Conv2D | DepthwiseConv2D) and operator.padding == Padding():
        extent = (window_extent(size, step) for size, step in zip(operator.kernel, operator.dilation, strict=True))
        shapes[operator.inputs[0]] = (1, *extent, len(sources[0]))  # one window is as good as all
        shapes[operator.output] = (1, 1, 1, shapes[operator.output][-1])
    small = replace(graph, structure=replace(graph.structure, shapes=shapes))
    images = [
        np.broadcast_to(codes.astype(np.int8), (1, *shapes[name][1:]))
        for name, codes in zip(operator.inputs, sources, strict=True)
    ]
    pixels = reference.run_operator(small, operator, *images).reshape(-1, shapes[operator.output][-1])
    return pixels.astype(np.int64)


def _nothing(graph: Int8Graph, name: str) -> Constant:
    depth = graph.structure.shapes[name][-1] if graph.structure.shapes[name] else 1
    zero = graph.quantization[name].zero_point if name in graph.quantization else 0
    return np.zeros(depth, bool), np.full(depth, zero, np.int64)


def _mixes(graph: Int8Graph, operator: Operator) -> bool:
    """A convolution, or a fully connected layer of one row, of something that varies."""
    structure = graph.structure
    if not isinstance(operator, Conv2D | FullyConnected):
        return False
    source = operator.inputs[0]
    if source in structure.constants or structure.shapes[source][0] != 1:
        return False
    return isinstance(operator, Conv2D) or structure.rows_of(operator) == 1


def _by_channel(weights: NDArray[np.int8], depth: int) -> NDArray[np.int8]:
    """Weights (O, taps, depth) of a convolution or of a fully connected layer that reads `depth` channels."""
    return weights.reshape(len(weights), -1, depth)


def _removable(
    graph: Int8Graph, spans: Mapping[str, Spans], constant: Mapping[str, Constant], pinned: Mapping[str, Bools]
) -> dict[str, Bools]:
    """The channels that every writer and reader can do without: the largest such sets, found by taking away."""
    structure = graph.structure
    readers, writers = readers_of(graph), writers_of(graph)
    dead = {name: np.zeros(len(known), bool) for name, (known, _) in constant.items()}
    for name, writer in writers.items():
        if name not in structure.outputs and (spans[writer.name] or _mixes(graph, writer)):
            dead[name] = ~pinned.get(name, dead[name])
    waiting = dict.fromkeys(name for name, channels in dead.items() if channels.any())
    while waiting:
        name, _ = waiting.popitem()
        left = dead[name].copy()
        for reader in readers.get(name, []):
            left &= _spares(graph, spans[reader.name], reader, name, dead, constant)
        for source, span in zip(writers[name].inputs, spans[writers[name].name], strict=False):
            left[span] &= dead[source]
        if (left != dead[name]).any():
            dead[name] = left
            around = (*writers[name].inputs, *(reader.output for reader in readers.get(name, [])))
            waiting.update((tensor, None) for tensor in (name, *around) if dead[tensor].any())
    return dead


def _spares(
    graph: Int8Graph,
    spans: Spans,
    reader: Operator,
    name: str,
    dead: Mapping[str, Bools],
    constant: Mapping[str, Constant],
) -> Bools:
    """Channels of its input `name` the reader can do without."""
    known, codes = constant[name]
    if spans:
        places = [span for source, span in zip(reader.inputs, spans, strict=True) if source == name]
        spared: Bools = np.logical_and.reduce([dead[reader.output][span] for span in places])
        return spared
    if not _mixes(graph, reader):
        return np.zeros_like(known)
    weights = _by_channel(graph.parameters[reader.name].weights, len(known))[~dead[reader.output]]
    if isinstance(reader, Conv2D) and reader.padding != Padding():
        known = known & (codes == graph.quantization[name].zero_point)
    return known | ~np.asarray(weights.any(axis=(0, 1)))


def _narrowed(
    graph: Int8Graph,
    name: str,
    given: Parameters,
    dead: Mapping[str, Bools],
    constant: Mapping[str, Constant],
) -> Parameters:
    """Parameters of the layer without its dead inputs, which move into the bias, and without its dead outputs."""
    operator = operator_named(graph, name)
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

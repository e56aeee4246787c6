"""The shape an operator writes, from the shapes of its inputs and its options."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.space.shapes import (
    Binary,
    Concatenation,
    Conv2D,
    ConvAdd,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Operator,
    Pad,
    Pool2D,
    Reshape,
    ResizeNearestNeighbor,
    Shape,
    Squeeze,
    StridedSlice,
    Transpose,
    window_extent,
)

__all__ = ["OptionError", "output_shape"]


class OptionError(Exception):
    """An operator cannot read such inputs: what it has or does, and what to do, both in words."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def output_shape(graph: Int8Graph, operator: Operator) -> Shape:
    """Shape the operator writes; raises OptionError where its inputs or options do not allow any."""
    sources = [graph.structure.shapes[name] for name in operator.inputs]
    _check_count(operator, sources)
    source = sources[0]
    target = graph.structure.shapes[operator.output]
    match operator:
        case Conv2D() | DepthwiseConv2D() | Pool2D():
            return (1, *_windows(operator, source), _channels(graph, operator, source))
        case ConvAdd():
            written = (1, *_windows(operator, source), _channels(graph, operator, source))
            if sources[1] != written:
                raise OptionError(f"adds {sources[1]} to {written}", "give it equal shapes")
            return written
        case FullyConnected():
            return _fully_connected(graph, operator, source)
        case Binary():
            return _broadcast(sources)
        case Mean():
            _check_axes(operator.axes, source)
            kept = [1 if axis in operator.axes else extent for axis, extent in enumerate(source)]
            return tuple(kept) if operator.keep_dims else _without(source, operator.axes)
        case Pad():
            if len(operator.padding) != len(source) or min(min(pair) for pair in operator.padding) < 0:
                raise OptionError(f"pads {operator.padding} a shape {source}", "give every axis two sizes from 0 on")
            return tuple(
                before + extent + after for extent, (before, after) in zip(source, operator.padding, strict=True)
            )
        case Reshape():
            if prod(source) != prod(target):
                raise OptionError(f"gives {source} the shape {target}", "keep the number of elements")
            return target
        case Squeeze():
            _check_axes(operator.axes, source)
            if any(source[axis] != 1 for axis in operator.axes):
                raise OptionError(f"drops axes {operator.axes} of {source}", "drop only axes of extent 1")
            return _without(source, operator.axes)
        case Concatenation():
            return _concatenation(operator, sources)
        case StridedSlice():
            return _slice(operator, source)
        case Transpose():
            if sorted(operator.permutation) != list(range(len(source))):
                raise OptionError(f"permutes {source} by {operator.permutation}", "name every axis once")
            return tuple(source[axis] for axis in operator.permutation)
        case ResizeNearestNeighbor():
            _require_image(source)
            return (1, *target[1:3], source[3])
        case _:
            return source


def _check_count(operator: Operator, sources: Sequence[Shape]) -> None:
    if isinstance(operator, Concatenation):
        if not sources:
            raise OptionError("has no inputs", "give it one at least")
        return
    wanted = 2 if isinstance(operator, Binary | ConvAdd) else 1
    if len(sources) != wanted:
        raise OptionError(f"has {len(sources)} inputs", f"give it {wanted}")


def _check_axes(axes: tuple[int, ...], source: Shape) -> None:
    if list(axes) != sorted(set(axes)) or not all(0 <= axis < len(source) for axis in axes):
        raise OptionError(f"names axes {axes} of a shape {source}", "name axes it has, in order, each once")


def _without(source: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(extent for axis, extent in enumerate(source) if axis not in axes)


def _require_image(source: Shape) -> None:
    if len(source) != 4 or source[0] != 1:
        raise OptionError(f"reads a tensor of shape {source}", "give it one of shape (1, H, W, C)")


def _windows(operator: Conv2D | ConvAdd | DepthwiseConv2D | Pool2D, source: Shape) -> tuple[int, int]:
    _require_image(source)
    pad = operator.padding
    dilation = (1, 1) if isinstance(operator, Pool2D) else operator.dilation
    around = (pad.top + pad.bottom, pad.left + pad.right)
    sides = (pad.top, pad.bottom, pad.left, pad.right)
    if min(*operator.kernel, *operator.stride, *dilation) < 1 or min(sides) < 0:
        raise OptionError(
            f"has kernel {operator.kernel}, stride {operator.stride}, dilation {dilation}, padding {sides}",
            "use kernels, strides and dilations from 1 on and no negative padding",
        )
    if isinstance(operator, Pool2D) and (max(sides[:2]) >= operator.kernel[0] or max(sides[2:]) >= operator.kernel[1]):
        raise OptionError(f"pools windows {operator.kernel} with padding {sides}", "pad less than the kernel's extent")
    height, width = (
        (source[axis + 1] + around[axis] - window_extent(operator.kernel[axis], dilation[axis]))
        // operator.stride[axis]
        + 1
        for axis in (0, 1)
    )
    return height, width


def _channels(graph: Int8Graph, operator: Operator, source: Shape) -> int:
    if isinstance(operator, Pool2D):
        return source[3]
    parameters = graph.parameters.get(operator.name)
    if parameters is None:
        raise OptionError("has no weights", "supply its parameters")
    channels = parameters.bias.size
    if isinstance(operator, DepthwiseConv2D) and source[3] * operator.depth_multiplier != channels:
        raise OptionError(
            f"has {channels} biases for {source[3]} channels times {operator.depth_multiplier}",
            "supply one for every output channel",
        )
    return channels


def _fully_connected(graph: Int8Graph, operator: FullyConnected, source: Shape) -> Shape:
    channels = _channels(graph, operator, source)
    depth = max((1, *graph.parameters[operator.name].weights.shape[-1:]))
    if prod(source) % depth:
        raise OptionError(
            f"reads {source} by rows of {depth} elements, the depth of its weights", "supply weights that fit the input"
        )
    if operator.keep_num_dims:
        if source[-1] != depth:
            raise OptionError(f"keeps the dimensions of {source} with rows of {depth}", "supply weights that fit")
        return (*source[:-1], channels)
    return (prod(source) // depth, channels)


def _broadcast(sources: Sequence[Shape]) -> Shape:
    rank = max(len(shape) for shape in sources)
    first, second = ((1,) * (rank - len(shape)) + shape for shape in sources)
    if any(a != b and 1 not in (a, b) for a, b in zip(first, second, strict=True)):
        raise OptionError(f"combines shapes {sources[0]} and {sources[1]}", "give it equal shapes or ones of extent 1")
    return tuple(b if a == 1 else a for a, b in zip(first, second, strict=True))


def _concatenation(operator: Concatenation, sources: Sequence[Shape]) -> Shape:
    axis = operator.axis
    if not 0 <= axis < len(sources[0]) or len({(*shape[:axis], 0, *shape[axis + 1 :]) for shape in sources}) > 1:
        raise OptionError(f"joins shapes {', '.join(map(str, sources))} along axis {axis}", "make the other axes equal")
    return (*sources[0][:axis], sum(shape[axis] for shape in sources), *sources[0][axis + 1 :])


def _slice(operator: StridedSlice, source: Shape) -> Shape:
    lists = operator.begin, operator.counts, operator.strides
    if any(len(values) != len(source) for values in lists):
        raise OptionError(f"slices {len(operator.begin)} axes of a shape {source}", "give one range for every axis")
    for extent, begin, count, stride in zip(source, *lists, strict=True):
        if not (0 <= begin < extent and count >= 1 and stride and 0 <= begin + (count - 1) * stride < extent):
            raise OptionError(
                f"takes {count} elements from {begin} in steps of {stride} along an axis of {extent}",
                "give ranges inside the input",
            )
    _check_axes(operator.dropped, source)
    if any(operator.counts[axis] != 1 for axis in operator.dropped):
        raise OptionError(f"drops axes {operator.dropped} of a slice {operator.counts}", "drop only axes of extent 1")
    return _without(operator.counts, operator.dropped)

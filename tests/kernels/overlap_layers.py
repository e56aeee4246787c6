"""Random layers for the overlap tests: small and odd, of every kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes.adds import fuse_adds
from ofa_mcu.planning.compile import fusable_sums
from ofa_mcu.space.shapes import (
    Activation,
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
    FullyConnected,
    HardSwish,
    Logistic,
    MaxPool2D,
    Mean,
    Mul,
    Operator,
    Pad,
    Padding,
    Quantize,
    Relu,
    Relu6,
    Reshape,
    ResizeNearestNeighbor,
    Shape,
    Softmax,
    Squeeze,
    StridedSlice,
    Sub,
    Transpose,
    same_padding,
    window_extent,
)
from tests.graph.wide import WideBuilder, quantization

__all__ = ["LAYER_KINDS", "random_layer"]

_OTHERS: tuple[type[Operator], ...] = (
    *(FullyConnected, Mean, Pad, Reshape, Squeeze, Softmax, Logistic, HardSwish, Relu, Relu6, Quantize),
    *(Concatenation, StridedSlice, Transpose, ResizeNearestNeighbor),
)
_BY_TABLE: tuple[type[Operator], ...] = (Logistic, HardSwish, Relu, Relu6, Quantize)


def _extent(rng: np.random.Generator, most: int = 12) -> int:
    return 1 if rng.random() < 0.2 else int(rng.integers(1, most + 1))


def _channels(rng: np.random.Generator) -> int:
    return int(rng.choice([1, 2, 3, 4, 8, 12, 16])) if rng.random() < 0.4 else int(rng.integers(1, 21))


def _start(rng: np.random.Generator, channels: int = 0) -> WideBuilder:
    build = WideBuilder(rng)
    build.tensor("input", (1, _extent(rng), _extent(rng), channels or _channels(rng)))
    return build


def _whole(build: WideBuilder, output: str) -> Int8Graph:
    return build.done("layer", (output,))


def _filter(build: WideBuilder, kind: type[Operator], shape: Shape, channels: int, **options: Any) -> Int8Graph:
    """A filter with random weights of that shape, many of its scales with a proved rounding."""
    rng = build.rng
    name = kind.__name__.lower()
    activation = options["activation"] = build.any_activation()
    tight = activation is Activation.NONE or rng.random() < 0.2
    target = quantization(0.05, int(rng.integers(-100, 40))) if tight else quantization(6 / 255, -128)
    build.quantization[f"{name}0/out"] = target
    taps = int(np.prod(shape)) // channels
    build._weights(f"{name}0", "input", f"{name}0/out", shape, channels, taps)
    return _whole(build, build.append(kind, ("input",), target, **options))


def pointwise(rng: np.random.Generator) -> Int8Graph:
    """A pointwise convolution; some with many channels on one side or on both."""
    many = (int(rng.integers(20, 130)), int(rng.integers(1, 60)))[:: 1 if rng.random() < 0.5 else -1]
    depth, channels = many if rng.random() < 0.3 else (_channels(rng), int(rng.integers(1, 40)))
    build = _start(rng, depth)
    if depth + channels > 60:
        build.tensor("input", (1, _extent(rng, 4), _extent(rng, 6), depth))
    return _filter(build, Conv2D, (channels, 1, 1, depth), channels, kernel=(1, 1), stride=(1, 1))


def _window(rng: np.random.Generator, shape: Shape, *, dilated: bool, pool: bool) -> tuple[dict[str, Any], Shape]:
    """Kernel, stride, dilation and padding that fit an input, which may have to grow: options and the input's shape."""
    most = int(rng.choice([3, 4, 8]))
    kernel = tuple(int(n) for n in rng.integers(1, most, 2))
    if rng.random() < 0.35:
        kernel = (int(rng.choice([3, 5, 7])),) * 2
    stride = tuple(int(n) for n in rng.integers(1, 5, 2)) if rng.random() < 0.6 else (int(rng.integers(1, 3)),) * 2
    dilation = tuple(int(n) for n in rng.integers(1, 4, 2)) if dilated and rng.random() < 0.4 else (1, 1)
    extent = [window_extent(k, d) for k, d in zip(kernel, dilation, strict=True)]
    size = list(shape[1:3])
    way = rng.random()
    if way < 0.45:
        padding = Padding(*(n for i in range(2) for n in same_padding(size[i], extent[i], stride[i])))
    else:
        further = 0 if pool or rng.random() < 0.7 else 2
        most_each = (extent[0], extent[0], extent[1], extent[1])
        padding = Padding() if way < 0.7 else Padding(*(int(rng.integers(0, n + further)) for n in most_each))
        around = padding.top + padding.bottom, padding.left + padding.right
        size = [max(n, e - p) for n, e, p in zip(size, extent, around, strict=True)]
    options: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
    return options | ({"dilation": dilation} if dilated else {}), (1, *size, shape[3])


def conv(rng: np.random.Generator) -> Int8Graph:
    """A convolution of any geometry."""
    build = _start(rng)
    options, shape = _window(rng, build.shapes["input"], dilated=True, pool=False)
    build.shapes["input"] = shape
    channels = int(rng.integers(1, 24))
    return _filter(build, Conv2D, (channels, *options["kernel"], shape[3]), channels, **options)


def depthwise(rng: np.random.Generator) -> Int8Graph:
    """A depthwise convolution of any geometry."""
    build = _start(rng, int(rng.integers(16, 50)) if rng.random() < 0.15 else 0)
    options, shape = _window(rng, build.shapes["input"], dilated=True, pool=False)
    build.shapes["input"] = shape
    options["depth_multiplier"] = multiplier = int(rng.choice([1, 1, 1, 2, 3])) if shape[3] < 16 else 1
    channels = shape[3] * multiplier
    return _filter(build, DepthwiseConv2D, (1, *options["kernel"], channels), channels, **options)


def pool(rng: np.random.Generator) -> Int8Graph:
    """A pool of any geometry."""
    build = _start(rng)
    options, shape = _window(rng, build.shapes["input"], dilated=False, pool=True)
    build.shapes["input"] = shape
    kind = (AveragePool2D, MaxPool2D)[int(rng.integers(2))]
    options["activation"] = build.any_activation()
    return _whole(build, build.append(kind, ("input",), build.quantization["input"], **options))


def two_inputs(rng: np.random.Generator) -> Int8Graph:
    """A sum, difference or product of two tensors, of one with itself, with a constant, or with one that broadcasts."""
    build = _start(rng)
    kind = (Add, Sub, Mul)[int(rng.integers(3))]
    if rng.random() < 0.25:
        return _whole(build, build.grow(kind, "input"))
    build.inputs.append("other")
    shape = build.shapes["input"]
    equal = rng.random() < 0.6
    build.tensor("other", shape if equal else (1, *(n if rng.random() < 0.5 else 1 for n in shape[1:])))
    build.quantization["input"] = quantization(0.05, int(rng.integers(-60, 60)))
    build.quantization["other"] = quantization(0.05 * float(rng.choice([1.0, 0.7, 1.5])), int(rng.integers(-60, 60)))
    names = ("input", "other") if rng.random() < 0.5 else ("other", "input")
    scale = 0.15 if kind is Mul else float(rng.choice([0.08, 0.1]))
    activation = Activation.RELU if rng.random() < 0.3 else Activation.NONE
    return _whole(
        build, build.append(kind, names, quantization(scale, int(rng.integers(-40, 40))), activation=activation)
    )


def conv_add(rng: np.random.Generator) -> Int8Graph:
    """A pointwise convolution that adds another tensor."""
    while True:
        build = _start(rng)
        shape = build.shapes["input"]
        build.inputs.append("other")
        build.tensor("other", (*shape[:3], int(rng.integers(1, 24))))
        build.quantization["other"] = quantization(0.05, int(rng.integers(-60, 60)))
        linear = build.conv("input", build.shapes["other"][3], (1, 1), (1, 1), True, Activation.NONE)
        names = (linear, "other") if rng.random() < 0.5 else ("other", linear)
        graph = _whole(build, build.add(*names, Activation.RELU if rng.random() < 0.3 else Activation.NONE))
        fused = fuse_adds(graph, fusable_sums(fuse_adds(graph)))
        if len(fused.structure.operators) == 1:
            return fused


def borders(rng: np.random.Generator) -> Int8Graph:
    """From floats to codes and back."""
    build = _start(rng)
    given = build.quantization.pop("input")
    build.floats |= {"input", "back"}
    codes = build.append(Quantize, ("input",), given)
    build.operators.append(Dequantize(name="back", inputs=(codes,), output="back"))
    build.shapes["back"] = build.shapes[codes]
    return _whole(build, "back")


def dense(rng: np.random.Generator) -> Int8Graph:
    """A fully connected layer, of one row or of several."""
    build = _start(rng)
    return _whole(build, build.grow(FullyConnected, "input"))


def codes(rng: np.random.Generator) -> Int8Graph:
    """A function of single codes, or a mean."""
    build = _start(rng)
    if rng.random() < 0.6:
        return _whole(build, build.grow(_BY_TABLE[int(rng.integers(len(_BY_TABLE)))], "input"))
    axes = ((1, 2), (1,), (1, 2, 3), (2, 3))[int(rng.integers(4))]
    return _whole(build, build.append(Mean, ("input",), build.near("input"), axes=axes))


def other(rng: np.random.Generator) -> Int8Graph:
    """Any other operator, with the reshape it may need."""
    build = _start(rng)
    return _whole(build, build.grow(_OTHERS[int(rng.integers(len(_OTHERS)))], "input"))


LAYER_KINDS: dict[str, Callable[[np.random.Generator], Int8Graph]] = {
    "pointwise": pointwise,
    "conv": conv,
    "depthwise": depthwise,
    "pool": pool,
    "two inputs": two_inputs,
    "conv add": conv_add,
    "borders": borders,
    "other": other,
    "dense": dense,
    "codes": codes,
}
"""What draws layers of a kind."""


def random_layer(rng: np.random.Generator, kind: str) -> Int8Graph:
    """A graph of one layer of the kind, or of few."""
    return LAYER_KINDS[kind](rng)

"""Random layers whose instructions are counted: shapes of real networks and beyond, every operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ofa_mcu.graph.ir import Int8Graph, Quantization
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
    StridedSlice,
    Sub,
    Transpose,
    same_padding,
)
from tests.graph.wide import WideBuilder, quantization

__all__ = ["FILTERS", "OTHERS", "PROBE_KINDS", "probe_graph"]

MAX_WEIGHTS = 400_000
MAX_MACS, MAX_BYTES, MAX_INPUTS = 800_000, 12_000, 2_000
"""Of a layer, of a tensor, of a fully connected layer: a counter of 24 bits and 128 KB of RAM must do."""

FILTERS: tuple[str, ...] = ("pointwise", "pointwise", "conv", "first", "depthwise", "depthwise", "dense")
OTHERS: tuple[type[Operator], ...] = (
    *(Add, Sub, Mul, Mean, AveragePool2D, MaxPool2D, Softmax, Logistic, HardSwish, Relu, Relu6, Quantize),
    *(Add, Mul, Mean, AveragePool2D, MaxPool2D, Mean, AveragePool2D, MaxPool2D),
    *4 * (Pad, Concatenation, StridedSlice, Transpose, ResizeNearestNeighbor),
)
PROBE_KINDS = (*FILTERS, "wide", "sum", "others", "borders", "vectors", "dots")
"""What a probe graph can consist of; for sums, pointwise convolutions that add, only DSP kernels are there. Wide are
filters of any kind with dilation or with very many taps, vectors filters of any kind and size one after another, dots
pointwise ones of many sizes and in every mode, for kernels with a function of their own for every number of vectors and
every mode.
"""


class ProbeBuilder(WideBuilder):
    """Layers side by side, all of them readers of tensors that nobody computes with."""

    hard = 0.15
    """Share of filters whose rounding is not proved to be fast."""

    def relu_like(self) -> bool:
        return bool(self.rng.random() < 0.6)

    def channels(self) -> int:
        return random_channels(self.rng)

    def clamped(self) -> Quantization:
        """Of the codes behind an activation."""
        return quantization(6 / 255, -128)

    def filter(self, kind: str, source: str) -> str | None:
        """A filter of the kind behind the source; None where it would be too large."""
        rng, shape = self.rng, self.shapes[source]
        _, height, width, depth = shape
        options: dict[str, Any] = {"activation": Activation.RELU6 if self.relu_like() else Activation.NONE}
        channels = self.channels()
        if kind == "dense":
            weights: Shape = (channels, prod(shape))
            out: Shape = (1, channels)
            operator: type[Operator] = FullyConnected
        else:
            kernel, stride, apart = self._window_of(kind)
            rows, columns = ((size - 1) * apart + 1 for size in kernel)
            padding = Padding(*same_padding(height, rows, stride), *same_padding(width, columns, stride))
            out = (1, -(-height // stride), -(-width // stride), channels)
            if kind != "pointwise" and rows <= height and columns <= width and rng.random() < 0.15:
                padding = Padding()
                out = (1, (height - rows) // stride + 1, (width - columns) // stride + 1, channels)
            options |= {"kernel": kernel, "stride": (stride, stride), "padding": padding, "dilation": (apart, apart)}
            operator, weights = Conv2D, (channels, *kernel, depth)
            if kind == "depthwise":
                operator, weights, channels, out = DepthwiseConv2D, (1, *kernel, depth), depth, (*out[:3], depth)
        macs = prod(weights) * (prod(out[1:3]) if len(out) == 4 else 1)
        if prod(out) > MAX_BYTES or macs > MAX_MACS or (kind == "dense" and prod(shape) > MAX_INPUTS):
            return None
        if prod(weights) + sum(known.weights.size for known in self.parameters.values()) > MAX_WEIGHTS:
            return None
        name = f"{operator.__name__.lower()}{len(self.operators)}"
        linear = options["activation"] is Activation.NONE
        target = quantization(0.05, int(rng.integers(-40, 40))) if linear else self.clamped()
        if rng.random() < 0.15:
            # An activation within the range of the codes: they are clamped by themselves.
            options["activation"] = Activation.RELU if linear else Activation.RELU6
            target = quantization(0.05, int(rng.integers(-100, 40)))
        self.quantization[f"{name}/out"] = target
        taps = prod(weights) // channels
        self._weights(name, source, f"{name}/out", weights, channels, taps)
        if rng.random() < self.hard and self.parameters[name].weight_scales.size > 1:
            self._beyond_fast_rounding(name, source, target)
        return self.append(operator, (source,), target, **options)

    def _beyond_fast_rounding(self, name: str, source: str, target: Quantization) -> None:
        """Makes one channel's accumulators too large for fast rounding, though its codes vary."""
        given = self.parameters[name]
        bias, scales = given.bias.copy(), given.weight_scales.copy()
        bias[0] = 9_000_000
        scales[0] = target.scale * 2.0**-17 / self.quantization[source].scale
        self.parameters[name] = replace(given, bias=bias, weight_scales=scales)

    def _window_of(self, kind: str) -> tuple[tuple[int, int], int, int]:
        """Kernel, stride and dilation."""
        rng = self.rng
        if kind == "pointwise":
            return (1, 1), 1, 1
        size = int(rng.choice([3, 3, 3, 5, 7] if kind == "depthwise" else [1, 3, 3, 3, 5]))
        if size == 1:
            return (1, 1), 2, 1
        kernel = (size, size) if rng.random() < 0.8 else (int(rng.integers(1, 10)), int(rng.integers(1, 6)))
        return kernel, int(rng.choice([1, 1, 2])), 1


class WideFilterBuilder(ProbeBuilder):
    """Filters with dilation, and depthwise ones of more than 128 taps."""

    def _window_of(self, kind: str) -> tuple[tuple[int, int], int, int]:
        rng = self.rng
        stride = int(rng.choice([1, 1, 2]))
        if kind == "depthwise" and rng.random() < 0.5:
            long = (1, int(rng.integers(129, 160)))
            return (long, long[::-1], (13, 13), (int(rng.integers(12, 16)), 12))[int(rng.integers(4))], stride, 1
        kernel = (3, 3) if rng.random() < 0.6 else (int(rng.integers(1, 6)), int(rng.integers(2, 6)))
        return kernel, stride, int(rng.integers(2, 4))


class VectorBuilder(ProbeBuilder):
    """Filters in every mode, with every number of vectors and of outputs beside whole groups."""

    hard = 0.25

    def channels(self) -> int:
        kind = self.rng.random()
        if kind < 0.5:
            return int(self.rng.integers(1, 4 if kind < 0.2 else 17))
        return super().channels()

    def clamped(self) -> Quantization:
        return quantization(0.04, -128) if self.rng.random() < 0.4 else super().clamped()

    def source(self) -> str:
        """Any map so far, one of few channels more likely."""
        tensors = [name for name, shape in self.shapes.items() if len(shape) == 4]
        few = [name for name in tensors if self.shapes[name][-1] <= 12]
        some = few if few and self.rng.random() < 0.5 else tensors
        return some[int(self.rng.integers(len(some)))]


class DotBuilder(ProbeBuilder):
    """Pointwise filters of one depth."""

    wanted, mode = 1, ""

    def relu_like(self) -> bool:
        return self.mode in ("plain", "clamped")

    def channels(self) -> int:
        return self.wanted

    def clamped(self) -> Quantization:
        return quantization(0.04, -128) if self.mode == "clamped" else super().clamped()

    def grid(self, source: str, outputs: Sequence[int]) -> None:
        """So many outputs in every mode."""
        for self.mode in ("plain", "signed", "clamped", "general"):
            self.hard = float(self.mode == "general")
            for self.wanted in outputs:
                self.filter("pointwise", source)


def random_channels(rng: np.random.Generator) -> int:
    """1..200, half of them evenly on a logarithmic scale; mostly multiples of four. Some are about the most channels
    that convolutions are unrolled for.
    """
    if rng.random() < 0.1:
        return int(rng.integers(117, 145))
    channels = int(np.exp(rng.uniform(0, np.log(144.99)))) if rng.random() < 0.5 else int(rng.integers(16, 201))
    return channels if rng.random() < 0.3 else max(4, channels // 4 * 4)


def probe_graph(
    rng: np.random.Generator, kind: str, layers: int = 6, others: Sequence[type[Operator]] = ()
) -> Int8Graph:
    """Layers of the kind, one of `PROBE_KINDS`, that all read the input; `others` says which where kind is "others"."""
    while True:
        if kind == "dots":
            return _dots(rng)
        build = {"vectors": VectorBuilder, "wide": WideFilterBuilder}.get(kind, ProbeBuilder)(rng)
        most = 8 if rng.random() < 0.4 else 41
        height = int(rng.integers(1, most))
        width = height if rng.random() < 0.7 else int(rng.integers(1, most))
        few = kind == "first" or (kind == "wide" and rng.random() < 0.3)
        depth = int(rng.choice([1, 3])) if few else random_channels(rng)
        if kind == "borders":
            return _borders(build, (1, min(height, 20), min(width, 20), min(depth, 5)))
        shape = (1, height, width, depth)
        if not 100 <= prod(shape) <= MAX_BYTES:
            continue
        source = build.tensor("input", shape, _input(rng))
        tries = 0
        if isinstance(build, VectorBuilder):
            layers *= 2
        while len(build.operators) < layers and tries < 40:
            tries += 1
            if kind == "sum":
                _sum(build, source)
            elif kind == "others":
                wanted = others or OTHERS
                _other(build, source, wanted[len(build.operators) % len(wanted)])
                layers = len(wanted)
            elif isinstance(build, VectorBuilder):
                build.filter(FILTERS[int(rng.integers(len(FILTERS)))], build.source())
            elif kind == "wide":
                build.filter(("conv", "depthwise")[int(rng.integers(2))], source)
            else:
                build.filter("conv" if kind == "first" else kind, source)
        if build.operators:
            graph = build.done("probe", (build.operators[-1].output,))
            return fuse_adds(graph, fusable_sums(fuse_adds(graph))) if kind == "sum" else graph


def _dots(rng: np.random.Generator) -> Int8Graph:
    """Pointwise filters of several pixels and of one, with less than four outputs, with whole fours and with others."""
    build = DotBuilder(rng)
    depth = int(rng.integers(1, 129))
    shape = (1, int(rng.integers(1, 6)), int(rng.integers(2, 9)), depth)
    source = build.tensor("input", shape, _input(rng))
    single = build.append(MaxPool2D, (source,), build.quantization[source], kernel=shape[1:3])
    few, some, more = int(rng.integers(1, 4)), int(rng.integers(5, 40)), int(rng.integers(50, 120))
    build.grid(source, (few, 4 * int(rng.integers(1, 8)), some | 1))
    build.grid(single, (few, 4 * int(rng.integers(20, 40)), more | 1))
    return build.done("dots", (build.operators[-1].output,))


def _sum(build: ProbeBuilder, source: str) -> None:
    """Two pointwise convolutions of the source and their sum, for the second to add."""
    other = build.filter("pointwise", source)
    if other is not None:
        activation = Activation.RELU if build.rng.random() < 0.3 else Activation.NONE
        linear = build.conv(source, build.shapes[other][3], (1, 1), (1, 1), True, Activation.NONE)
        build.add(other, linear, activation)


def _borders(build: ProbeBuilder, shape: Shape) -> Int8Graph:
    """From floats to codes and back."""
    build.shapes["input"] = shape
    build.floats |= {"input", "output"}
    codes = build.append(Quantize, ("input",), quantization(0.03, -5))
    build.operators.append(Dequantize(name="output", inputs=(codes,), output="output"))
    build.shapes["output"] = shape
    return build.done("borders", ("output",))


def _input(rng: np.random.Generator) -> Quantization:
    return quantization(6 / 255, -128) if rng.random() < 0.7 else quantization(0.04, int(rng.integers(-60, 60)))


def _other(build: ProbeBuilder, source: str, kind: type[Operator]) -> None:
    rng, here = build.rng, build.quantization[source]
    if kind in (Add, Sub, Mul):
        # Ties, which a scale twice as large has, are rounded away from zero.
        scale = 40 * here.scale * here.scale if kind is Mul else float(rng.choice([1.7, 2.0])) * here.scale
        activation = Activation.RELU if rng.random() < 0.2 else Activation.NONE
        build.append(kind, (source, source), quantization(scale, int(rng.integers(-40, 40))), activation=activation)
    elif kind is Mean and rng.random() < 0.2:
        pixel = build.append(Reshape, (source,), here, (1, 1, 1, prod(build.shapes[source])))
        build.append(kind, (pixel,), quantization(here.scale * 0.98, here.zero_point), axes=(1, 2))
    elif kind is Mean and rng.random() < 0.5:
        build.append(kind, (source,), quantization(here.scale * 0.98, here.zero_point), axes=(1, 2))
    elif kind is Pad and rng.random() < 0.2:
        # Nothing beside the rows: all codes are moved in one go.
        rows = (int(rng.integers(0, 3)), int(rng.integers(1, 3)))
        build.append(kind, (source,), here, padding=((0, 0), rows, (0, 0), (0, 0)))
    elif kind in (AveragePool2D, MaxPool2D) and rng.random() < (0.5 if prod(build.shapes[source][1:3]) > 255 else 0.1):
        # The whole map, as at the end of networks: sums of more than 16 bits, averages that take a division.
        build.append(kind, (source,), here, kernel=build.shapes[source][1:3])
    elif kind is not Concatenation:
        build.grow(kind, source)
    else:
        build.append(kind, (source, source), here, axis=3)

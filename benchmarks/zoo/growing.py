"""Grows an int8 network layer by layer, each calibrated on what the layers before it really compute.

Weights are random, with scales per channel spread log-normally as trained networks have them. Biases and output ranges
come from the sums that a few smooth random images cause, so that every channel varies and little is cut off.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ofa_mcu.graph import reference
from ofa_mcu.graph.ir import Int8Graph, Parameters, Quantization
from ofa_mcu.graph.output_shapes import output_shape
from ofa_mcu.space.shapes import (
    Activation,
    Add,
    Binary,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    HardSwish,
    Logistic,
    Mean,
    Mul,
    Operator,
    Padding,
    Shape,
    ShapeGraph,
    Softmax,
    Sub,
    same_padding,
)

__all__ = ["Grower", "smooth_images"]

UNIT = Quantization(1.0 / 256.0, -128)
SAMPLES = 400
"""Output positions whose sums are looked at to calibrate a layer."""

Floats = NDArray[np.float64]


def smooth_images(rng: np.random.Generator, count: int, shape: Shape) -> NDArray[np.int8]:
    """`count` random images (N, *shape) of shape (H, W, C) or (C,): patches of several sizes, to both ends of int8."""
    values = rng.standard_normal((count, *shape))
    if len(shape) == 3:
        for size in (4, 16):
            coarse = rng.standard_normal((count, -(-shape[0] // size), -(-shape[1] // size), shape[2]))
            values += 2.0 * coarse.repeat(size, axis=1).repeat(size, axis=2)[:, : shape[0], : shape[1]]
    scaled = values * 100.0 / np.abs(values).std() / 2.0
    return np.asarray(scaled.round().clip(-128, 127), np.int8)


class Grower:
    """One network that grows; every method appends an operator and returns the name of the tensor it writes.

    Its first input, of values from -1 to 1, is the tensor `input`.
    """

    def __init__(self, name: str, seed: int, shape: Shape, *, images: int = 2, spread: float = 0.5) -> None:
        self.name = name
        self.images = images
        self.rng = np.random.default_rng(seed)
        self.spread = spread
        self.inputs: list[str] = []
        self.shapes: dict[str, Shape] = {}
        self.quantization: dict[str, Quantization] = {}
        self.parameters: dict[str, Parameters] = {}
        self.operators: list[Operator] = []
        self.codes: dict[str, NDArray[Any]] = {}
        self.input("input", shape)

    def input(self, name: str, shape: Shape, low: float = -1.0) -> str:
        """One more input, of values from `low` to 1."""
        scale = _round((1.0 - low) / 255.0)
        self.inputs.append(name)
        self.shapes[name] = shape
        self.quantization[name] = Quantization(scale, int(np.floor(-128.0 - low / scale + 0.5)))
        self.codes[name] = smooth_images(self.rng, self.images, shape[1:])
        return name

    def graph(self, *outputs: str) -> Int8Graph:
        """The network so far with these outputs."""
        structure = ShapeGraph(self.name, dict(self.shapes), tuple(self.operators), tuple(self.inputs), outputs)
        return Int8Graph(structure, dict(self.quantization), dict(self.parameters))

    def conv(
        self,
        source: str,
        channels: int,
        kernel: int | tuple[int, int] = 1,
        stride: int | tuple[int, int] = 1,
        activation: Activation = Activation.NONE,
        *,
        same: bool = True,
        dilation: tuple[int, int] = (1, 1),
        per_tensor: bool = False,
    ) -> str:
        """A convolution."""
        options = self._window(source, kernel, stride, dilation, same)
        depth = self.shapes[source][3]
        operator = Conv2D(**self._named("conv", source), activation=activation, dilation=dilation, **options)
        weights = self._weights((channels, prod(operator.kernel) * depth))
        self._calibrated(operator, weights.reshape(channels, *operator.kernel, depth), per_tensor)
        return self._append(operator)

    def depthwise(
        self,
        source: str,
        kernel: int | tuple[int, int] = 3,
        stride: int | tuple[int, int] = 1,
        activation: Activation = Activation.NONE,
        *,
        multiplier: int = 1,
        same: bool = True,
    ) -> str:
        """A depthwise convolution."""
        options = self._window(source, kernel, stride, (1, 1), same)
        channels = self.shapes[source][3] * multiplier
        operator = DepthwiseConv2D(
            **self._named("depthwise", source), activation=activation, depth_multiplier=multiplier, **options
        )
        weights = self._weights((channels, prod(operator.kernel)))
        self._calibrated(operator, np.ascontiguousarray(weights.T).reshape(1, *operator.kernel, channels), False)
        return self._append(operator)

    def dense(self, source: str, channels: int, activation: Activation = Activation.NONE, *, rows: bool = False) -> str:
        """A fully connected layer with one weight scale; with `rows` one for every row of the last axis."""
        shape = self.shapes[source]
        depth = shape[-1] if rows else prod(shape)
        operator = FullyConnected(**self._named("dense", source), activation=activation, keep_num_dims=rows)
        self._calibrated(operator, self._weights((channels, depth)), True)
        return self._append(operator)

    def add(self, first: str, second: str, activation: Activation = Activation.NONE) -> str:
        """A sum, in the range it really takes."""
        return self._binary(Add, first, second, activation)

    def sub(self, first: str, second: str) -> str:
        """A difference, in the range it really takes."""
        return self._binary(Sub, first, second, Activation.NONE)

    def mul(self, first: str, second: str) -> str:
        """A product, in the range it really takes."""
        return self._binary(Mul, first, second, Activation.NONE)

    def hard_swish(self, source: str) -> str:
        """x * relu6(x + 3) / 6."""
        real = self._real(source)
        return self._valued(HardSwish(**self._named("hard_swish", source)), real * (real + 3.0).clip(0.0, 6.0) / 6.0)

    def mean(self, source: str, axes: tuple[int, ...] = (1, 2), *, keep_dims: bool = False) -> str:
        """A mean, in the range it really takes."""
        real = self._real(source).mean(axis=axes)
        return self._valued(Mean(**self._named("mean", source), axes=axes, keep_dims=keep_dims), real)

    def logistic(self, source: str) -> str:
        """1 / (1 + exp(-x))."""
        return self._append(Logistic(**self._named("logistic", source)), UNIT)

    def softmax(self, source: str) -> str:
        """Softmax over the last axis."""
        return self._append(Softmax(**self._named("softmax", source)), UNIT)

    def moved(self, kind: type[Operator], sources: str | tuple[str, ...], shape: Shape = (1,), **options: Any) -> str:
        """An operator that passes codes on unscaled; `shape` says what cannot be inferred."""
        named = self._named(kind.__name__.lower(), *((sources,) if isinstance(sources, str) else sources))
        if "kernel" in options:
            options |= self._window(named["inputs"][0], options["kernel"], options.pop("stride"), (1, 1), True)
        return self._append(kind(**named, **options), self.quantization[named["inputs"][0]], shape)

    def requantized(self, kind: type[Operator], source: str, quantization: Quantization) -> str:
        """An operator of one input that writes this quantization."""
        return self._append(kind(**self._named(kind.__name__.lower(), source)), quantization)

    def _named(self, kind: str, *sources: str) -> dict[str, Any]:
        name = f"{kind}{len(self.operators)}"
        return {"name": name, "inputs": sources, "output": name}

    def _real(self, tensor: str) -> Floats:
        return self.quantization[tensor].scale * self._centred(tensor)

    def _append(self, operator: Operator, given: Quantization | None = None, shape: Shape = (1,)) -> str:
        if given is not None:
            self.quantization[operator.output] = given
        self.shapes[operator.output] = shape
        self.shapes[operator.output] = output_shape(self.graph(), operator)
        sources = [self.codes[name] for name in operator.inputs]
        self.codes[operator.output] = reference.run_operator(self.graph(), operator, *sources)
        self.operators.append(operator)
        return operator.output

    def _valued(self, operator: Operator, real: Floats) -> str:
        return self._append(operator, _covering(real, getattr(operator, "activation", Activation.NONE)))

    def _binary(self, kind: type[Binary], first: str, second: str, activation: Activation) -> str:
        operator = kind(**self._named(kind.__name__.lower(), first, second), activation=activation)
        one, other = self._real(first), self._real(second)
        real = one + other if kind is Add else one - other if kind is Sub else one * other
        return self._valued(operator, real)

    def _window(
        self,
        source: str,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int],
        dilation: tuple[int, int],
        same: bool,
    ) -> dict[str, Any]:
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        stride = (stride, stride) if isinstance(stride, int) else stride
        padding = Padding()
        if same:
            extent = [(size - 1) * step + 1 for size, step in zip(kernel, dilation, strict=True)]
            sides = [same_padding(self.shapes[source][i + 1], extent[i], stride[i]) for i in (0, 1)]
            padding = Padding(*sides[0], *sides[1])
        return {"kernel": kernel, "stride": stride, "padding": padding}

    def _weights(self, shape: tuple[int, int]) -> NDArray[np.int8]:
        """Weights (O, taps), the largest of each channel at 127; some channels are flat, some have few large ones."""
        values = self.rng.standard_normal(shape)
        values *= np.exp(self.rng.uniform(0.0, 0.7, (shape[0], 1)) * self.rng.standard_normal(shape))
        values /= np.maximum(np.abs(values).max(axis=1, keepdims=True), 1e-9)
        return (values * 127.0).round().astype(np.int8)

    def _calibrated(self, operator: Operator, weights: NDArray[np.int8], per_tensor: bool) -> None:
        """Gives the layer its parameters, and its output a quantization."""
        sums = self._sums(operator, weights)
        channels = sums.shape[1]
        source = self.quantization[operator.inputs[0]]
        deviation = np.maximum(sums.std(axis=0), 1.0)
        if len(sums) < SAMPLES // 4:  # too few rows to tell: weights of one deviation, half of the input's energy
            energy = float(np.square(self._centred(operator.inputs[0])).mean())
            deviation = np.maximum(np.sqrt(0.5 * energy * np.square(weights.astype(np.float64)).sum(axis=1)), 1.0)
        largest = 1.5 * self.spread
        loud = np.exp(np.clip(self.spread * self.rng.standard_normal(channels), -largest, largest))
        activation: Activation = getattr(operator, "activation", Activation.NONE)
        if activation is Activation.RELU6:
            loud *= 1.5
        scales = np.array([_round(value) for value in loud / deviation / source.scale], np.float32)
        if per_tensor:
            scales = np.array([_round(float(np.mean(loud / deviation)) / source.scale)], np.float32)
        factor = source.scale * np.broadcast_to(scales.astype(np.float64), (channels,))
        centre = np.clip(0.6 * self.rng.standard_normal(channels), -1.2, 1.2) * factor * deviation
        bias = np.round(centre / factor - sums.mean(axis=0)).clip(-(2.0**30), 2.0**30)
        self.parameters[operator.name] = Parameters(weights, bias.astype(np.int32), scales)
        self.quantization[operator.output] = _covering(factor * (sums + bias), activation)

    def _centred(self, tensor: str) -> Floats:
        return self.codes[tensor].astype(np.float64) - self.quantization[tensor].zero_point

    def _sums(self, operator: Operator, weights: NDArray[np.int8]) -> Floats:
        """Accumulators without bias (positions, O) of some output positions."""
        centred = self._centred(operator.inputs[0])
        if isinstance(operator, FullyConnected):
            rows = centred.reshape(-1, weights.shape[1])
            return rows @ weights.T.astype(np.float64)
        assert isinstance(operator, Conv2D | DepthwiseConv2D)
        pad, (down, right), (height, width) = operator.padding, operator.stride, operator.dilation
        padded = np.pad(centred, ((0, 0), (pad.top, pad.bottom), (pad.left, pad.right), (0, 0)))
        extent = [(size - 1) * step + 1 for size, step in zip(operator.kernel, operator.dilation, strict=True)]
        windows = sliding_window_view(padded, extent, axis=(1, 2))[:, ::down, ::right, :, ::height, ::width]
        places = [self.rng.integers(0, size, SAMPLES) for size in windows.shape[:3]]
        seen = windows[tuple(places)].transpose(0, 2, 3, 1)  # (positions, KH, KW, C)
        if isinstance(operator, DepthwiseConv2D):
            seen = seen.repeat(operator.depth_multiplier, axis=3)
            return np.asarray(np.einsum("phwc,hwc->pc", seen, weights[0].astype(np.float64)))
        return seen.reshape(SAMPLES, -1) @ weights.reshape(len(weights), -1).T.astype(np.float64)


def _round(value: float) -> float:
    """A float32 number that does not depend on the last bits of a sum."""
    return float(np.float32(f"{value:.6g}"))


def _covering(real: Floats, activation: Activation) -> Quantization:
    """The quantization of values of this kind behind the activation, as a converter takes it from their extremes."""
    low, high = min(float(real.min()), 0.0), max(float(real.max()), 0.0)
    if activation in (Activation.RELU, Activation.RELU6):
        low = 0.0
    if activation is Activation.RELU6:
        high = min(high, 6.0)
    scale = max(_round((high - low) / 255.0), 1e-6)
    return Quantization(scale, int(np.clip(np.round(-128.0 - low / scale), -128, 127)))

"""Random int8 graphs: inverted residual blocks and arbitrary chains with awkward shapes, scales and zero points."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from hypothesis import strategies as st

from ofa_mcu.graph.ir import Int8Graph, Parameters, Quantization
from ofa_mcu.space.shapes import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Operator,
    Padding,
    Shape,
    ShapeGraph,
    same_padding,
)

__all__ = ["GraphBuilder", "graphs", "random_graph", "random_inputs"]


@dataclass
class GraphBuilder:
    """Grows one random graph; every method appends an operator and returns the name of its output tensor."""

    rng: np.random.Generator
    shapes: dict[str, Shape] = field(default_factory=dict)
    quantization: dict[str, Quantization] = field(default_factory=dict)
    parameters: dict[str, Parameters] = field(default_factory=dict)
    operators: list[Operator] = field(default_factory=list)

    def tensor(self, name: str, shape: Shape, quantization: Quantization | None = None) -> str:
        """A new activation tensor with a random quantization unless one is given."""
        self.shapes[name] = shape
        self.quantization[name] = quantization or self._quantization()
        return name

    def conv(
        self, source: str, channels: int, kernel: tuple[int, int], stride: tuple[int, int], same: bool, act: Activation
    ) -> str:
        """Conv2D with random weights, per channel or (sometimes) per tensor."""
        name = f"conv{len(self.operators)}"
        shape, padding = self._spatial(source, kernel, stride, same)
        output = self.tensor(f"{name}/out", (1, *shape, channels), self._quantization(act))
        depth = self.shapes[source][-1]
        self._weights(name, source, output, (channels, *kernel, depth), channels, kernel[0] * kernel[1] * depth)
        self.operators.append(
            Conv2D(
                name=name,
                inputs=(source,),
                output=output,
                kernel=kernel,
                stride=stride,
                padding=padding,
                activation=act,
            )
        )
        return output

    def depthwise(
        self, source: str, kernel: tuple[int, int], stride: tuple[int, int], same: bool, act: Activation
    ) -> str:
        """DepthwiseConv2D with random weights."""
        name = f"dw{len(self.operators)}"
        shape, padding = self._spatial(source, kernel, stride, same)
        depth = self.shapes[source][-1]
        output = self.tensor(f"{name}/out", (1, *shape, depth), self._quantization(act))
        self._weights(name, source, output, (1, *kernel, depth), depth, kernel[0] * kernel[1])
        self.operators.append(
            DepthwiseConv2D(
                name=name,
                inputs=(source,),
                output=output,
                kernel=kernel,
                stride=stride,
                padding=padding,
                activation=act,
            )
        )
        return output

    def fully_connected(self, source: str, channels: int, act: Activation) -> str:
        """FullyConnected with random weights, per tensor or (sometimes) per channel."""
        name = f"fc{len(self.operators)}"
        size = int(np.prod(self.shapes[source]))
        output = self.tensor(f"{name}/out", (1, channels), self._quantization(act))
        self._weights(name, source, output, (channels, size), channels, size, per_channel=self.rng.random() < 0.3)
        self.operators.append(FullyConnected(name=name, inputs=(source,), output=output, activation=act))
        return output

    def add(self, first: str, second: str, act: Activation) -> str:
        """Add of two tensors of equal shape."""
        name = f"add{len(self.operators)}"
        scale = max(self.quantization[first].scale, self.quantization[second].scale) * self.rng.uniform(0.4, 2.0)
        output = self.tensor(
            f"{name}/out",
            self.shapes[first],
            Quantization(float(np.float32(scale)), self._zero_point()),
        )
        self.operators.append(Add(name=name, inputs=(first, second), output=output, activation=act))
        return output

    def mean(self, source: str) -> str:
        """Spatial Mean; sometimes with the quantization of its input, which TFLite treats apart."""
        name = f"mean{len(self.operators)}"
        given = self.quantization[source]
        if self.rng.random() < 0.6:
            given = Quantization(float(np.float32(given.scale * self.rng.uniform(0.2, 1.5))), self._zero_point())
        output = self.tensor(f"{name}/out", (1, self.shapes[source][-1]), given)
        self.operators.append(Mean(name=name, inputs=(source,), output=output))
        return output

    def block(self, source: str) -> str:
        """Inverted residual block: expand, depthwise, project, and the sum with its input where shapes allow."""
        depth = self.shapes[source][-1]
        stride = int(self.rng.integers(1, 3))
        kernel = int(self.rng.choice([1, 2, 3, 5, 7]))
        hidden = self.conv(source, depth * int(self.rng.integers(1, 4)), (1, 1), (1, 1), True, Activation.RELU6)
        hidden = self.depthwise(hidden, (kernel, kernel), (stride, stride), True, Activation.RELU6)
        channels = depth if self.rng.random() < 0.6 else int(self.rng.integers(1, 13))
        output = self.conv(hidden, channels, (1, 1), (1, 1), True, Activation.NONE)
        if self.shapes[output] == self.shapes[source]:
            output = self.add(source, output, Activation.NONE)
        return output

    def finish(self, name: str, outputs: tuple[str, ...]) -> Int8Graph:
        """The graph of everything appended so far; its input is the tensor 'input'."""
        structure = ShapeGraph(name, dict(self.shapes), tuple(self.operators), ("input",), outputs)
        return Int8Graph(structure, dict(self.quantization), dict(self.parameters))

    def activation(self) -> Activation:
        """A random fused activation."""
        return (Activation.NONE, Activation.RELU, Activation.RELU6)[int(self.rng.integers(3))]

    def window(self, source: str, largest: int = 7) -> tuple[tuple[int, int], tuple[int, int], bool]:
        """Random kernel, stride and whether padding is SAME; VALID only where the kernel fits."""
        rng = self.rng
        square = rng.random() < 0.6
        kernel = int(rng.integers(1, largest + 1)), int(rng.integers(1, largest + 1))
        stride = int(rng.integers(1, 3)), int(rng.integers(1, 3))
        if square:
            kernel, stride = (kernel[0], kernel[0]), (stride[0], stride[0])
        _, height, width, _ = self.shapes[source]
        same = bool(rng.random() < 0.6) or kernel[0] > height or kernel[1] > width
        return kernel, stride, same

    def _zero_point(self) -> int:
        return int(self.rng.choice([-128, -128, 127, 0, int(self.rng.integers(-128, 128))]))

    def _quantization(self, act: Activation = Activation.NONE) -> Quantization:
        if act is Activation.RELU6 and self.rng.random() < 0.7:
            return Quantization(float(np.float32(6.0 / 255.0)), -128)
        scale = float(np.float32(np.exp(self.rng.uniform(np.log(1e-3), np.log(1.0)))))
        if act is not Activation.NONE and self.rng.random() < 0.6:
            return Quantization(scale, -128)
        return Quantization(scale, self._zero_point())

    def _spatial(
        self, source: str, kernel: tuple[int, int], stride: tuple[int, int], same: bool
    ) -> tuple[tuple[int, int], Padding]:
        _, height, width, _ = self.shapes[source]
        if not same:
            shape = (height - kernel[0]) // stride[0] + 1, (width - kernel[1]) // stride[1] + 1
            return shape, Padding()
        top, bottom = same_padding(height, kernel[0], stride[0])
        left, right = same_padding(width, kernel[1], stride[1])
        return (-(-height // stride[0]), -(-width // stride[1])), Padding(top, bottom, left, right)

    def _weights(
        self,
        name: str,
        source: str,
        output: str,
        shape: Shape,
        channels: int,
        taps: int,
        per_channel: bool | None = None,
    ) -> None:
        rng = self.rng
        if per_channel is None:
            per_channel = bool(rng.random() < 0.85)
        spread = rng.choice([0.2, 0.7, 1.5])
        # A factor that spreads the outputs over the int8 codes, a few channels almost dead or far too loud.
        factor = 40.0 / (70.0 * 60.0 * np.sqrt(taps)) * np.exp(spread * rng.standard_normal(channels))
        factor[rng.random(channels) < 0.03] *= 1e-7
        factor[rng.random(channels) < 0.03] *= 30.0
        if not per_channel:
            factor = factor[:1]
        ratio = self.quantization[output].scale / self.quantization[source].scale
        scales = np.maximum(factor * ratio, 1e-30).astype(np.float32)
        lowest = -128 if rng.random() < 0.1 else -127
        bias = rng.standard_normal(channels) * 40.0 / np.broadcast_to(factor, (channels,))
        self.parameters[name] = Parameters(
            weights=rng.integers(lowest, 128, shape, dtype=np.int8),
            bias=bias.clip(-(2**24), 2**24).astype(np.int32),
            weight_scales=scales,
        )


def random_graph(rng: np.random.Generator, *, max_ops: int = 8) -> Int8Graph:
    """A random valid graph with one input, one output and at most `max_ops` operators (1 at least)."""
    build = GraphBuilder(rng)
    size = int(rng.integers(1, 15)), int(rng.integers(1, 15))
    if rng.random() < 0.3:
        size = (size[0], size[0])
    current = build.tensor("input", (1, *size, int(rng.integers(1, 10))))
    budget = int(rng.integers(1, max_ops + 1))
    blocky = rng.random() < 0.5
    while len(build.operators) < budget:
        left = budget - len(build.operators)
        if left <= 2 and rng.random() < 0.6:
            break
        if blocky and left >= 4:
            current = build.block(current)
            continue
        choice = rng.random()
        partners = [name for name, shape in build.shapes.items() if shape == build.shapes[current]]
        if choice < 0.4:
            kernel, stride, same = build.window(current, 5)
            current = build.conv(current, int(rng.integers(1, 20)), kernel, stride, same, build.activation())
        elif choice < 0.75:
            kernel, stride, same = build.window(current)
            current = build.depthwise(current, kernel, stride, same, build.activation())
        else:
            current = build.add(current, partners[int(rng.integers(len(partners)))], build.activation())
    if len(build.operators) < budget and rng.random() < 0.7:
        current = build.mean(current)
    if len(build.operators) < budget or not build.operators:
        current = build.fully_connected(current, int(rng.integers(1, 12)), build.activation())
    return build.finish("random", (current,))


def random_inputs(graph: Int8Graph, rng: np.random.Generator, count: int = 1) -> dict[str, np.ndarray]:
    """`count` random int8 images for every input of the graph: name to (count, ...)."""
    return {
        name: rng.integers(-128, 128, (count, *graph.structure.shapes[name][1:]), dtype=np.int8)
        for name in graph.structure.inputs
    }


def graphs(max_ops: int = 8) -> st.SearchStrategy[Int8Graph]:
    """Hypothesis strategy of random graphs; it shrinks towards fewer operators and smaller seeds."""
    return st.builds(
        lambda seed, ops: random_graph(np.random.default_rng(seed), max_ops=ops),
        seed=st.integers(0, 2**32 - 1),
        ops=st.integers(1, max_ops),
    )

"""Random graphs with the detours that exporters make: axes moved there and back, reshapes, dead channels."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
from hypothesis import strategies as st

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.space.shapes import (
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    HardSwish,
    Mean,
    Pad,
    Quantize,
    Relu,
    Reshape,
    Softmax,
    StridedSlice,
    Sub,
    Transpose,
)
from tests.graph.wide import KINDS, WideBuilder

__all__ = ["exported_graph", "exported_graphs"]


class Exporter(WideBuilder):
    """Appends whole patterns; each returns the name of the tensor it ends with."""

    def image(self, source: str) -> str:
        return self._fitted(Conv2D, source)

    def moved_axes(self, source: str) -> str:
        """A Transpose, operators that can do with any order, and mostly the way back."""
        rng = self.rng
        source = self.image(source)
        order = (0, *(int(axis) + 1 for axis in rng.permutation(3)))
        current = self.append(Transpose, (source,), self.quantization[source], permutation=order)
        for _ in range(int(rng.integers(0, 4))):
            before = current
            kinds = (Relu, HardSwish, Quantize, Pad, StridedSlice, Softmax, Concatenation, Mean, Sub)
            current = self.grow(kinds[int(rng.integers(len(kinds)))], current)
            if len(self.shapes[current]) != 4 or self.shapes[current][0] != 1:
                return current
            if self.shapes[current] == self.shapes[before] and rng.random() < 0.3:
                current = self.append(Sub, (before, current), self.near(current))
        if rng.random() < 0.7:
            back = tuple(order.index(axis) for axis in range(4))
            current = self.append(Transpose, (current,), self.quantization[current], permutation=back)
        return current

    def flattened(self, source: str) -> str:
        """A Transpose, a flat Reshape and a fully connected layer."""
        source = self.image(source)
        order = (0, *(int(axis) + 1 for axis in self.rng.permutation(3)))
        current = self.append(Transpose, (source,), self.quantization[source], permutation=order)
        if self.rng.random() < 0.6:
            current = self.append(Reshape, (current,), self.quantization[current], (1, prod(self.shapes[source])))
        return self.grow(FullyConnected, current)

    def one_dimensional(self, source: str) -> str:
        """A convolution along one axis with a Reshape on each side."""
        source = self.image(source)
        _, height, width, depth = self.shapes[source]
        given = self.quantization[source]
        current = self.append(Reshape, (source,), given, (1, height * width, depth))
        current = self.append(Reshape, (current,), given, (1, 1, height * width, depth))
        current = self.grow(Conv2D if self.rng.random() < 0.5 else AveragePool2D, current)
        current = self.grow(Relu, current)
        _, height, width, depth = self.shapes[current]
        current = self.append(Reshape, (current,), self.quantization[current], (1, height * width, depth))
        return self.grow((Mean, FullyConnected, Quantize)[int(self.rng.integers(3))], current)

    def one_channel(self, source: str) -> str:
        """A depthwise convolution of one channel."""
        source = self.image(source)
        _, height, width, depth = self.shapes[source]
        current = self.append(Reshape, (source,), self.quantization[source], (1, height, width * depth, 1))
        return self.grow(DepthwiseConv2D, current)

    def one_window(self, source: str) -> str:
        """A mean over the image and convolutions of what is left."""
        source = self.image(source)
        current = self.append(Mean, (source,), self.near(source), axes=(1, 2), keep_dims=True)
        return self.grow(Conv2D, self.grow(Conv2D, current))


def exported_graph(rng: np.random.Generator, max_parts: int = 4) -> Int8Graph:
    """A random graph of such patterns and of any operators between them, with one or two outputs."""
    build = Exporter(rng)
    current = build.tensor("input", (1, int(rng.integers(1, 10)), int(rng.integers(1, 10)), int(rng.integers(1, 9))))
    patterns = (build.moved_axes, build.flattened, build.one_dimensional, build.one_channel, build.one_window)
    for _ in range(int(rng.integers(1, max_parts + 1))):
        if prod(build.shapes[current]) > 5_000:
            break
        choice = int(rng.integers(len(patterns) + 3))
        current = patterns[choice](current) if choice < len(patterns) else build.grow(_kind(rng), current)
    outputs = [current]
    if rng.random() < 0.3:
        other = build.operators[int(rng.integers(len(build.operators)))].output
        outputs += [other] if other not in outputs else []
    for name, given in build.parameters.items():
        gone = rng.random(len(given.bias)) < rng.choice([0.0, 0.4, 0.8])
        weights = given.weights.copy()
        if name.startswith("depthwise"):
            weights[..., gone] = 0
        else:
            weights[gone] = 0
        build.parameters[name] = replace(given, weights=weights)
    return build.done("exported", tuple(outputs))


def _kind(rng: np.random.Generator) -> type:
    return KINDS[int(rng.integers(len(KINDS)))]


def exported_graphs(max_parts: int = 4) -> st.SearchStrategy[Int8Graph]:
    """Hypothesis strategy of such graphs."""
    return st.builds(
        lambda seed, parts: exported_graph(np.random.default_rng(seed), parts),
        seed=st.integers(0, 2**32 - 1),
        parts=st.integers(1, max_parts),
    )

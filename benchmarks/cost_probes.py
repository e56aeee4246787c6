"""Random layers whose instructions are counted: shapes of the shipped space and beyond."""

from __future__ import annotations

import numpy as np

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

__all__ = ["probe_graph"]

PROBE_LAYERS = 11
MAX_MACS, MAX_BYTES, MAX_INPUTS = 600_000, 8_000, 1_200
"""Of a layer, of a tensor, of a fully connected layer: a counter of 24 bits and 128 KB of RAM must do."""


def random_channels(rng: np.random.Generator) -> int:
    """1..128, evenly on a logarithmic scale; mostly multiples of four."""
    channels = int(np.exp(rng.uniform(0, np.log(128.99))))
    return channels if rng.random() < 0.4 else max(4, channels // 4 * 4)


def random_operator(rng: np.random.Generator, name: str, source: str, shape: Shape) -> tuple[Operator, Shape] | None:
    """A layer that reads the tensor, and its output's shape; None where it would be too large to probe."""
    _, height, width, depth = shape
    kind = rng.choice(["conv", "depthwise", "pointwise", "add", "mean", "dense"], p=[0.28, 0.28, 0.16, 0.08, 0.1, 0.1])
    at = {"name": name, "inputs": (source,), "output": name}
    channels = random_channels(rng)
    if kind == "add":
        return Add(name=name, inputs=(source, source), output=name), shape
    if kind == "mean":
        return Mean(**at), (1, depth)
    if kind == "dense":
        return (FullyConnected(**at), (1, channels)) if height * width * depth <= MAX_INPUTS else None
    activation = Activation.RELU6 if rng.random() < 0.6 else Activation.NONE
    if kind == "pointwise":
        kernel, stride = 1, 1
    else:
        kernel = int(rng.choice([3, 3, 5, 7] if kind == "depthwise" else [1, 3, 3, 5, 7]))
        stride = 2 if kernel == 1 else int(rng.choice([1, 1, 2]))
    padding = Padding(*same_padding(height, kernel, stride), *same_padding(width, kernel, stride))
    out = (1, -(-height // stride), -(-width // stride), channels)
    if kernel <= min(height, width) and rng.random() < 0.15:
        padding, out = Padding(), (1, (height - kernel) // stride + 1, (width - kernel) // stride + 1, channels)
    window = {"kernel": (kernel, kernel), "stride": (stride, stride), "padding": padding, "activation": activation}
    if kind == "depthwise":
        return DepthwiseConv2D(**at, **window), (*out[:3], depth)
    return Conv2D(**at, **window), out


def probe_graph(rng: np.random.Generator) -> ShapeGraph:
    """Random layers; means and dense layers end side branches nobody reads."""
    height = int(rng.integers(2, 33))
    width = height if rng.random() < 0.7 else int(rng.integers(2, 33))
    shapes: dict[str, Shape] = {"input": (1, height, width, min(random_channels(rng), MAX_BYTES // (height * width)))}
    operators: list[Operator] = []
    source = "input"
    while len(operators) < PROBE_LAYERS:
        name = f"layer{len(operators)}"
        found = random_operator(rng, name, source, shapes[source])
        if found is None or int(np.prod(found[1])) > MAX_BYTES:
            continue
        operator, shape = found
        graph = ShapeGraph("probe", {**shapes, name: shape}, (operator,), (source,), (name,))
        if graph.macs > MAX_MACS:
            continue
        operators.append(operator)
        shapes[name] = shape
        if len(shape) == 4:
            source = name
    return ShapeGraph("probe", shapes, tuple(operators), ("input",), (operators[-1].output,))

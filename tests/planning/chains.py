"""Networks that are one chain of layers, of any sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.graph.passes.adds import fuse_adds
from ofa_mcu.graph.random_weights import quantized
from ofa_mcu.planning.chains import chains_of
from ofa_mcu.space.lowering import GraphBuilder
from ofa_mcu.space.shapes import Activation, ShapeGraph

__all__ = ["chain_graph", "chain_structure"]

_MOST_BYTES = 20_000


def chain_structure(rng: np.random.Generator) -> ShapeGraph:
    """Shapes of a network that is one chain: a stem or an expansion, depthwise, and mostly what may follow."""
    while True:
        height, width = (int(size) for size in rng.integers(2, 21, 2))
        stem = rng.random() < 0.4
        depth = int(rng.choice([1, 3, 4])) if stem else 4 * int(rng.integers(1, 7))
        net = GraphBuilder((1, height, width, depth))
        wide = 4 * int(rng.integers(2, 6)) if stem else depth * int(rng.integers(2, 6))
        kernel, stride = ((3, 3), (int(rng.integers(1, 3)),) * 2) if stem else ((1, 1), (1, 1))
        x = net.conv("widen", "input", wide, kernel, stride, Activation.RELU6)
        size, step = int(rng.choice([3, 3, 5, 7])), int(rng.integers(1, 3))
        x = net.depthwise("depthwise", x, (size, size), (step, step))
        if rng.random() < 0.85:
            sums = not stem and step == 1 and rng.random() < 0.5
            x = net.pointwise("narrow", x, depth if sums else 4 * int(rng.integers(1, 7)), Activation.NONE)
            order = ("input", x) if rng.random() < 0.7 else (x, "input")
            x = net.add("sum", *order) if sums else x
        graph = net.graph("chain", x)
        if chains_of(graph) and max(map(graph.bytes_of, graph.shapes)) <= _MOST_BYTES:
            return graph


def chain_graph(rng: np.random.Generator, *, fused: bool = False) -> Int8Graph:
    """Such a network with weights, any zero point of its input, and (`fused`) the sum as part of its convolution."""
    graph = quantized(chain_structure(rng), rng)
    scale = graph.quantization["input"].scale
    source = Quantization(scale, int(rng.integers(-128, 128)))
    graph = replace(graph, quantization={**graph.quantization, "input": source})
    return fuse_adds(graph) if fused else graph

"""Networks with random weights and plausible scales: for measuring what only shapes decide."""

from __future__ import annotations

import numpy as np

from ofa_mcu.graph.ir import Int8Graph, Parameters, Quantization
from ofa_mcu.space.shapes import Activation, Conv2D, DepthwiseConv2D, FullyConnected, Mean, ShapeGraph

__all__ = ["quantized", "random_weights"]


def random_weights(structure: ShapeGraph, rng: np.random.Generator) -> Int8Graph:
    """An int8 graph of that structure whose activations are well spread; equal draws, equal graph."""
    quantization = {name: Quantization(float(np.float32(6 / 255)), -128) for name in structure.shapes}
    parameters: dict[str, Parameters] = {}
    for operator in structure.operators:
        if getattr(operator, "activation", None) is Activation.NONE:
            quantization[operator.output] = Quantization(float(np.float32(0.05)), 3)
        shape = structure.weight_shape(operator)
        if shape is not None and isinstance(operator, Conv2D | DepthwiseConv2D | FullyConnected):
            channels = structure.shapes[operator.output][-1]
            taps = int(np.prod(shape)) // channels
            count = 1 if isinstance(operator, FullyConnected) else channels
            parameters[operator.name] = Parameters(
                weights=rng.integers(-127, 128, shape, dtype=np.int8),
                bias=rng.integers(-2000, 2000, channels, dtype=np.int32),
                weight_scales=(rng.uniform(0.5, 1.5, count) * 0.02 / np.sqrt(taps)).astype(np.float32),
            )
    return Int8Graph(structure, quantization, parameters)


def quantized(structure: ShapeGraph, rng: np.random.Generator) -> Int8Graph:
    """`random_weights`, and every mean has a scale of its own, as calibration gives it."""
    graph = random_weights(structure, rng)
    scales = dict(graph.quantization)
    for operator in structure.operators:
        if isinstance(operator, Mean):
            source = scales[operator.inputs[0]]
            scales[operator.output] = Quantization(float(np.float32(source.scale * 0.98)), source.zero_point)
    return Int8Graph(structure, scales, graph.parameters)

"""A small .tflite file with everything a compiled model can show: float borders, a reshape, a dead channel."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ofa_mcu.graph.ir import Int8Graph, Parameters
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.space.shapes import Activation, Dequantize, Quantize, Reshape
from tests.graph.wide import WideBuilder, quantization

__all__ = ["bordered_graph", "write_model_file"]


def bordered_graph() -> Int8Graph:
    """float32 in, QUANTIZE, two convolutions (channel 1 of the first is dead), RESHAPE, dense, DEQUANTIZE."""
    build = WideBuilder(np.random.default_rng(3))
    build.tensor("image", (1, 8, 6, 3), None)
    build.floats.add("image")
    del build.quantization["image"]
    current = build.append(Quantize, ("image",), quantization(0.02, -3))
    current = build.conv(current, 8, (3, 3), (1, 1), True, Activation.RELU6)
    first = build.operators[-1].name
    current = build.conv(current, 4, (1, 1), (1, 1), True, Activation.NONE)
    current = build.append(Reshape, (current,), build.quantization[current], (1, 192))
    current = build.fully_connected(current, 5, Activation.NONE)
    build.operators.append(Dequantize(name="scores", inputs=(current,), output="scores"))
    build.shapes["scores"] = build.shapes[current]
    build.floats.add("scores")
    build.quantization["conv1/out"] = quantization(6 / 255, -128)
    old = build.parameters[first]
    weights, bias = old.weights.copy(), old.bias.copy()
    weights[1], bias[1] = 0, 0
    build.parameters[first] = Parameters(weights, bias, old.weight_scales)
    return build.done("bordered", ("scores",), ("image",))


def write_model_file(folder: Path, graph: Int8Graph | None = None, name: str = "small model") -> Path:
    """The graph as a file."""
    path = folder / f"{name}.tflite"
    path.write_bytes(write_tflite(graph or bordered_graph()))
    return path

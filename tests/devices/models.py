"""Small .tflite files: with everything a compiled model can show (float borders, a reshape, a dead channel), and with
inputs and outputs of every kind.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ofa_mcu.graph.ir import Int8Graph, Parameters
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.space.shapes import Activation, AveragePool2D, Dequantize, Quantize, Reshape
from tests.graph.wide import WideBuilder, quantization

__all__ = ["bordered_graph", "many_ended_graph", "write_model_file"]


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


def many_ended_graph() -> Int8Graph:
    """Three inputs (float32, int8, one that nobody reads) and seven outputs.

    These are boxes, which are the features that scores are computed from under another shape, the features, scores in
    float32 and in int8, a constant, an input, and the boxes again.
    """
    build = WideBuilder(np.random.default_rng(4))
    build.inputs = ["image", "motion", "spare"]
    build.tensor("image", (1, 8, 6, 3))
    build.floats.add("image")
    del build.quantization["image"]
    build.tensor("motion", (1, 24))
    build.tensor("spare", (1, 31))
    current = build.append(Quantize, ("image",), quantization(0.02, -3))
    current = build.conv(current, 6, (3, 3), (1, 1), True, Activation.RELU6)
    build.quantization[current] = quantization(6 / 255, -128)
    current = build.append(AveragePool2D, (current,), build.quantization[current], kernel=(2, 2), stride=(2, 2))
    moved = build.fully_connected("motion", 72, Activation.NONE)
    moved = build.append(Reshape, (moved,), build.quantization[moved], (1, 4, 3, 6))
    features = build.add(current, moved, Activation.NONE)
    boxes = build.append(Reshape, (features,), build.quantization[features], (1, 12, 6))
    anchors = build.constant((1, 5))
    scores = build.fully_connected(features, 4, Activation.NONE)
    build.operators.append(Dequantize(name="scores", inputs=(scores,), output="scores"))
    build.shapes["scores"] = build.shapes[scores]
    build.floats.add("scores")
    return build.done("many ends", (boxes, features, "scores", scores, anchors, "motion", boxes))


def write_model_file(folder: Path, graph: Int8Graph | None = None, name: str = "small model") -> Path:
    """The graph as a file."""
    path = folder / f"{name}.tflite"
    path.write_bytes(write_tflite(graph or bordered_graph()))
    return path

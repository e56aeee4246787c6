"""Generated models for the tests: a simple placement of buffers, and files on disk."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ofa_mcu.codegen import emit_c
from ofa_mcu.graph.ir import Int8Graph, Parameters, Quantization
from ofa_mcu.space.shapes import Activation, Add, Conv2D, DepthwiseConv2D, FullyConnected, ShapeGraph

__all__ = ["place_in_place", "place_side_by_side", "random_weights", "write_model"]


def place_side_by_side(structure: ShapeGraph) -> tuple[dict[str, int], int]:
    """Offsets with every tensor in a place of its own, at odd addresses too; and the arena's size."""
    offsets: dict[str, int] = {}
    top = 1
    for tensor in structure.shapes:
        offsets[tensor] = top
        top += structure.bytes_of(tensor) + len(offsets) % 3
    return offsets, top


def place_in_place(structure: ShapeGraph) -> tuple[dict[str, int], int]:
    """The same with every sum written over the input that nothing reads later."""
    offsets, top = place_side_by_side(structure)
    for index, operator in enumerate(structure.operators):
        if isinstance(operator, Add):
            later = {name for other in structure.operators[index + 1 :] for name in other.inputs}
            for tensor in operator.inputs:
                if tensor not in later and tensor not in structure.outputs:
                    offsets[operator.output] = offsets[tensor]
    return offsets, top


def write_model(folder: Path, graph: Int8Graph, offsets: Mapping[str, int], arena: int, *, debug: bool = False) -> None:
    """The four generated files in the folder."""
    files = emit_c(graph, offsets, arena, name="test", model_crc32=0x1234ABCD, debug=debug)
    for file, text in files.items():
        (folder / file).write_text(text)


def random_weights(structure: ShapeGraph, rng: np.random.Generator) -> Int8Graph:
    """An int8 graph of that structure whose activations are well spread."""
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

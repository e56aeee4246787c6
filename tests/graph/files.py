"""Helpers around .tflite files: a graph with one operator of each kind, edited files, comparing graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.space.shapes import Activation
from tests.graph.strategies import GraphBuilder

__all__ = ["assert_equal", "edited", "edited_file", "small_graph"]


def assert_equal(first: Int8Graph, second: Int8Graph) -> None:
    """Every field of the two graphs is equal."""
    assert first.structure == second.structure
    assert first.quantization == second.quantization
    assert first.constants.keys() == second.constants.keys()
    assert all(np.array_equal(codes, second.constants[name]) for name, codes in first.constants.items())
    assert first.parameters.keys() == second.parameters.keys()
    for name, ours in first.parameters.items():
        for field in ("weights", "bias", "weight_scales"):
            mine, theirs = getattr(ours, field), getattr(second.parameters[name], field)
            assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs), (name, field)


def small_graph() -> Int8Graph:
    """One operator of each kind."""
    build = GraphBuilder(np.random.default_rng(7))
    source = build.tensor("input", (1, 7, 6, 4))
    current = build.conv(source, 4, (3, 3), (1, 1), True, Activation.RELU)
    current = build.add(source, current, Activation.RELU6)
    current = build.depthwise(current, (3, 3), (2, 2), False, Activation.RELU6)
    current = build.mean(current)
    return build.finish("small", (build.fully_connected(current, 5, Activation.NONE),))


def edited(graph: Int8Graph, edit: Callable[[Any], None]) -> bytes:
    """The graph's file after `edit` changed its object tree."""
    return edited_file(write_tflite(graph), edit)


def edited_file(data: bytes, edit: Callable[[Any], None]) -> bytes:
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    edit(model)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())

"""All passes together: every tensor that survives keeps its bytes, and the account of the others is true."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_mcu.errors import MismatchError
from ofa_mcu.graph import reference
from ofa_mcu.graph.check import check_graph
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.pipeline import Optimized, optimize, same_bytes
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.graph.verify import probe_inputs
from ofa_mcu.space.shapes import Conv2D, Reshape
from tests.graph.exported import exported_graphs
from tests.graph.files import assert_equal
from tests.graph.wide import WideBuilder, wide_graphs

MODELS = ("kws_ref_model", "mcunet_vww1", "micro_speech_quantized", "vww_96_int8")


def count(graph: Int8Graph) -> Counter[str]:
    return Counter(type(op).__name__ for op in graph.structure.operators)


def assert_exact(before: Int8Graph, done: Optimized) -> None:
    check_graph(done.graph)
    same_bytes(before, done, probe_inputs(before))
    filled = {*before.structure.inputs, *(op.output for op in before.structure.operators)}
    there = {*done.graph.structure.inputs, *(op.output for op in done.graph.structure.operators)}
    assert filled - there == done.eliminated.keys()
    assert set(done.aliases.root.values()) <= there
    assert done.kept.keys() <= there
    assert set(done.eliminated.values()) <= {step.name for step in done.steps}
    assert len(done.graph.structure.outputs) == len(before.structure.outputs)


@given(wide_graphs(8), st.booleans(), st.sampled_from([1, 4]))
@settings(max_examples=80)
def test_any_graph_keeps_its_bytes(graph: Int8Graph, dead_channels: bool, multiple: int) -> None:
    assert_exact(graph, optimize(graph, dead_channels=dead_channels, multiple=multiple))


@given(exported_graphs(), st.booleans(), st.sampled_from([1, 4]))
@settings(max_examples=80)
def test_any_detour_keeps_its_bytes(graph: Int8Graph, dead_channels: bool, multiple: int) -> None:
    assert_exact(graph, optimize(graph, dead_channels=dead_channels, multiple=multiple))


@given(exported_graphs())
@settings(max_examples=30)
def test_once_is_enough(graph: Int8Graph) -> None:
    done = optimize(graph)
    again = optimize(done.graph)
    assert again.steps == ()
    assert_equal(done.graph, again.graph)


@pytest.mark.parametrize("name", MODELS)
def test_foreign_models_keep_their_bytes(models_dir: Path, name: str) -> None:
    graph = read_tflite((models_dir / f"{name}.tflite").read_bytes(), name)
    done = optimize(graph)
    assert_exact(graph, done)
    assert not count(done.graph).keys() & {"Reshape", "Squeeze", "Transpose", "Pad", "Quantize", "Dequantize"}
    assert not done.aliases.free
    assert optimize(graph, dead_channels=False).kept == {}


def test_a_reshaped_input_and_a_depthwise_layer_of_one_channel(models_dir: Path) -> None:
    graph = read_tflite((models_dir / "micro_speech_quantized.tflite").read_bytes(), "speech")
    done = optimize(graph)
    assert count(done.graph) == Counter({"Conv2D": 1, "FullyConnected": 1, "Softmax": 1})
    assert done.graph.structure.shapes[graph.structure.inputs[0]] == (1, 49, 40, 1)
    assert [step.name for step in done.steps] == ["remove_reshapes", "convolve_one_channel"]
    assert "DepthwiseConv2D 'Relu' is a Conv2D" in done.steps[1].changes


def test_narrowed_tensors_are_told_by_their_channels(models_dir: Path) -> None:
    graph = read_tflite((models_dir / "vww_96_int8.tflite").read_bytes(), "vww")
    done, wide = optimize(graph), optimize(graph, multiple=4)
    inputs = probe_inputs(graph)
    before, after = reference.run(graph, inputs), reference.run(done.graph, inputs)
    for name, channels in done.kept.items():
        assert np.array_equal(after[name], before[name][..., channels])
    for name, channels in wide.kept.items():
        assert len(channels) % 4 == 0
        assert set(channels) >= set(done.kept[name])
    name = next(iter(done.kept))
    assert name not in optimize(graph, keep=[name]).kept
    assert done.graph.structure.macs < wide.graph.structure.macs < graph.structure.macs


def test_two_outputs_that_are_one_tensor_stay_two() -> None:
    build = WideBuilder(np.random.default_rng(0))
    current = build.grow(Conv2D, build.tensor("input", (1, 4, 4, 2)))
    flat = build.append(Reshape, (current,), build.quantization[current], (1, int(np.prod(build.shapes[current]))))
    graph = build.done("twice", (current, flat))
    done = optimize(graph)
    assert done.graph.structure.outputs == (current, flat)
    assert done.aliases.root == {flat: current} and len(done.aliases.free) == 1
    assert_exact(graph, done)


def test_a_wrong_graph_is_found_out() -> None:
    build = WideBuilder(np.random.default_rng(0))
    graph = build.done("wrong", (build.grow(Conv2D, build.tensor("input", (1, 4, 4, 2))),))
    done = optimize(graph)
    (name,) = done.graph.parameters
    given_ = done.graph.parameters[name]
    bias = given_.bias + np.int32(1 << 12)
    bad = replace(done, graph=replace(done.graph, parameters={name: replace(given_, bias=bias)}))
    with pytest.raises(MismatchError, match="of graph 'wrong' differs after the passes in"):
        same_bytes(graph, bad, probe_inputs(graph))

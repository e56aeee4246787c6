"""Passes: what they remove, and that every tensor that survives has the bytes it had."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from ofa_mcu.graph import reference
from ofa_mcu.graph.check import check_graph
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes import (
    alias_reshapes,
    fold_borders,
    fold_constants,
    fold_padding,
    fuse_relu,
    remove_dead_channels,
)
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.graph.verify import probe_inputs
from ofa_mcu.space.shapes import (
    Activation,
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Mul,
    Pad,
    Padding,
    Quantize,
    Relu,
    Relu6,
    ResizeNearestNeighbor,
)
from tests.graph.wide import WideBuilder, quantization, wide_graphs


def assert_same(before: Int8Graph, after: Int8Graph, kept: dict[str, np.ndarray] | None = None) -> None:
    """All tensors both graphs have are equal, but for their shapes, for inputs that go to the edges."""
    check_graph(after)
    inputs = probe_inputs(before)
    expected = reference.run(before, inputs)
    found = reference.run(after, {name: expected[name] for name in after.structure.inputs})
    assert all(name in found or name in after.constants for name in after.structure.outputs)
    for name, codes in found.items():
        if name not in expected:
            continue
        whole = expected[name]
        if kept and name in kept:
            whole = whole[..., kept[name]]
        assert np.array_equal(codes.reshape(whole.shape), whole), name


def count(graph: Int8Graph) -> Counter[str]:
    return Counter(type(op).__name__ for op in graph.structure.operators)


@given(wide_graphs(8))
@settings(max_examples=60)
def test_any_graph_keeps_its_bytes(graph: Int8Graph) -> None:
    for run in (fold_borders, fold_padding, fold_constants, fuse_relu):
        after = run(graph)
        assert_same(graph, after)
        graph = after
    live = remove_dead_channels(graph)
    assert_same(graph, live.graph, dict(live.kept))
    codes = reference.run(graph, probe_inputs(graph))
    for tensor, root in alias_reshapes(graph).root.items():
        assert np.array_equal(codes[tensor].ravel(), codes[root].ravel())


def test_borders_and_padding_of_a_foreign_model(models_dir: Path) -> None:
    graph = read_tflite((models_dir / "mcunet_vww1.tflite").read_bytes(), "mcunet")
    bare = fold_borders(graph)
    quantize, dequantize = graph.structure.operators[0], graph.structure.operators[-1]
    assert (bare.structure.inputs, bare.structure.outputs) == ((quantize.output,), dequantize.inputs)
    assert not bare.structure.floats
    assert_same(graph, bare)
    folded = fold_padding(bare)
    assert count(bare)["Pad"] == 4 and count(folded)["Pad"] == 0
    assert_same(bare, folded)


def test_half_of_a_foreign_model_is_dead(models_dir: Path) -> None:
    graph = read_tflite((models_dir / "vww_96_int8.tflite").read_bytes(), "vww")
    live = remove_dead_channels(graph)
    assert_same(graph, live.graph, dict(live.kept))
    assert live.graph.structure.macs < 0.51 * graph.structure.macs
    assert remove_dead_channels(live.graph).kept == {}


def test_dead_channels_fold_exactly_behind_every_reader() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        build = WideBuilder(rng)
        current = build.tensor("input", (1, 6, 5, 4))
        for kind in (Conv2D, DepthwiseConv2D, AveragePool2D, Conv2D, Relu, Conv2D, FullyConnected):
            current = build.grow(kind, current)
        for name, given_ in build.parameters.items():
            gone = rng.random(len(given_.bias)) < 0.4
            weights = given_.weights.copy()
            if name.startswith("depthwise"):
                weights[..., gone] = 0
            else:
                weights[gone] = 0
            build.parameters[name] = replace(given_, weights=weights)
        graph = build.done("dead", (current,))
        live = remove_dead_channels(graph)
        assert_same(graph, live.graph, dict(live.kept))
        assert live.graph.structure.macs <= graph.structure.macs


def test_dead_channels_go_through_joins_sizes_and_products() -> None:
    build = WideBuilder(np.random.default_rng(11))
    source = build.tensor("input", (1, 4, 5, 3))
    unpadded: dict[str, Any] = {"kernel": (1, 1), "stride": (1, 1), "same": True, "act": Activation.RELU}
    left, right, scale = (build.conv(source, channels, **unpadded) for channels in (6, 5, 11))
    means = build.append(Mean, (scale,), build.near(scale), axes=(1, 2), keep_dims=True)
    joined = build.append(Concatenation, (left, right), build.quantization[left], axis=3)
    raised = build.append(ResizeNearestNeighbor, (joined,), build.quantization[joined], (1, 8, 9, 1))
    scaled = build.append(Mul, (raised, means), quantization(100.0, 3))
    output = build.conv(scaled, 4, **unpadded)
    names = [op.name for op in build.operators]
    for index, gone in ((0, [1, 4]), (1, [0, 2]), (2, [1, 4, 6, 8, 10])):
        build.parameters[names[index]].weights[gone] = 0
    graph = build.done("joins", (output,))
    live = remove_dead_channels(graph)
    assert {name: list(channels) for name, channels in live.kept.items()} == {
        left: [0, 2, 3, 5],
        right: [1, 3, 4],
        **{name: [0, 2, 3, 5, 7, 9, 10] for name in (scale, means, joined, raised, scaled)},
    }
    assert_same(graph, live.graph, dict(live.kept))
    options: tuple[dict[str, Any], ...] = ({"multiple": 4}, {"keep": [right]})
    for given_, counts in zip(options, ([4, 4, 8], [4, 5, 9]), strict=True):
        wider = remove_dead_channels(graph, **given_)
        assert [wider.graph.structure.shapes[name][3] for name in (left, right, joined)] == counts
        assert_same(graph, wider.graph, dict(wider.kept))


def test_padding_that_is_not_the_zero_point_stays() -> None:
    build = WideBuilder(np.random.default_rng(0))
    source = build.tensor("input", (1, 4, 4, 2), quantization(0.1, 3))
    sides = ((0, 0), (1, 2), (0, 1), (0, 0))
    for value, left in ((None, 0), (3, 0), (4, 1)):
        padded = build.append(Pad, (source,), build.quantization[source], padding=sides, value=value)
        output = build.conv(padded, 3, (3, 3), (1, 1), False, Activation.NONE)
        graph = build.done("pad", (output,))
        folded = fold_padding(
            replace(graph, structure=replace(graph.structure, operators=graph.structure.operators[-2:]))
        )
        assert count(folded)["Pad"] == left
        last = folded.structure.operators[-1]
        assert isinstance(last, Conv2D) and last.padding == (Padding() if left else Padding(1, 2, 0, 1))
        assert_same(graph, folded)


@pytest.mark.parametrize("kind", [Relu, Relu6])
@pytest.mark.parametrize("activation", list(Activation))
def test_relus_fuse_where_one_clamp_does(kind: type[Relu | Relu6], activation: Activation) -> None:
    build = WideBuilder(np.random.default_rng(1))
    source = build.tensor("input", (1, 4, 4, 2), quantization(0.05, 3))
    summed = build.append(Add, (source, source), quantization(0.08, -20), activation=activation)
    graph = build.done("relu", (build.append(kind, (summed,), quantization(0.08, -20)),))
    fused = fuse_relu(graph)
    assert count(fused)[kind.__name__] == (1 if activation is Activation.RELU_N1_TO_1 else 0)
    assert_same(graph, fused)


def test_what_depends_on_constants_only_is_computed_at_once() -> None:
    build = WideBuilder(np.random.default_rng(2))
    source = build.tensor("input", (1, 3, 3, 4))
    scaled = build.append(Quantize, (build.constant((4,)),), quantization(0.1, 5))
    graph = build.done("constant", (build.append(Add, (source, scaled), quantization(2.0, 0)),))
    folded = fold_constants(graph)
    assert count(folded) == Counter({"Add": 1}) and list(folded.constants) == [scaled]
    assert_same(graph, folded)

"""Passes: what they remove, and that every tensor that survives has the bytes it had."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
from ofa_mcu.graph.pipeline import optimize, same_bytes
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.graph.verify import probe_inputs, verify
from ofa_mcu.space.shapes import (
    Activation,
    Add,
    AveragePool2D,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    Dequantize,
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
from tests.graph.wide import WideBuilder, many_ended, quantization, wide_graphs


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


def borders_of_every_kind() -> Int8Graph:
    """Floats that are quantized once, twice, never and handed on; codes that go out as they are, and dequantized."""
    build = WideBuilder(np.random.default_rng(8))
    build.inputs = ["once", "twice", "never", "passed", "codes"]
    for name in build.inputs:
        build.tensor(name, (1, 9))
        if name != "codes":
            build.floats.add(name)
            del build.quantization[name]
    given = quantization(0.03, 5)
    once = build.append(Quantize, ("once",), given)
    first, second = (build.append(Quantize, ("twice",), quantization(0.02, zero)) for zero in (-7, 9))
    passed = build.append(Quantize, ("passed",), given)
    total = build.add(first, second, Activation.NONE)
    total = build.add(total, passed, Activation.RELU)

    def real(source: str) -> str:
        name = f"real{len(build.operators)}"
        build.operators.append(Dequantize(name=name, inputs=(source,), output=name))
        build.shapes[name] = build.shapes[source]
        build.floats.add(name)
        return name

    outputs = (real(total), total, real(total), real(once), once, "passed", real("codes"), "codes")
    return build.done("borders", outputs)


def test_floats_at_many_borders() -> None:
    graph = borders_of_every_kind()
    bare = fold_borders(graph)
    assert_same(graph, bare)
    once, total = graph.structure.operators[0].output, graph.structure.outputs[1]
    assert bare.structure.inputs == (once, "twice", "never", "passed", "codes")
    real = bare.structure.outputs[3]
    assert bare.structure.outputs == (total, total, total, real, once, "passed", bare.structure.outputs[6], "codes")
    assert bare.structure.floats == {"twice", "never", "passed", real, bare.structure.outputs[6]}
    assert verify(graph).differing_bytes == 0


def test_outputs_that_depend_on_constants_only_are_constants() -> None:
    build = WideBuilder(np.random.default_rng(2))
    build.tensor("input", (1, 4))
    first, second = build.constant((1, 6)), build.constant((1, 6))
    total = build.append(Add, (first, second), build.near(first))
    build.operators.append(Dequantize(name="real", inputs=(total,), output="real"))
    build.shapes["real"] = (1, 6)
    build.floats.add("real")
    graph = build.done("constants", (total, build.append(Relu, ("input",), build.near("input")), "real", first))
    done = optimize(graph)
    assert done.graph.structure.outputs == (total, *graph.structure.outputs[1:2], total, first)
    assert done.graph.structure.constants == {total, first}
    wanted = reference.run(graph, probe_inputs(graph))
    assert np.array_equal(np.broadcast_to(done.graph.constants[total], wanted[total].shape), wanted[total])
    assert all(np.array_equal(done.expected(wanted)[name][2], done.graph.constants[name][0]) for name in (total, first))
    assert verify(graph).differing_bytes == 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_all_outputs_live_through_all_passes(seed: int) -> None:
    graph = many_ended(np.random.default_rng(seed))
    done = optimize(graph, fuse_adds=True)
    assert len(done.graph.structure.inputs) == len(graph.structure.inputs)
    assert same_bytes(graph, done, probe_inputs(graph, seed)) > 0
    wanted = reference.run(graph, probe_inputs(graph, seed))
    told = done.expected(wanted)
    for before, after in zip(graph.structure.outputs, done.graph.structure.outputs, strict=True):
        if before in wanted and before not in graph.structure.floats:
            assert np.array_equal(wanted[before].ravel(), told[after].ravel())

"""The numpy reference against TFLite Micro's host interpreter: every byte of every tensor."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph import reference
from ofa_mcu.graph.constants import channel_requantization, mean_constants
from ofa_mcu.graph.ir import Int8Graph, Parameters, Quantization
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import compare_with_tflm, probe_inputs, verify
from ofa_mcu.space.shapes import Activation, Add, DepthwiseConv2D, Mean, Padding, ShapeGraph
from tests.graph.strategies import GraphBuilder, graphs, random_graph, random_inputs


@given(graphs())
@settings(max_examples=150)
def test_equals_tflm_on_drawn_graphs(graph: Int8Graph) -> None:
    compare = compare_with_tflm(graph, write_tflite(graph), arena=False)
    assert compare.differences == ()


def test_equals_tflm_on_hundreds_of_graphs() -> None:
    compared = 0
    for seed in range(400):
        rng = np.random.default_rng([seed, 1])
        graph = random_graph(rng, max_ops=12)
        result = compare_with_tflm(graph, write_tflite(graph), random_inputs(graph, rng, 2), arena=False)
        assert result.differences == (), f"seed {seed}: {result.differences[0]}"
        compared += result.bytes_compared
    assert compared > 1_000_000


@pytest.mark.parametrize("activation", list(Activation))
@pytest.mark.parametrize("zero_point", [-128, 0, 127])
def test_equals_tflm_for_every_pair_of_an_add(activation: Activation, zero_point: int) -> None:
    codes = np.arange(-128, 128, dtype=np.int8)
    first, second = (grid.reshape(1, 256, 256, 1).astype(np.int8) for grid in np.meshgrid(codes, codes))
    shape = (1, 256, 256, 1)
    structure = ShapeGraph(
        "pairs",
        {"a": shape, "b": shape, "c": shape},
        (Add(name="sum", inputs=("a", "b"), output="c", activation=activation),),
        ("a", "b"),
        ("c",),
    )
    for scales in ((0.5, 0.5, 1.0), (0.031, 0.77, 0.4), (3e-5, 1.0, 0.01), (0.02, 0.013, 0.3)):
        single = [float(np.float32(scale)) for scale in scales]
        quantization = {
            "a": Quantization(single[0], -zero_point - 1 if zero_point < 0 else zero_point),
            "b": Quantization(single[1], 3),
            "c": Quantization(single[2], zero_point),
        }
        result = verify(Int8Graph(structure, quantization, {}), inputs={"a": first, "b": second})
        assert result.bytes_compared == 3 * 65536


def test_equals_tflm_for_means_of_every_size() -> None:
    rng = np.random.default_rng(3)
    for height, width in [(1, 1), (1, 7), (3, 5), (7, 7), (8, 8), (31, 33), (64, 64)]:
        for ratio in (1e-9, 0.01, 0.5, 1.0, 1.7, 200.0):
            structure = ShapeGraph(
                "mean",
                {"input": (1, height, width, 3), "out": (1, 3)},
                (Mean(name="mean", inputs=("input",), output="out"),),
                ("input",),
                ("out",),
            )
            source = Quantization(float(np.float32(0.0237)), int(rng.integers(-128, 128)))
            target = Quantization(float(np.float32(0.0237 / ratio)), int(rng.integers(-128, 128)))
            for pair in ((source, target), (source, Quantization(target.scale, source.zero_point))):
                verify(Int8Graph(structure, dict(zip(("input", "out"), pair, strict=True)), {}))


def test_layers_beyond_float32_are_exact() -> None:
    """800 taps of -128 by 127 and more pass 2**24, where float32 stops being exact."""
    rng = np.random.default_rng(0)
    build = GraphBuilder(rng)
    source = build.tensor("input", (1, 4, 4, 100), Quantization(float(np.float32(0.1)), 127))
    output = build.conv(source, 5, (3, 3), (1, 1), True, Activation.NONE)
    weights = np.where(rng.random((5, 3, 3, 100)) < 0.9, 127, 126).astype(np.int8)
    scales = np.full(5, build.quantization[output].scale / (0.1 * 2.0**17), np.float32)
    build.parameters["conv0"] = Parameters(weights, rng.integers(-1000, 1000, 5, dtype=np.int32), scales)
    graph = build.finish("deep", (output,))
    assert channel_requantization(graph, graph.structure.operators[0]).accumulator_bound > 1 << 24
    verify(graph)


def test_a_batch_is_its_images_one_by_one() -> None:
    rng = np.random.default_rng(8)
    graph = random_graph(rng, max_ops=10)
    inputs = random_inputs(graph, rng, 5)
    together = reference.run(graph, inputs)
    assert set(together) == {*graph.structure.inputs, *(op.output for op in graph.structure.operators)}
    for image in range(5):
        alone = reference.run(graph, {name: value[image : image + 1] for name, value in inputs.items()})
        for name, value in alone.items():
            assert value.dtype == np.int8
            assert np.array_equal(value[0], together[name][image])


def test_any_padding_equals_the_same_layer_without_on_a_padded_image() -> None:
    rng = np.random.default_rng(5)
    for seed in range(20):
        build = GraphBuilder(np.random.default_rng(seed))
        source = build.tensor("input", (1, 9, 8, 3))
        output = build.depthwise(source, (3, 2), (2, 1), False, Activation.NONE)
        graph = build.finish("plain", (output,))
        pad = Padding(*(int(p) for p in rng.integers(0, 3, 4)))
        small = (1, 9 - pad.top - pad.bottom, 8 - pad.left - pad.right, 3)
        plain = graph.structure.operators[0]
        assert isinstance(plain, DepthwiseConv2D)
        operator = dataclasses.replace(plain, padding=pad)
        structure = dataclasses.replace(
            graph.structure, shapes={**graph.structure.shapes, "input": small}, operators=(operator,)
        )
        padded = Int8Graph(structure, graph.quantization, graph.parameters)
        image = rng.integers(-128, 128, (2, *small[1:]), dtype=np.int8)
        zero = graph.quantization["input"].zero_point
        widths = ((0, 0), (pad.top, pad.bottom), (pad.left, pad.right), (0, 0))
        wide = np.pad(image, widths, constant_values=zero)
        expected = reference.run(graph, {"input": wide})[output]
        assert np.array_equal(reference.run(padded, {"input": image})[output], expected)


def test_requantization_is_the_constants() -> None:
    graph = random_graph(np.random.default_rng(2))
    for operator in graph.structure.operators:
        if operator.name in graph.parameters:
            multiplier, shift = reference.requantization(graph, operator)
            assert multiplier.dtype == np.int32 and shift.dtype == np.int8
            assert multiplier.shape == shift.shape == graph.parameters[operator.name].bias.shape


def test_refuses_inputs_that_do_not_fit() -> None:
    graph = random_graph(np.random.default_rng(1))
    shape = graph.structure.shapes["input"]
    with pytest.raises(OfaMcuError, match="without its input 'input'"):
        reference.run(graph, {})
    with pytest.raises(OfaMcuError, match="instead of int8"):
        reference.run(graph, {"input": np.zeros(shape, np.uint8)})
    with pytest.raises(OfaMcuError, match="supply int8 codes of that shape"):
        reference.run(graph, {"input": np.zeros((*shape, 1), np.int8)})


def _with_bias(graph: Int8Graph, name: str, bias: int) -> Int8Graph:
    old = graph.parameters[name]
    new = dataclasses.replace(old, bias=np.full_like(old.bias, bias))
    return dataclasses.replace(graph, parameters={**graph.parameters, name: new})


def test_refuses_accumulators_that_could_overflow() -> None:
    build = GraphBuilder(np.random.default_rng(0))
    source = build.tensor("input", (1, 4, 4, 3))
    graph = build.finish("loud", (build.conv(source, 2, (3, 3), (1, 1), True, Activation.NONE),))
    verify(_with_bias(graph, "conv0", 2**31 - 1 - 10_000_000))
    with pytest.raises(OfaMcuError, match="layer 'conv0' can overflow its 32-bit accumulator"):
        reference.run(_with_bias(graph, "conv0", 2**31 - 1), probe_inputs(graph))


@pytest.mark.parametrize("scale", [1e30, 3e38])
def test_refuses_scale_factors_beyond_any_shift(scale: float) -> None:
    build = GraphBuilder(np.random.default_rng(0))
    source = build.tensor("input", (1, 4), Quantization(float(np.float32(1e30)), 0))
    graph = build.finish("vast", (build.fully_connected(source, 1, Activation.NONE),))
    old = graph.parameters["fc0"]
    parameters = {"fc0": dataclasses.replace(old, weight_scales=np.array([scale], np.float32))}
    with pytest.raises(OfaMcuError, match="layer 'fc0' can overflow"):
        reference.run(dataclasses.replace(graph, parameters=parameters), probe_inputs(graph))


def test_refuses_scales_tflm_would_abort_on() -> None:
    shape = (1, 2, 2, 1)
    structure = ShapeGraph(
        "tiny", {"a": shape, "b": shape}, (Add(name="sum", inputs=("a", "a"), output="b"),), ("a",), ("b",)
    )
    graph = Int8Graph(structure, {"a": Quantization(1.0, 0), "b": Quantization(1e-7, 0)}, {})
    with pytest.raises(OfaMcuError, match="layer 'sum' is too small for its input scales"):
        reference.run(graph, {"a": np.zeros(shape, np.int8)})
    structure = ShapeGraph(
        "mean", {"a": (1, 64, 64, 1), "b": (1, 1)}, (Mean(name="mean", inputs=("a",), output="b"),), ("a",), ("b",)
    )
    graph = Int8Graph(structure, {"a": Quantization(1.0, 0), "b": Quantization(1e-9, 0)}, {})
    with pytest.raises(OfaMcuError, match="in layer 'mean' can leave 32 bits"):
        mean_constants(graph, Mean(name="mean", inputs=("a",), output="b"))

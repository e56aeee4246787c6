"""Every operator of the numpy reference against TFLite Micro's host interpreter, byte for byte, extremes included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph import reference
from ofa_mcu.graph.constants import operator_constants
from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import compare_with_tflm, verify
from ofa_mcu.space.shapes import (
    Activation,
    AveragePool2D,
    HardSwish,
    Logistic,
    MaxPool2D,
    Mul,
    Operator,
    Padding,
    Quantize,
    Relu,
    Relu6,
    Softmax,
    Sub,
    same_padding,
)
from tests.graph.files import assert_equal
from tests.graph.wide import KINDS, UNIT, WideBuilder, quantization, wide_graph, wide_graphs

CODES = np.arange(-128, 128, dtype=np.int8)


@given(wide_graphs())
@settings(max_examples=60)
def test_drawn_graphs_equal_tflm_and_survive_their_file(graph: Int8Graph) -> None:
    data = write_tflite(graph)
    assert_equal(graph, read_tflite(data))
    assert compare_with_tflm(graph, data, arena=False).differences == ()


@pytest.mark.parametrize("kind", KINDS)
def test_every_operator_equals_tflm(kind: type[Operator]) -> None:
    for seed in range(8):
        graph = wide_graph(np.random.default_rng([seed, 5]), max_ops=1, first=kind)
        assert any(isinstance(op, kind) for op in graph.structure.operators)
        result = compare_with_tflm(graph, write_tflite(graph), arena=False)
        assert result.differences == (), f"seed {seed}: {result.differences[0]}"


def single(kind: type[Operator], source: Quantization, target: Quantization, **options: Any) -> Int8Graph:
    """One operator that reads every code once."""
    build = WideBuilder(np.random.default_rng(0))
    build.tensor("input", (1, 256), source)
    return build.done("codes", (build.append(kind, ("input",), target, **options),))


@pytest.mark.parametrize("kind", [Logistic, HardSwish, Relu, Relu6, Quantize])
def test_functions_of_a_code_equal_tflm_for_all_codes_and_scales(kind: type[Operator]) -> None:
    rng = np.random.default_rng(1)
    compared = refused = 0
    scales = [1e-12, 1e-6, 1e-3, 1.0 / 256.0, 1.0 / 128.0, 0.0235, 3.0 / 32768.0 * 128, 0.05, 1.0, 17.0, 1e3, 1e6]
    scales += list(np.exp(rng.uniform(np.log(1e-4), np.log(3.0), 12)))
    for scale in scales:
        for ratio in [1.0] if kind is Logistic else [1e-5, 0.5, 1.0, float(rng.uniform(0.1, 4)), 1e6]:
            zeros = rng.choice([-128, 127, 0, int(rng.integers(-128, 128))], 2)
            source = quantization(scale, int(zeros[0]))
            target = UNIT if kind is Logistic else quantization(scale / ratio, int(zeros[1]))
            graph = single(kind, source, target)
            try:
                operator_constants(graph, graph.structure.operators[0])
            except OfaMcuError:
                refused += 1
                continue
            inputs = {"input": CODES.reshape(1, 256)}
            assert compare_with_tflm(graph, write_tflite(graph), inputs, arena=False).differences == ()
            compared += 1
    assert compared >= 20 and refused < 2 * compared


def test_softmax_equals_tflm_over_many_scales() -> None:
    rng = np.random.default_rng(2)
    for scale in [1e-7, 1e-4, 0.004, 1.0 / 256.0, 0.03, 0.1, 0.25, 1.0, 7.3, 40.0, 1e4, *rng.uniform(0.001, 0.6, 12)]:
        for depth in (1, 2, 3, 10, 256):
            build = WideBuilder(rng)
            build.tensor("input", (1, 40, depth), quantization(scale, int(rng.integers(-128, 128))))
            graph = build.done("softmax", (build.append(Softmax, ("input",), UNIT, beta=float(rng.choice([1, 0.7]))),))
            rows = rng.integers(-128, 128, (1, 40, depth), dtype=np.int8)
            rows[0, 0], rows[0, 1] = -128, 127
            rows[0, 2, 0] = 127
            rows[0, 3] = np.resize(CODES, depth)
            rows[0, 4:20] = rng.integers(100, 128, (16, depth))
            verify(graph, inputs={"input": rows})


@pytest.mark.parametrize("kind", [Mul, Sub])
@pytest.mark.parametrize("activation", list(Activation))
def test_every_pair_of_codes_equals_tflm(kind: type[Operator], activation: Activation) -> None:
    first, second = (grid.reshape(1, 256, 256, 1).astype(np.int8) for grid in np.meshgrid(CODES, CODES))
    for zeros in ((-128, 127, 0), (3, -5, -128), (127, 127, 127)):
        for scales in ((0.5, 0.5, 1.0), (0.031, 0.77, 0.4), (3e-5, 1.0, 0.01), (0.02, 0.013, 0.0007)):
            build = WideBuilder(np.random.default_rng(0))
            for name, scale, zero in zip(("input", "second"), scales, zeros, strict=False):
                build.tensor(name, (1, 256, 256, 1), quantization(scale, zero))
            output = build.append(kind, ("input", "second"), quantization(scales[2], zeros[2]), activation=activation)
            graph = build.done("pairs", (output,), ("input", "second"))
            verify(graph, inputs={"input": first, "second": second})


@pytest.mark.parametrize("kind", [AveragePool2D, MaxPool2D])
def test_pools_with_padding_equal_tflm(kind: type[Operator]) -> None:
    rng = np.random.default_rng(3)
    for size in ((1, 1), (2, 5), (7, 6)):
        for kernel in ((1, 1), (2, 2), (3, 3), (5, 4), (9, 9)):
            for stride in ((1, 1), (2, 3)):
                build = WideBuilder(rng)
                build.tensor("input", (1, *size, 3))
                top, bottom = same_padding(size[0], kernel[0], stride[0])
                left, right = same_padding(size[1], kernel[1], stride[1])
                padding = Padding(top, bottom, left, right)
                for activation in Activation:
                    output = build.append(
                        kind,
                        ("input",),
                        build.quantization["input"],
                        kernel=kernel,
                        stride=stride,
                        padding=padding,
                        activation=activation,
                    )
                verify(build.done("pools", (output,)))


def test_float_borders_equal_tflm_between_and_beyond_the_codes() -> None:
    rng = np.random.default_rng(4)
    for scale in (1e-6, 0.00784, 0.5, 1.0, 3.7, 1e9):
        build = WideBuilder(rng)
        build.shapes["input"] = (1, 4000)
        build.floats.add("input")
        zero = int(rng.integers(-128, 128))
        output = build.append(Quantize, ("input",), quantization(scale, zero))
        graph = build.done("border", (output,))
        steps = np.concatenate(
            [np.arange(-300, 300) / 2.0, rng.uniform(-300, 300, 3395), [1e9, -1e9, 0.0, -0.0, 0.49999997]]
        )
        verify(graph, inputs={"input": (steps * np.float32(scale)).astype(np.float32).reshape(1, 4000)})


def test_a_batch_is_its_images_one_by_one() -> None:
    for seed in range(30):
        rng = np.random.default_rng([seed, 9])
        graph = wide_graph(rng)
        shape = graph.structure.shapes["input"][1:]
        images = rng.integers(-128, 128, (3, *shape)).astype(np.float32 if graph.structure.floats else np.int8)
        together = reference.run(graph, {"input": images})
        for image in range(3):
            alone = reference.run(graph, {"input": images[image : image + 1]})
            for name, value in alone.items():
                assert np.array_equal(value[0], together[name][image])


@pytest.mark.parametrize(
    ("kind", "source", "target", "message"),
    [
        (Logistic, Quantization(0.1, 0), Quantization(0.5, -128), "has scale 0.5 and zero point -128 instead of 1/256"),
        (Logistic, quantization(1e-12, 0), UNIT, "input scale 1e-12 of layer 'logistic0' is too small"),
        (Softmax, quantization(1e-12, 0), UNIT, "input scale 1e-12 of layer 'softmax0' is too small"),
        (Softmax, Quantization(0.1, 0), Quantization(1 / 256, 0), "and zero point 0 instead of 1/256 and -128"),
        (HardSwish, Quantization(1.0, 0), quantization(1e-4, 0), "input scale 1 of layer 'hardswish0' is too large"),
        (Quantize, Quantization(1.0, 0), quantization(1e-9, 0), "layer 'quantize0' scales codes by 1e.09, beyond 32"),
    ],
)
def test_scales_tflm_cannot_compute_with_are_refused(
    kind: type[Operator], source: Quantization, target: Quantization, message: str
) -> None:
    with pytest.raises(OfaMcuError, match=message) as caught:
        reference.run(single(kind, source, target), {"input": CODES.reshape(1, 256)})
    assert "\n" not in str(caught.value)

"""Every kernel against the numpy reference: 0 differing bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ofa_mcu.graph.arithmetic import multiply_by_quantized_multiplier
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.reference import run, run_operator
from ofa_mcu.space.shapes import Activation, Add
from tests.graph.strategies import GraphBuilder, graphs, random_graph, random_inputs
from tests.kernels.runner import KernelRunner

FEW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check(kernels: KernelRunner, graph: Int8Graph, rng: np.random.Generator) -> None:
    """Each operator on the reference's tensors, so that one wrong layer does not hide another."""
    tensors = run(graph, random_inputs(graph, rng))
    for index, operator in enumerate(graph.structure.operators):
        inputs = [tensors[name][0].ravel() for name in operator.inputs]
        wanted = tensors[operator.output][0].ravel()
        for place in (0, 1, 2) if isinstance(operator, Add) else (0,):
            got = kernels.run_layer(graph, index, inputs, place)
            differing = int((got != wanted).sum())
            assert differing == 0, f"{differing} of {wanted.size} bytes differ in {operator} (place {place})"


@FEW
@given(graph=graphs(), seed=st.integers(0, 2**32 - 1))
def test_random_graphs(kernels: KernelRunner, graph: Int8Graph, seed: int) -> None:
    check(kernels, graph, np.random.default_rng(seed))


def test_many_random_graphs(kernels: KernelRunner) -> None:
    rng = np.random.default_rng(20)
    for _ in range(100):
        check(kernels, random_graph(rng), rng)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("same", [False, True])
def test_first_layer(kernels: KernelRunner, channels: int, stride: int, same: bool) -> None:
    rng = np.random.default_rng(channels * 10 + stride)
    build = GraphBuilder(rng)
    build.tensor("input", (1, 28, 27, channels))
    output = build.conv("input", 16, (3, 3), (stride, stride), same, Activation.RELU6)
    check(kernels, build.finish("first", (output,)), rng)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 4, 14])
def test_depthwise(kernels: KernelRunner, kernel: int, stride: int, size: int) -> None:
    rng = np.random.default_rng(kernel * 10 + stride)
    for channels in (1, 3, 4, 6, 16):
        build = GraphBuilder(rng)
        build.tensor("input", (1, size, size, channels))
        output = build.depthwise("input", (kernel, kernel), (stride, stride), True, Activation.RELU)
        check(kernels, build.finish("depthwise", (output,)), rng)


def test_add_on_every_pair_of_codes(kernels: KernelRunner) -> None:
    codes = np.arange(-128, 128, dtype=np.int8)
    pairs = {"a": codes.repeat(256), "b": np.tile(codes, 256)}
    rng = np.random.default_rng(3)
    for _ in range(20):
        build = GraphBuilder(rng)
        for name in pairs:
            build.tensor(name, (1, 256, 256, 1))
        build.add("a", "b", Activation.NONE)
        graph = build.finish("add", ("add0/out",))
        operator = graph.structure.operators[0]
        wanted = run_operator(graph, operator, *(value.reshape(1, 256, 256, 1) for value in pairs.values()))
        assert (kernels.run_layer(graph, 0, list(pairs.values())) == wanted.ravel()).all()


def test_requantization_over_the_whole_range(kernels: KernelRunner) -> None:
    """A fully connected layer with weights 0 requantizes its biases: any accumulator, any multiplier, any shift."""
    rng = np.random.default_rng(5)
    count = 40_000
    multiplier = rng.integers(1 << 30, 1 << 31, count)
    multiplier[:1000] = 1 << 30
    multiplier[1000:2000] = (1 << 31) - 1
    multiplier[2000:2100] = 0
    shift = rng.integers(-31, 31, count)
    # Magnitudes that leave outputs around and beyond int8, cut to what the shift allows.
    limit = np.minimum(2.0 ** (10 - shift), 2.0 ** (31 - np.maximum(shift, 0)) - 1)
    bias = np.trunc(rng.uniform(-1, 1, count) * limit).astype(np.int64)
    ties = np.clip(shift, -24, 0) == shift
    # With a multiplier of 2**30 these accumulators lie on or beside ties of the second rounding.
    multiplier[3000:6000] = 1 << 30
    near = (2 * rng.integers(-128, 128, count) + 1) << np.where(ties, -shift, 0)
    bias[3000:6000] = np.where(ties, near + rng.integers(-2, 3, count), bias)[3000:6000]
    extremes = shift <= -24
    bias[extremes] = rng.choice([2**31 - 1, -(2**31) + 1, -(2**31), 2**30, -(2**30), 0, -1], int(extremes.sum()))
    for zero_point, low, high in [(0, -128, 127), (-128, -128, 127), (5, -20, 60)]:
        scaled = multiply_by_quantized_multiplier(bias.copy(), multiplier, shift)
        wanted = np.clip(scaled + zero_point, low, high).astype(np.int8)
        arrays = [np.zeros(count, np.int8), bias.astype(np.int32), multiplier.astype(np.int32), shift.astype(np.int8)]
        got = kernels.call(
            "ofa_fully_connected", [0, zero_point, low, high, 1, count], arrays, [np.zeros(1, np.int8)], count
        )
        assert (got == wanted).all(), np.flatnonzero(got != wanted)[:5]

"""Passes that give layers another form: when they do, when they may not, and that no byte changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ofa_mcu.graph import reference
from ofa_mcu.graph.arithmetic import multiply_by_quantized_multiplier
from ofa_mcu.graph.constants import ChannelRequantization
from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.graph.passes import (
    AddFusion,
    convolve_one_channel,
    convolve_rows,
    crop_kernels,
    drop_unread,
    flatten_whole_windows,
    fuse_add,
    remove_reshapes,
    reshape_identities,
    sink_transposes,
)
from ofa_mcu.graph.passes.equality import same_codes
from ofa_mcu.graph.passes.views import View, viewed
from ofa_mcu.space.shapes import (
    Activation,
    Concatenation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Mul,
    Operator,
    Pad,
    Padding,
    Relu,
    Relu6,
    Reshape,
    ResizeNearestNeighbor,
    Softmax,
    StridedSlice,
    Transpose,
)
from tests.graph.test_passes import assert_same, count
from tests.graph.wide import WideBuilder, quantization


def builder(seed: int, *shape: int) -> WideBuilder:
    build = WideBuilder(np.random.default_rng(seed))
    build.tensor("input", shape)
    return build


def layer(
    build: WideBuilder,
    kind: type[Operator],
    source: str,
    channels: int,
    depth: int,
    per_channel: bool | None = None,
    **options: Any,
) -> str:
    """A Conv2D or FullyConnected with random weights."""
    name = f"{kind.__name__.lower()}{len(build.operators)}"
    target = build._quantization()
    build.quantization[f"{name}/out"] = target
    kernel = options.get("kernel", ())
    taps = int(np.prod(kernel, dtype=int)) * depth
    build._weights(name, source, f"{name}/out", (channels, *kernel, depth), channels, taps, per_channel)
    return build.append(kind, (source,), target, **options)


def test_a_depthwise_layer_of_one_channel_is_a_convolution() -> None:
    for seed in range(30):
        build = builder(seed, 1, 7, 6, 1)
        graph = build.done("one", (build.grow(DepthwiseConv2D, "input"),))
        done = convolve_one_channel(graph)
        assert count(done) == {"Conv2D": 1}
        assert_same(graph, done)


@pytest.mark.parametrize("shape", [(1, 5, 4), (1, 3, 5, 4), (5, 4), (1, 20)])
def test_rows_of_a_fully_connected_layer_are_pixels(shape: tuple[int, ...]) -> None:
    converted = 0
    for seed in range(30):
        build = builder(seed, *shape)
        if shape[0] != 1:
            build.shapes["input"] = (1, *shape)
            build.append(Reshape, ("input",), build.quantization["input"], shape)
        source = next(iter(reversed(build.shapes)))
        keep = bool(seed % 2) and shape[-1] == 4
        output = layer(build, FullyConnected, source, 6, 4, keep_num_dims=keep, per_channel=seed % 3 == 0)
        graph = build.done("rows", (output,))
        done = convolve_rows(graph)
        converted += count(done)["Conv2D"]
        assert_same(graph, replace(done, structure=drop_unread(done).structure))
        if seed % 3 == 0:
            assert count(done)["Conv2D"] == 1
    assert converted >= 10


def test_one_window_over_the_image_is_a_fully_connected_layer() -> None:
    cases = [
        ((1, 1), (1, 1), Padding()),
        ((3, 2), (3, 2), Padding()),
        ((3, 2), (5, 4), Padding(1, 1, 1, 1)),
        ((1, 1), (3, 3), Padding(1, 1, 1, 1)),
        ((2, 2), (3, 3), Padding(1, 0, 0, 1)),
    ]
    for size, kernel, padding in cases:
        for seed in range(10):
            build = builder(seed, 1, *size, 3)
            channels = 1 if seed == 9 else 5
            current = layer(build, Conv2D, "input", channels, 3, kernel=kernel, stride=(2, 2), padding=padding)
            graph = build.done("window", (build.append(Relu, (current,), build.near(current)),))
            done = flatten_whole_windows(graph)
            assert count(done)["FullyConnected"] == 1 or channels == 1
            assert_same(graph, done)


def test_a_window_that_misses_something_stays() -> None:
    for kernel, dilation in (((2, 3), (1, 1)), ((2, 3), (2, 1))):
        build = builder(0, 1, 3, 3, 2)
        output = layer(build, Conv2D, "input", 5, 2, kernel=kernel, stride=(3, 3), dilation=dilation)
        graph = build.done("missing", (output,))
        assert graph.structure.shapes[output] == (1, 1, 1, 5)
        assert count(flatten_whole_windows(graph)) == {"Conv2D": 1}


@pytest.mark.parametrize("kind", [Conv2D, DepthwiseConv2D])
def test_kernels_lose_what_only_sees_padding(kind: type[Operator]) -> None:
    for seed in range(60):
        build = builder(seed, 1, *np.random.default_rng(seed).integers(1, 5, 2), 3)
        graph = build.done("crop", (build.grow(kind, "input"),))
        done = crop_kernels(graph)
        assert done.structure.macs <= graph.structure.macs
        assert crop_kernels(done).structure == done.structure
        assert_same(graph, done)
    build = builder(1, 1, 3, 3, 2)
    graph = build.done("seven", (build.depthwise("input", (7, 7), (1, 1), True, Activation.NONE),))
    (layer_,) = crop_kernels(graph).structure.operators
    assert isinstance(layer_, DepthwiseConv2D)
    assert (layer_.kernel, layer_.padding) == ((5, 5), Padding(2, 2, 2, 2))


def test_scalings_are_compared_code_by_code() -> None:
    rng = np.random.default_rng(0)
    verdicts = set()
    for _ in range(300):
        bound = int(rng.integers(50, 3000))
        first = ChannelRequantization(
            multiplier=rng.integers(1 << 30, 1 << 31, 2).astype(np.int32),
            shift=rng.integers(-6, 2, 2).astype(np.int8),
            input_zero_point=0,
            output_zero_point=int(rng.integers(-128, 128)),
            clamp_min=-128,
            clamp_max=127,
            accumulator_bound=bound,
        )
        step = int(10.0 ** rng.uniform(0, 7)) * int(rng.choice([-1, 1]))
        moved = (first.multiplier.astype(np.int64) + step).clip(1 << 30, (1 << 31) - 1).astype(np.int32)
        second = replace(first, multiplier=moved)
        sums = np.arange(-bound, bound + 1, dtype=np.int64)[:, None]
        one, other = (
            (multiply_by_quantized_multiplier(sums, each.multiplier, each.shift) + each.output_zero_point).clip(
                each.clamp_min, each.clamp_max
            )
            for each in (first, second)
        )
        verdicts.add(same_codes(first, second))
        assert same_codes(first, second) == np.array_equal(one, other)
    assert verdicts == {True, False}
    assert not same_codes(first, replace(first, clamp_min=-127))


def test_a_transpose_before_a_mean_goes() -> None:
    build = builder(1, 1, 3, 5, 4)
    moved = build.append(Transpose, ("input",), build.quantization["input"], permutation=(0, 3, 1, 2))
    first = build.append(Mean, (moved,), build.near(moved), axes=(3,))
    second = build.append(Mean, (first,), build.near(first), axes=(2,))
    graph = build.done("means", (layer(build, FullyConnected, second, 5, 4),))
    done = sink_transposes(graph)
    bare = remove_reshapes(done.graph)
    assert count(bare.graph) == {"Mean": 2, "FullyConnected": 1}
    assert bare.graph.structure.shapes[first] == (1, 3, 4)
    before, after = run(graph), run(bare.graph)
    assert np.array_equal(viewed(done.views[first], before[first]), after[first].reshape(len(after[first]), -1))
    assert np.array_equal(before[second].ravel(), after[second].ravel())


def run(graph: Int8Graph) -> dict[str, np.ndarray]:
    shape = graph.structure.shapes["input"]
    codes = np.random.default_rng(0).integers(-128, 128, (3, *shape[1:]), dtype=np.int8)
    return reference.run(graph, {"input": codes})


def test_a_transpose_before_a_flat_matrix_goes_into_its_weights() -> None:
    build = builder(2, 1, 3, 5, 4)
    moved = build.append(Transpose, ("input",), build.quantization["input"], permutation=(0, 3, 1, 2))
    flat = build.append(Reshape, (moved,), build.quantization["input"], (1, 60))
    graph = build.done("flat", (layer(build, FullyConnected, flat, 5, 60),))
    done = sink_transposes(remove_reshapes(graph).graph)
    assert count(done.graph) == {"FullyConnected": 1}
    assert_same(graph, done.graph)


def test_axes_moved_there_and_back_around_a_product() -> None:
    build = builder(3, 1, 3, 5, 4)
    there, back = (0, 3, 1, 2), (0, 2, 3, 1)
    moved = build.append(Transpose, ("input",), build.quantization["input"], permutation=there)
    scaled = build.append(Mul, (moved, build.constant((4, 1, 1))), quantization(30.0, 3))
    graph = build.done("back", (build.append(Transpose, (scaled,), build.quantization[scaled], permutation=back),))
    done = remove_reshapes(sink_transposes(graph).graph)
    assert count(done.graph) == {"Mul": 1}
    (output,) = graph.structure.outputs
    assert np.array_equal(run(done.graph)[output], run(graph)[output])


def test_a_transpose_that_others_read_stays() -> None:
    build = builder(4, 1, 3, 5, 4)
    moved = build.append(Transpose, ("input",), build.quantization["input"], permutation=(0, 2, 1, 3))
    relu = build.append(Relu, (moved,), build.near(moved))
    graph = build.done("both", (relu, build.append(Softmax, (moved,), Quantization(1 / 256, -128))))
    assert sink_transposes(graph).graph is graph


def test_reshapes_around_a_convolution_along_one_axis_go() -> None:
    build = builder(5, 1, 12, 4)
    given = build.quantization["input"]
    current = build.append(Reshape, ("input",), given, (1, 1, 12, 4))
    for _ in range(2):
        current = layer(build, Conv2D, current, 6, build.shapes[current][3], kernel=(1, 3))
        current = build.append(Reshape, (current,), build.quantization[current], build.shapes[current][1:])
        current = build.append(Relu, (current,), build.near(current))
        current = build.append(Reshape, (current,), build.quantization[current], (1, 1, *build.shapes[current][1:]))
    current = build.append(Reshape, (current,), build.quantization[current], build.shapes[current][1:])
    graph = build.done("time", (build.append(Mean, (current,), build.near(current), axes=(1,)),))
    done = remove_reshapes(graph)
    assert count(done.graph) == {"Conv2D": 2, "Relu": 2, "Mean": 1}
    assert done.graph.structure.shapes["input"] == (1, 1, 12, 4)
    (output,) = graph.structure.outputs
    assert np.array_equal(
        reference.run(graph, {"input": codes_of(graph)})[output],
        reference.run(done.graph, {"input": codes_of(graph)[:, None]})[output],
    )


def codes_of(graph: Int8Graph) -> np.ndarray:
    shape = graph.structure.shapes["input"][1:]
    return np.random.default_rng(1).integers(-128, 128, (2, *shape), dtype=np.int8)


def test_a_reshape_between_two_scales_stays() -> None:
    build = builder(6, 1, 12)
    given = build.quantization["input"]
    other = build.append(Reshape, ("input",), replace(given, scale=given.scale * 2), (1, 3, 4))
    graph = build.done("scales", (build.append(Relu, (other,), build.near(other)),))
    assert count(remove_reshapes(graph).graph) == {"Reshape": 1, "Relu": 1}


def test_operators_that_do_nothing_become_reshapes() -> None:
    build = builder(7, 1, 3, 4, 2)
    build.quantization["input"] = given = quantization(6 / 255, -128)
    current = build.append(Pad, ("input",), given, padding=((0, 0),) * 4)
    current = build.append(Concatenation, (current,), given, axis=3)
    current = build.append(ResizeNearestNeighbor, (current,), given, (1, 3, 4, 2))
    current = build.append(StridedSlice, (current,), given, begin=(0,) * 4, counts=(1, 3, 4, 2), strides=(1,) * 4)
    current = build.append(Relu6, (current,), given)
    current = build.append(Relu, (current,), given)
    backward = build.append(
        StridedSlice, (current,), given, begin=(0, 2, 0, 0), counts=(1, 3, 4, 2), strides=(1, -1, 1, 1)
    )
    graph = build.done("nothing", (backward,))
    done = reshape_identities(graph)
    assert count(done) == {"Reshape": 6, "StridedSlice": 1}
    assert_same(graph, done)
    assert count(remove_reshapes(done).graph) == {"StridedSlice": 1}


def test_what_nobody_reads_goes() -> None:
    build = builder(8, 1, 3, 3, 2)
    used = build.grow(Relu, "input")
    build.grow(Relu, build.grow(Conv2D, used))
    graph = build.done("unread", (used,))
    assert count(drop_unread(graph)) == {"Relu": 1}


def test_sums_that_a_linear_layer_could_write() -> None:
    build = builder(9, 1, 4, 4, 3)
    hidden = build.conv("input", 3, (3, 3), (1, 1), True, Activation.RELU6)
    linear = build.conv(hidden, 3, (1, 1), (1, 1), True, Activation.NONE)
    first = build.add("input", linear, Activation.NONE)
    clamped = build.conv(first, 3, (1, 1), (1, 1), True, Activation.RELU)
    second = build.add(clamped, first, Activation.NONE)
    left = build.conv(second, 3, (1, 1), (1, 1), True, Activation.NONE)
    right = build.conv(second, 3, (1, 1), (1, 1), True, Activation.NONE)
    graph = build.done("sums", (build.add(left, right, Activation.NONE),))
    names = [op.name for op in graph.structure.operators]
    assert fuse_add(graph) == (AddFusion(names[1], names[2], "input", 1), AddFusion(names[6], names[7], left, 1))


def test_a_view_of_a_tensor_itself_shows_all() -> None:
    codes = np.arange(24, dtype=np.int8).reshape(2, 3, 4)
    assert np.array_equal(viewed(View("x"), codes), codes.reshape(2, 12))

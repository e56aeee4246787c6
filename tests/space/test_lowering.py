"""The shape graph of a subnet: TensorFlow's output sizes, residuals, costs counted another way."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from ofa_mcu.errors import UsageError
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.shapes import Activation, Add, Conv2D, DepthwiseConv2D, FullyConnected, Mean, Padding, same_padding
from ofa_mcu.space.space import BlockKind, SearchSpace, StageSpace, scaled_channels
from ofa_mcu.space.subnet import Subnet
from tests.space.spaces import SEQUENCE, SPECTRUM, TINY, spaces


@given(st.integers(1, 64), st.integers(1, 11), st.integers(1, 4))
def test_same_padding_is_tensorflows(size: int, kernel: int, stride: int) -> None:
    """The rule as its documentation writes it, by the remainder of the size."""
    total = max(kernel - stride, 0) if size % stride == 0 else max(kernel - size % stride, 0)
    before, after = same_padding(size, kernel, stride)
    assert (before, after) == (total // 2, total - total // 2)
    padded = size + before + after
    if padded >= kernel:
        assert (padded - kernel) // stride + 1 == math.ceil(size / stride)


def independent_macs(space: SearchSpace, subnet: Subnet) -> tuple[int, int]:
    """(MACs, weights and biases) by walking the blocks with ceil sizes, as on paper."""

    def pair(extent: int | tuple[int, int]) -> tuple[int, int]:
        return extent if isinstance(extent, tuple) else (1 if space.sequence else extent, extent)

    def after(size: tuple[int, int], stride: int | tuple[int, int]) -> tuple[int, int]:
        down, right = pair(stride)
        return math.ceil(size[0] / down), math.ceil(size[1] / right)

    height = 1 if space.sequence else subnet.resolution
    start = (height, subnet.resolution if space.input_width is None else space.input_width)
    size, channels = after(start, space.stem_stride), scaled_channels(space.stem_channels, subnet.width)
    weights = math.prod(pair(space.stem_kernel)) * space.input_channels * channels
    macs, parameters = math.prod(size) * weights, weights + channels
    for stage, blocks in zip(space.stages, subnet.stages, strict=True):
        out = scaled_channels(stage.channels, subnet.width)
        for index, block in enumerate(blocks):
            taps = math.prod(1 if side == 1 else reach for side, reach in zip(size, pair(block.kernel), strict=True))
            new = after(size, stage.stride if index == 0 else 1)
            hidden = channels
            if stage.kind is BlockKind.INVERTED:
                hidden = channels * block.expand
                macs += math.prod(size) * channels * hidden
                parameters += channels * hidden + hidden
            macs += math.prod(new) * hidden * (taps + out)
            parameters += hidden * taps + hidden + hidden * out + out
            size, channels = new, out
    if space.head_channels:
        head = scaled_channels(space.head_channels, subnet.width)
        macs += math.prod(size) * channels * head
        parameters += channels * head + head
        channels = head
    return macs + channels * space.classes, parameters + channels * space.classes + space.classes


@given(spaces(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_macs_and_parameters_equal_an_independent_count(space: SearchSpace, random: object) -> None:
    assume(space.size < 5000)
    every = list(space)
    for subnet in (every[0], every[-1], random.choice(every)):  # type: ignore[attr-defined]
        graph = shape_graph(space, subnet)
        assert (graph.macs, graph.parameters) == independent_macs(space, subnet)


def test_the_largest_preset_net_by_hand() -> None:
    graph = shape_graph(FASHION_MNIST, FASHION_MNIST.largest)
    stem = 14 * 14 * 9 * 16
    block = 14 * 14 * (16 * 48 + 25 * 48 + 48 * 16)
    first = 14 * 14 * 16 * 64 + 7 * 7 * (25 * 64 + 64 * 32)
    rest = 2 * 7 * 7 * (32 * 128 + 25 * 128 + 128 * 32)
    last = 7 * 7 * 32 * 128 + 4 * 4 * (9 * 128 + 128 * 80) + 4 * 4 * (80 * 320 + 9 * 320 + 320 * 80)
    assert graph.macs == stem + block + first + rest + last + 4 * 4 * 80 * 128 + 1280


@given(spaces(), st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_shapes_and_names_hang_together(space: SearchSpace, random: object) -> None:
    assume(space.size < 5000)
    subnet = random.choice(list(space))  # type: ignore[attr-defined]
    graph = shape_graph(space, subnet)
    known = set(graph.inputs)
    for op in graph.operators:
        assert set(op.inputs) <= known and op.output not in known
        known.add(op.output)
        source, out = graph.shapes[op.inputs[0]], graph.shapes[op.output]
        match op:
            case Conv2D() | DepthwiseConv2D():
                pad = op.padding
                for axis, before, after in ((1, pad.top, pad.bottom), (2, pad.left, pad.right)):
                    assert out[axis] == math.ceil(source[axis] / op.stride[axis - 1])
                    assert (before, after) == same_padding(source[axis], op.kernel[axis - 1], op.stride[axis - 1])
            case Add():
                assert graph.shapes[op.inputs[0]] == graph.shapes[op.inputs[1]] == out
            case Mean():
                assert out == (1, source[3])
            case FullyConnected():
                assert out == (1, space.classes)
    assert known == set(graph.shapes) and graph.name == str(subnet)
    width = subnet.resolution if space.input_width is None else space.input_width
    height = 1 if space.sequence else subnet.resolution
    assert graph.shapes["input"] == (1, height, width, space.input_channels)
    assert graph.outputs == ("logits",)


def test_residuals_are_exactly_where_block_shapes_agree() -> None:
    for subnet in TINY:
        graph = shape_graph(TINY, subnet)
        sums = {op.name: op for op in graph.operators if isinstance(op, Add)}
        for s, blocks in enumerate(subnet.stages):
            for b in range(len(blocks)):
                expand = next(op for op in graph.operators if op.name == f"s{s}b{b}.expand")
                project = next(op for op in graph.operators if op.name == f"s{s}b{b}.project")
                same = graph.shapes[expand.inputs[0]] == graph.shapes[project.output]
                assert same == (f"s{s}b{b}.add" in sums)
                if same:
                    assert sums[f"s{s}b{b}.add"].inputs == (expand.inputs[0], project.output)
        assert all(op.activation is Activation.NONE for op in sums.values())


def test_activations_are_those_of_inverted_residuals() -> None:
    for op in shape_graph(FASHION_MNIST, FASHION_MNIST.largest).operators:
        if isinstance(op, Conv2D | DepthwiseConv2D):
            linear = op.name.endswith(".project")
            assert op.activation is (Activation.NONE if linear else Activation.RELU6)


def test_sizes_equal_those_torch_computes() -> None:
    """A real convolution with the graph's padding gives the graph's output size."""
    for resolution in FASHION_MNIST.resolutions:
        subnet = Subnet(resolution, 1.0, FASHION_MNIST.largest.stages)
        graph = shape_graph(FASHION_MNIST, subnet)
        for op in graph.operators:
            if isinstance(op, Conv2D | DepthwiseConv2D):
                _, height, width, _ = graph.shapes[op.inputs[0]]
                pad = (op.padding.left, op.padding.right, op.padding.top, op.padding.bottom)
                found = F.conv2d(
                    F.pad(torch.zeros(1, 1, height, width), pad), torch.zeros(1, 1, *op.kernel), None, op.stride
                )
                assert tuple(found.shape[2:]) == graph.shapes[op.output][1:3]


def test_a_subnet_of_another_space_is_refused() -> None:
    with pytest.raises(UsageError, match="resolution 12 is none of"):
        shape_graph(FASHION_MNIST, TINY.largest)


def test_a_sequence_has_windows_of_one_row() -> None:
    graph = shape_graph(SEQUENCE, SEQUENCE.largest)
    assert graph.shapes["input"] == (1, 1, 32, 3) and graph.shapes["stem"] == (1, 1, 16, 8)
    for op in graph.operators:
        if isinstance(op, Conv2D | DepthwiseConv2D):
            assert op.kernel[0] == op.stride[0] == 1 and (op.padding.top, op.padding.bottom) == (0, 0)
    kernels = {op.name: op.kernel[1] for op in graph.operators if isinstance(op, DepthwiseConv2D)}
    assert kernels == {"s0b0.depthwise": 7, "s0b1.depthwise": 7, "s1b0.depthwise": 5, "s1b1.depthwise": 5}


def test_separable_blocks_are_those_of_ds_cnn() -> None:
    """Two layers a block, both with ReLU6, no sums; the classifier reads the last of them where there is no head."""
    graph = shape_graph(SPECTRUM, SPECTRUM.smallest)
    assert [op.name for op in graph.operators] == [
        "stem",
        "s0b0.depthwise",
        "s0b0.pointwise",
        "s1b0.depthwise",
        "s1b0.pointwise",
        "pool",
        "logits",
    ]
    stem = graph.operators[0]
    assert isinstance(stem, Conv2D) and (stem.kernel, stem.stride) == ((6, 4), (2, 2))
    assert [graph.shapes[name] for name in ("input", "stem", "s1b0.pointwise", "pool")] == [
        (1, 13, 6, 1),
        (1, 7, 3, 8),
        (1, 4, 2, 16),
        (1, 16),
    ]
    for op in graph.operators:
        if isinstance(op, Conv2D | DepthwiseConv2D):
            assert op.activation is Activation.RELU6


def test_the_width_of_a_sequence_is_its_resolution() -> None:
    with pytest.raises(ValueError, match="its resolution"):
        dataclasses.replace(SEQUENCE, input_width=3)


def test_a_separable_stage_widens_nothing() -> None:
    with pytest.raises(ValueError, match="expand ratio 1"):
        StageSpace(channels=8, stride=1, depths=(1,), kernels=(3,), expands=(1, 2), kind=BlockKind.SEPARABLE)


def test_windows_over_one_column_are_one_column_wide() -> None:
    """A stem as wide as its input leaves one column: what follows are convolutions in time."""
    stage = StageSpace(channels=16, stride=1, depths=(1,), kernels=(3, 9), kind=BlockKind.SEPARABLE)
    space = SearchSpace("time", (49,), (1.0,), 1, 16, (3, 10), (2, 10), (stage,), 0, 11, input_width=10)
    graph = shape_graph(space, space.largest)
    depthwise = next(op for op in graph.operators if isinstance(op, DepthwiseConv2D))
    assert graph.shapes[depthwise.output] == (1, 25, 1, 16) and depthwise.kernel == (9, 1)
    assert depthwise.padding == Padding(4, 4, 0, 0)

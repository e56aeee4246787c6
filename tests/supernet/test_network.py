"""Slices of the shared weights, and the networks cut out of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D
from ofa_mcu.space.space import BlockKind, SearchSpace
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.execution import ConvParameters, execute
from ofa_mcu.supernet.network import PlainNetwork, Supernet, extract, parameter_key
from tests.space.spaces import SEQUENCE, SPECTRUM, TINY
from tests.supernet.networks import lively_supernet


def images(subnet: Subnet, count: int, seed: int = 0, space: SearchSpace = TINY) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, space.input_channels, *space.input_size(subnet.resolution)), generator=generator)


def some_subnets(space: SearchSpace, count: int) -> list[Subnet]:
    sample = space.sample_balanced(np.random.default_rng(0), count)
    return [space.largest, space.smallest, *sample]


@pytest.mark.parametrize("space", [TINY, SEQUENCE, SPECTRUM, FASHION_MNIST], ids=lambda space: space.name)
def test_an_extracted_network_equals_the_supernets_subnet_bit_for_bit(space: SearchSpace) -> None:
    supernet = lively_supernet(1, space)
    for subnet in some_subnets(space, 12):
        x = images(subnet, 8, space=space)
        network = extract(supernet, subnet)
        network.train()
        assert torch.equal(network(x), supernet(x, subnet)), str(subnet)


@pytest.mark.parametrize("space", [TINY, SEQUENCE, SPECTRUM], ids=lambda space: space.name)
def test_gradients_of_a_subnet_are_those_of_its_own_network(space: SearchSpace) -> None:
    supernet = lively_supernet(2, space)
    for subnet in some_subnets(space, 4):
        x, labels = images(subnet, 8, space=space), torch.arange(8) % space.classes
        network = extract(supernet, subnet)
        network.train()
        F.cross_entropy(network(x), labels).backward()
        supernet.zero_grad()
        F.cross_entropy(supernet(x, subnet), labels).backward()
        for op in network.graph.operators:
            if isinstance(op, Conv2D | DepthwiseConv2D):
                own = network.weights.weight[parameter_key(op.name)].grad
                shared = supernet.weights.weight[parameter_key(op.name)].grad
                assert own is not None and shared is not None
                rows, columns, height, width = own.shape
                top, left = (shared.shape[2] - height) // 2, (shared.shape[3] - width) // 2
                centre = shared[:rows, :columns, top : top + height, left : left + width]
                assert torch.equal(own, centre)
                assert int((shared != 0).sum()) == int((own != 0).sum())  # nothing else was touched


def test_slices_are_first_channels_and_centres() -> None:
    supernet = lively_supernet(3)
    subnet = Subnet.parse("r8-w0.5-k3e2-k3e2")
    graph = shape_graph(TINY, subnet)
    named = {op.name: op for op in graph.operators}
    expand = supernet.slice(graph, named["s0b0.expand"])
    assert torch.equal(expand.weight, supernet.weights.weight["s0b0_expand"][:8, :4])
    depthwise = supernet.slice(graph, named["s0b0.depthwise"])
    full = supernet.weights.weight["s0b0_depthwise"]
    assert full.shape == (24, 1, 5, 5)
    assert torch.equal(depthwise.weight, full[:8, :, 1:4, 1:4])
    assert isinstance(depthwise, ConvParameters)
    assert torch.equal(depthwise.gamma, supernet.weights.gamma["s0b0_depthwise"][:8])
    logits = supernet.slice(graph, named["logits"])
    assert torch.equal(logits.weight, supernet.weights.weight["logits"][:, :12])
    assert logits.weight.data_ptr() == supernet.weights.weight["logits"].data_ptr()  # a view, not a copy


class _ByHand(nn.Module):
    """A network from torch's own layers, built from a subnet without a shape graph."""

    def __init__(self, space: SearchSpace, subnet: Subnet) -> None:
        super().__init__()
        scale = subnet.width
        self.layers = nn.ModuleDict()
        self.plan: list[tuple[str, bool]] = []  # name, relu6
        self.residual: dict[str, str] = {}

        def pair(extent: int | tuple[int, int]) -> tuple[int, int]:
            return extent if isinstance(extent, tuple) else (1 if space.sequence else extent, extent)

        def conv(name: str, before: int, after: int, kernel: Any, stride: Any, groups: int, relu: bool) -> None:
            self.layers[name] = nn.Conv2d(before, after, pair(kernel), pair(stride), 0, groups=groups, bias=False)
            self.layers[f"{name}_bn"] = nn.BatchNorm2d(after)
            self.plan.append((name, relu))

        channels = int(space.stem_channels * scale)
        conv("stem", space.input_channels, channels, space.stem_kernel, space.stem_stride, 1, True)
        for s, (stage, blocks) in enumerate(zip(space.stages, subnet.stages, strict=True)):
            for b, block in enumerate(blocks):
                stride, out, hidden = (
                    stage.stride if b == 0 else 1,
                    int(stage.channels * scale),
                    channels * block.expand,
                )
                if stage.kind is BlockKind.SEPARABLE:
                    conv(f"s{s}b{b}_depthwise", channels, channels, block.kernel, stride, channels, True)
                    conv(f"s{s}b{b}_pointwise", channels, out, 1, 1, 1, True)
                    channels = out
                    continue
                conv(f"s{s}b{b}_expand", channels, hidden, 1, 1, 1, True)
                conv(f"s{s}b{b}_depthwise", hidden, hidden, block.kernel, stride, hidden, True)
                conv(f"s{s}b{b}_project", hidden, out, 1, 1, 1, False)
                if stride == 1 and out == channels:
                    self.residual[f"s{s}b{b}_expand"] = f"s{s}b{b}_project"
                channels = out
        if space.head_channels:
            conv("head", channels, int(space.head_channels * scale), 1, 1, 1, True)
            channels = int(space.head_channels * scale)
        self.layers["logits"] = nn.Linear(channels, space.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept: dict[str, torch.Tensor] = {}
        for name, relu in self.plan:
            if name in self.residual:
                kept[self.residual[name]] = x
            layer = self.layers[name]
            assert isinstance(layer, nn.Conv2d)
            ends: list[int] = []
            for kernel, stride, size in zip(layer.kernel_size, layer.stride, x.shape[2:], strict=True):
                total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
                ends = [total // 2, total - total // 2, *ends]  # torch names the last axis first
            x = F.pad(x, ends)
            x = self.layers[f"{name}_bn"](layer(x))
            x = F.relu6(x) if relu else x
            if name in kept:
                x = x + kept.pop(name)
        return self.layers["logits"](x.mean((2, 3)))


@pytest.mark.parametrize("space", [TINY, SEQUENCE, SPECTRUM], ids=lambda space: space.name)
@pytest.mark.parametrize("training", [True, False])
def test_the_executor_equals_torchs_own_layers(training: bool, space: SearchSpace) -> None:
    supernet = lively_supernet(4, space)
    for subnet in some_subnets(space, 6):
        network, other = extract(supernet, subnet), _ByHand(space, subnet)
        generator = torch.Generator().manual_seed(5)
        for name, buffer in network.named_buffers():
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + (0.5 if "variance" in name else 0.0))
        with torch.no_grad():
            for key, weight in network.weights.weight.items():
                other.layers[key].weight.copy_(weight)
                if key == "logits":
                    other.layers[key].bias.copy_(network.weights.beta[key])
                    continue
                norm = other.layers[f"{key}_bn"]
                norm.weight.copy_(network.weights.gamma[key])
                norm.bias.copy_(network.weights.beta[key])
                norm.running_mean.copy_(network.get_buffer(f"mean_{key}"))
                norm.running_var.copy_(network.get_buffer(f"variance_{key}"))
        network.train(training)
        other.train(training)
        x = images(subnet, 6, space=space)
        assert torch.allclose(network(x), other(x), atol=1e-5)
        for key in network.weights.gamma:  # running statistics move alike, too
            norm = other.layers[f"{key}_bn"]
            assert torch.allclose(network.get_buffer(f"mean_{key}"), norm.running_mean, atol=1e-6)
            assert torch.allclose(network.get_buffer(f"variance_{key}"), norm.running_var, atol=1e-5)


def test_initial_weights_follow_from_the_seed() -> None:
    first, second, third = Supernet(TINY, 7), Supernet(TINY, 7), Supernet(TINY, 8)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.weights.weight["stem"], third.weights.weight["stem"])


def test_residual_branches_start_at_zero_and_others_at_one() -> None:
    """TINY: the first stage keeps shape in both blocks, the second only in its second one."""
    supernet = Supernet(TINY, 0)
    zero = {key for key, gamma in supernet.weights.gamma.items() if not gamma.any()}
    assert zero == {"s0b0_project", "s0b1_project", "s1b1_project"}
    assert all(torch.all(gamma == 1) for key, gamma in supernet.weights.gamma.items() if key not in zero)


def test_extraction_copies() -> None:
    supernet = lively_supernet(5)
    network = extract(supernet, TINY.largest)
    before = supernet.weights.weight["stem"].clone()
    with torch.no_grad():
        network.weights.weight["stem"].zero_()
    assert torch.equal(supernet.weights.weight["stem"], before)


def test_every_tensor_is_observed_with_its_shape() -> None:
    graph = shape_graph(TINY, TINY.largest)
    network = PlainNetwork(graph)
    seen: dict[str, tuple[int, ...]] = {}
    execute(
        graph,
        images(TINY.largest, 3),
        network.parameters_of,
        False,
        lambda name, value: seen.update({name: value.shape}),
    )
    for name, shape in graph.shapes.items():
        wanted = (3, shape[3], shape[1], shape[2]) if len(shape) == 4 else (3, shape[1])
        assert tuple(seen[name]) == wanted


@pytest.mark.parametrize("space", [TINY, SEQUENCE, SPECTRUM], ids=lambda space: space.name)
def test_inputs_of_another_size_are_refused(space: SearchSpace) -> None:
    """Convolutions would run on them all the same."""
    supernet = lively_supernet(6, space)
    right = images(space.largest, 4, space=space)
    supernet(right, space.largest)
    for wrong in (right[..., 1:], torch.cat([right, right], 2), right.repeat(1, 2, 1, 1)):
        with pytest.raises(ValueError, match="for a network that reads"):
            supernet(wrong, space.largest)
        with pytest.raises(ValueError, match="for a network that reads"):
            extract(supernet, space.largest)(wrong)

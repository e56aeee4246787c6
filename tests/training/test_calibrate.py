"""Recalibration: batch statistics by hand, and accuracy by counting."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ofa_mcu.space.shapes import Add, Conv2D, DepthwiseConv2D, Mean
from ofa_mcu.supernet.network import PlainNetwork, extract, parameter_key
from ofa_mcu.training.calibrate import accuracy, one_thread_each, recalibrate
from ofa_mcu.training.data import ImageSet
from tests.space.spaces import TINY
from tests.supernet.networks import lively_supernet
from tests.training.made_up import DATA


def by_hand(network: PlainNetwork, x: torch.Tensor) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Mean and unbiased variance of every convolution's output, the layers before it normalised with theirs."""
    values, statistics = {"input": x.double()}, {}
    for op in network.graph.operators:
        source = values[op.inputs[0]]
        key = parameter_key(op.name)
        if isinstance(op, Conv2D | DepthwiseConv2D):
            pad = (op.padding.left, op.padding.right, op.padding.top, op.padding.bottom)
            groups = source.shape[1] if isinstance(op, DepthwiseConv2D) else 1
            y = F.conv2d(F.pad(source, pad), network.weights.weight[key].double(), None, op.stride, groups=groups)
            mean = y.mean((0, 2, 3))
            centred = y - mean[:, None, None]
            count = y.numel() // y.shape[1]
            squares = centred.square().sum((0, 2, 3))
            statistics[key] = mean, squares / (count - 1)
            scale = network.weights.gamma[key].double() / (squares / count + 1e-5).sqrt()
            y = centred * scale[:, None, None] + network.weights.beta[key].double()[:, None, None]
            y = y.clamp(0, 6) if op.activation.value == "relu6" else y
        elif isinstance(op, Add):
            y = source + values[op.inputs[1]]
        elif isinstance(op, Mean):
            y = source.mean((2, 3))
        else:
            continue
        values[op.output] = y
    return statistics


@torch.no_grad()
def test_statistics_are_those_of_the_batch() -> None:
    images = ImageSet(DATA.train, TINY.resolutions)
    for subnet in (TINY.largest, TINY.smallest):
        network = extract(lively_supernet(0), subnet)
        x = images.floats_at(subnet.resolution, slice(0, 100))
        recalibrate(network, x)
        wanted = by_hand(network, x)
        assert wanted.keys() == network.weights.gamma.keys()
        for key, (mean, variance) in wanted.items():
            assert torch.allclose(network.get_buffer(f"mean_{key}").double(), mean, rtol=1e-4, atol=1e-5)
            assert torch.allclose(network.get_buffer(f"variance_{key}").double(), variance, rtol=1e-4, atol=1e-6)


def test_what_was_there_before_does_not_matter() -> None:
    x = ImageSet(DATA.train, TINY.resolutions).floats_at(12, slice(0, 64))
    network = extract(lively_supernet(1), TINY.largest)
    recalibrate(network, x)
    once = {name: value.clone() for name, value in network.state_dict().items()}
    for buffer in network.buffers():
        buffer.fill_(7.0)
    recalibrate(network, x)
    assert all(torch.equal(value, once[name]) for name, value in network.state_dict().items())


def test_a_recalibrated_network_evaluates_as_it_trains() -> None:
    """The same images in training and in evaluation mode: only the unbiased variance tells them apart."""
    x = ImageSet(DATA.train, TINY.resolutions).floats_at(12)
    network = extract(lively_supernet(2), TINY.largest)
    recalibrate(network, x)
    network.train()
    kept = {name: value.clone() for name, value in network.named_buffers()}
    trained = network(x)
    for name, value in network.named_buffers():
        value.copy_(kept[name])
    network.eval()
    assert torch.allclose(network(x), trained, atol=0.02)


def test_a_channel_without_variance_stays_finite() -> None:
    network = extract(lively_supernet(3), TINY.smallest)
    with torch.no_grad():
        network.weights.weight["stem"].zero_()
    x = ImageSet(DATA.train, TINY.resolutions).floats_at(8, slice(0, 32))
    recalibrate(network, x)
    network.eval()
    assert torch.isfinite(network(x)).all()
    assert float(network.get_buffer("variance_stem").min()) > 0


def test_accuracy_counts_right_answers() -> None:
    images = ImageSet(DATA.validation, TINY.resolutions)
    network = extract(lively_supernet(4), TINY.largest)
    recalibrate(network, ImageSet(DATA.train, TINY.resolutions).floats_at(12))
    network.eval()
    right = 0
    for index in range(len(images)):
        logits = network(images.floats_at(12, slice(index, index + 1)))
        right += int(logits[0].argmax()) == int(images.labels[index])
    assert accuracy(network, images) == right / 64
    assert accuracy(network, images, batch=7) == right / 64  # 64 is no multiple of 7
    network.train()
    accuracy(network, images)
    assert not network.training


def test_the_number_of_threads_changes_no_answer_and_is_put_back() -> None:
    images = ImageSet(DATA.validation, TINY.resolutions)
    network = extract(lively_supernet(5), TINY.largest)
    recalibrate(network, ImageSet(DATA.train, TINY.resolutions).floats_at(12))
    alone = accuracy(network, images, batch=5)
    torch.set_num_threads(3)
    try:
        assert accuracy(network, images, batch=5) == alone
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), one_thread_each() as workers:
            assert (workers, torch.get_num_threads()) == (3, 1)
            raise ZeroDivisionError
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)

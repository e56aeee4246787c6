"""Weight codes, scales and biases: slices of the supernet's, folded batch norm, channels that are constant."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ofa_mcu.graph.ir import Int8Graph, Parameters
from ofa_mcu.graph.verify import verify
from ofa_mcu.quantization.calibration import Ranges, activation_ranges, quantization_of, quantizations
from ofa_mcu.quantization.ptq import quantize
from ofa_mcu.quantization.weights import filter_scales
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, FullyConnected
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.network import PlainNetwork, Supernet, extract, parameter_key
from ofa_mcu.training.calibrate import recalibrate
from ofa_mcu.training.data import ImageSet
from tests.space.spaces import TINY
from tests.supernet.networks import lively_supernet
from tests.training.made_up import DATA

IMAGES = ImageSet(DATA.train, TINY.resolutions)


def calibrated(supernet: Supernet, subnet: Subnet) -> PlainNetwork:
    network = extract(supernet, subnet)
    recalibrate(network, IMAGES.floats_at(subnet.resolution))
    return network


def quantized(supernet: Supernet, subnet: Subnet) -> tuple[PlainNetwork, Int8Graph]:
    network = calibrated(supernet, subnet)
    return network, quantize(network, IMAGES.floats_at(subnet.resolution), supernet)


def supernet_codes(supernet: Supernet, key: str) -> np.ndarray:
    """Codes of a whole layer of the supernet, in torch's layout, each filter by its own largest weight."""
    weight = supernet.weights.weight[key].detach().numpy().astype(np.float64)
    flat = weight.reshape(len(weight), -1)
    if key == "logits":
        return np.round(weight / (np.abs(weight).max() / 127))
    return np.round(flat / (np.abs(flat).max(1, keepdims=True) / 127)).reshape(weight.shape)


def torch_layout(parameters: Parameters, depthwise: bool) -> np.ndarray:
    weights = parameters.weights.astype(np.int64)
    if weights.ndim == 2:
        return weights
    return weights.transpose(3, 0, 1, 2) if depthwise else weights.transpose(0, 3, 1, 2)


@pytest.mark.parametrize("text", ["r8-w0.5-k3e2-k3e2", "r12-w1-k3e3.k5e2-k3e2.k3e4", "r12-w0.5-k5e3.k3e2-k3e4"])
def test_codes_of_a_subnet_are_a_slice_of_the_supernets(text: str) -> None:
    """Up to the sign of a channel's batch norm."""
    supernet = lively_supernet(0)
    subnet = Subnet.parse(text)
    _, graph = quantized(supernet, subnet)
    compared = 0
    for op in graph.structure.operators:
        if op.name not in graph.parameters:
            continue
        key = parameter_key(op.name)
        found = torch_layout(graph.parameters[op.name], isinstance(op, DepthwiseConv2D))
        full = supernet_codes(supernet, key)[: found.shape[0], : found.shape[1]]
        if found.ndim == 4:
            margin = (full.shape[-1] - found.shape[-1]) // 2
            full = full[:, :, margin : margin + found.shape[-1], margin : margin + found.shape[-1]]
            sign = np.sign(supernet.weights.gamma[key].detach().numpy()[: len(found)])
            assert (sign < 0).any() or len(sign) < 8
            full = full * sign[:, None, None, None]
        assert np.array_equal(found, full), op.name
        compared += found.size
    assert compared == graph.structure.parameters - sum(len(p.bias) for p in graph.parameters.values())


def test_scales_are_the_full_filters_and_positive() -> None:
    supernet = lively_supernet(1)
    network, graph = quantized(supernet, Subnet.parse("r8-w0.5-k3e2-k3e2"))
    for op in graph.structure.operators:
        if op.name not in graph.parameters:
            continue
        parameters, key = graph.parameters[op.name], parameter_key(op.name)
        assert parameters.weight_scales.dtype == np.float32 and parameters.weight_scales.min() > 0
        assert parameters.bias.dtype == np.int32
        full = filter_scales(supernet, op)
        if isinstance(op, FullyConnected):
            assert parameters.weight_scales == pytest.approx([full.max()], rel=1e-6)
            continue
        gamma = network.weights.gamma[key].detach().numpy().astype(np.float64)
        sigma = np.sqrt(network.get_buffer(f"variance_{key}").numpy().astype(np.float64) + 1e-5)
        assert parameters.weight_scales == pytest.approx(full[: len(gamma)] * np.abs(gamma) / sigma, rel=1e-6)


def test_folded_layers_compute_what_batch_norm_computes() -> None:
    """scale * code and the bias, as real numbers, against gamma * (w - ...) / sigma + beta, channel by channel."""
    supernet = lively_supernet(2)
    network, graph = quantized(supernet, TINY.largest)
    for op in graph.structure.operators:
        if not isinstance(op, Conv2D | DepthwiseConv2D):
            continue
        key, parameters = parameter_key(op.name), graph.parameters[op.name]
        weight, gamma, beta, mean, variance = (
            t.detach().numpy().astype(np.float64)
            for t in (
                network.weights.weight[key],
                network.weights.gamma[key],
                network.weights.beta[key],
                network.get_buffer(f"mean_{key}"),
                network.get_buffer(f"variance_{key}"),
            )
        )
        factor = gamma / np.sqrt(variance + 1e-5)
        real = torch_layout(parameters, isinstance(op, DepthwiseConv2D)) * parameters.weight_scales[:, None, None, None]
        step = parameters.weight_scales[:, None, None, None]
        assert np.all(np.abs(real - weight * factor[:, None, None, None]) <= 0.5001 * step)
        source = graph.quantization[op.inputs[0]].scale
        bias = parameters.bias * source * parameters.weight_scales.astype(np.float64)
        assert np.all(np.abs(bias - (beta - factor * mean)) <= 0.501 * source * parameters.weight_scales)


def test_a_negative_gamma_flips_the_codes_only() -> None:
    supernet = lively_supernet(3)
    _, before = quantized(supernet, TINY.largest)
    network = calibrated(supernet, TINY.largest)
    with torch.no_grad():
        network.weights.gamma["stem"].neg_()
    after = quantize(network, IMAGES.floats_at(12), supernet)
    first, second = before.parameters["stem"], after.parameters["stem"]
    assert np.array_equal(first.weights, -second.weights) and first.weights.any()
    assert np.array_equal(first.weight_scales, second.weight_scales)
    verify(after)


@pytest.mark.parametrize("gamma", [0.0, 1e-30, -1e-12, 1e-7])
def test_a_vanishing_gamma_leaves_a_constant_channel(gamma: float) -> None:
    """The channel's real output is its shift, whatever comes in; TFLite Micro agrees on every byte."""
    network = calibrated(lively_supernet(4), TINY.largest)
    with torch.no_grad():
        network.weights.gamma["stem"][2] = gamma
        network.weights.beta["stem"][2] = 1.7
        network.weights.gamma["s0b0_project"][1] = gamma
        network.weights.beta["s0b0_project"][1] = -0.9
        network.weights.gamma["head"][0] = gamma
        network.weights.beta["head"][0] = 0.0
    graph = quantize(network, IMAGES.floats_at(12))
    for name, channel, value in (("stem", 2, 1.7), ("s0b0.project", 1, -0.9), ("head", 0, 0.0)):
        parameters = graph.parameters[name]
        assert parameters.weight_scales[channel] > 0
        if abs(gamma) < 1e-10:
            assert not parameters.weights[channel].any()
        operator = next(op for op in graph.structure.operators if op.name == name)
        scale = float(parameters.weight_scales[channel]) * graph.quantization[operator.inputs[0]].scale
        assert parameters.bias[channel] * scale == pytest.approx(value, rel=0.005, abs=1e-4)
    inputs = {"input": np.random.default_rng(0).integers(-128, 128, (4, 12, 12, 1), dtype=np.int8)}
    verify(graph, inputs=inputs)


def test_a_dead_filter_is_exported_too() -> None:
    supernet = lively_supernet(5)
    with torch.no_grad():
        supernet.weights.weight["s1b0_expand"][0].zero_()
        supernet.weights.weight["logits"].zero_()
    _network, graph = quantized(supernet, TINY.largest)
    assert not graph.parameters["s1b0.expand"].weights[0].any()
    verify(graph)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_range_is_covered_and_zero_is_a_code(first: float, second: float) -> None:
    low, high = sorted((first, second))
    q = quantization_of(low, high)
    assert -128 <= q.zero_point <= 127 and q.scale > 0 and float(np.float32(q.scale)) == q.scale
    least, largest = (q.scale * (code - q.zero_point) for code in (-128, 127))
    if high - low > 1e-30:
        assert least <= min(low, 0.0) + 0.51 * q.scale and largest >= max(high, 0.0) - 0.51 * q.scale
        assert largest - least <= (max(high, 0.0) - min(low, 0.0)) * 1.0001  # and nothing wasted


@pytest.mark.parametrize("high", [0.0, 5e-324, 1e-44, 1e-39])
def test_a_dead_tensor_gets_a_harmless_quantization(high: float) -> None:
    q = quantization_of(0.0, high)
    assert (q.scale, q.zero_point) == (1.0, 0)
    q = quantization_of(-high, high)
    assert (q.scale, q.zero_point) == (1.0, 0)


def test_ranges_are_those_of_the_tensors() -> None:
    network = calibrated(lively_supernet(6), TINY.smallest)
    x = IMAGES.floats_at(8, slice(0, 40))
    ranges = activation_ranges(network, x)
    assert ranges.keys() == network.graph.shapes.keys()
    assert ranges["input"] == (float(x.min()), float(x.max()))
    with torch.no_grad():
        logits = network(x)
    assert ranges["logits"] == (float(logits.min()), float(logits.max()))
    assert all(ranges[name][0] >= 0 and ranges[name][1] <= 6 for name in ("stem", "s0b0.expand", "head"))
    while_calibrated = Ranges()
    recalibrate(network, x, while_calibrated.observe)
    for name, span in activation_ranges(network, x).items():
        assert while_calibrated[name] == pytest.approx(span, rel=0.02, abs=1e-4), name  # 40 examples, maps of 1x1
    fixed = quantization_of(0.0, 1.0)
    assert quantizations(ranges, "input", fixed)["input"] is fixed

"""Int8 inference at float speed: every byte of the reference, whatever path an operator takes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph import reference
from ofa_mcu.graph.arithmetic import multiply_by_quantized_multiplier
from ofa_mcu.graph.ir import Int8Graph, Parameters, Quantization
from ofa_mcu.graph.verify import probe_inputs
from ofa_mcu.quantization import fast
from ofa_mcu.quantization.fast import Int8Network, int8_accuracy
from ofa_mcu.quantization.loops import Requantizer
from ofa_mcu.space.shapes import Activation
from tests.graph.strategies import GraphBuilder, graphs, random_graph, random_inputs


def check(graph: Int8Graph, inputs: np.ndarray) -> np.ndarray:
    (name,), (output,) = graph.structure.inputs, graph.structure.outputs
    wanted = reference.run(graph, {name: inputs})[output]
    found = Int8Network(graph)(inputs)
    assert found.dtype == np.int8 and found.shape == wanted.shape
    assert np.array_equal(found, wanted), graph.structure.name
    return found


@given(graphs(max_ops=10))
@settings(max_examples=150)
def test_equals_the_reference_on_drawn_graphs(graph: Int8Graph) -> None:
    check(graph, probe_inputs(graph)["input"])


@pytest.mark.parametrize("integers", [True, False])
def test_equals_the_reference_on_hundreds_of_graphs(integers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "_integers_multiply_exactly", lambda: integers)
    for seed in range(300):
        rng = np.random.default_rng([seed, 7])
        graph = random_graph(rng, max_ops=10)
        check(graph, random_inputs(graph, rng, 3)["input"])


def loud(channels: int, depth: int, weight: int, activation: Activation = Activation.NONE) -> Int8Graph:
    """One pointwise convolution whose accumulators reach as far as `depth` products allow."""
    rng = np.random.default_rng(depth)
    build = GraphBuilder(rng)
    source = build.tensor("input", (1, 3, 3, depth), Quantization(float(np.float32(0.02)), -128))
    output = build.conv(source, channels, (1, 1), (1, 1), True, activation)
    weights = rng.integers(weight - 2, weight + 1, (channels, 1, 1, depth)).astype(np.int8)
    # the largest sums land near the ends of the int8 range, where a unit of the accumulator tips a code
    scale = build.quantization[output].scale / 0.02 * 200 / (255 * weight * depth)
    build.parameters["conv0"] = Parameters(
        weights, rng.integers(-99, 99, channels, dtype=np.int32), np.full(channels, scale, np.float32)
    )
    return build.finish("loud", (output,))


@pytest.mark.parametrize("depth", [513, 515, 600, 1031, 1032, 1033, 1500, 2500])
@pytest.mark.parametrize("weight", [127, -126])
def test_deep_sums_are_exact(depth: int, weight: int) -> None:
    """Centred codes reach 255: 518 products of 255 * 127 pass 2**24, where float32 loses the odd numbers."""
    graph = loud(8, depth, weight)
    rng = np.random.default_rng(1)
    extreme = np.full((1, 3, 3, depth), 127, np.int8)
    nearly = rng.integers(120, 128, (20, 3, 3, depth)).astype(np.int8)
    check(graph, np.concatenate([extreme, nearly, rng.integers(-128, 128, (2, 3, 3, depth)).astype(np.int8)]))


@pytest.mark.parametrize("integers", [True, False])
def test_the_sums_of_deep_layers_themselves_are_exact(integers: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before rounding to int8 hides it: accumulators against integers, odd ones beyond 2**24 included."""
    monkeypatch.setattr(fast, "_integers_multiply_exactly", lambda: integers)
    graph = loud(4, 600, 127)
    ((_, layer),) = Int8Network(graph)._layers
    x = np.random.default_rng(2).integers(110, 128, (45, 600)).astype(np.int8)
    weights = graph.parameters["conv0"].weights.reshape(4, 600).astype(np.int64)
    wanted = (x.astype(np.int64) + 128) @ weights.T
    assert (wanted > 1 << 24).any() and (wanted[wanted > 1 << 24] % 2 == 1).any()
    assert isinstance(layer, fast._Products)
    sums, finish = layer.sums(x), layer._finish
    moved = finish.integers[0] - graph.parameters["conv0"].bias
    assert sums.dtype == (torch.int32 if integers else torch.float64)
    assert np.array_equal(sums.double().numpy() + moved, wanted.astype(float))


def test_products_of_codes_are_asked_for_in_integers_only_where_those_are_exact(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A processor that saturates between two products is found out, and so is a torch without them."""
    exact = fast._integers_multiply_exactly.__wrapped__
    monkeypatch.setattr(torch, "_int_mm", lambda a, b: a.int() @ b.int())
    assert exact()

    def saturating(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        a, b = torch.nn.functional.pad(a, (0, a.shape[1] % 2)), torch.nn.functional.pad(b, (0, 0, 0, b.shape[0] % 2))
        products = a[:, :, None].int() * b[None].int()
        return products.unflatten(1, (-1, 2)).sum(2).clamp(-(2**15), 2**15 - 1).sum(1).int()

    monkeypatch.setattr(torch, "_int_mm", saturating)
    assert not exact()
    monkeypatch.delattr(torch, "_int_mm")
    assert not exact()


def test_a_fully_connected_layer_reads_pixels_in_tflites_order() -> None:
    build = GraphBuilder(np.random.default_rng(4))
    source = build.tensor("input", (1, 3, 4, 5))
    graph = build.finish("flat", (build.fully_connected(source, 7, Activation.NONE),))
    check(graph, probe_inputs(graph, random=20)["input"])


def test_spatial_outputs_come_back_with_channels_last() -> None:
    build = GraphBuilder(np.random.default_rng(5))
    source = build.tensor("input", (1, 6, 4, 3))
    graph = build.finish("spatial", (build.conv(source, 5, (3, 3), (1, 2), True, Activation.RELU),))
    assert check(graph, probe_inputs(graph)["input"]).shape == (5, 6, 2, 5)


@pytest.mark.parametrize(
    ("size", "kernel", "stride"),
    [((8, 3), (3, 3), (1, 2)), ((8, 2), (3, 3), (1, 2)), ((4, 6), (3, 5), (1, 2)), ((9, 7), (6, 5), (1, 3))],
)
def test_one_channel_has_the_strides_of_its_shape(
    size: tuple[int, int], kernel: tuple[int, int], stride: tuple[int, int]
) -> None:
    """An array of one channel counts as contiguous in two orders at once, of which torch may believe the wrong one."""
    for same in (False, True) if size[1] >= kernel[1] else (True,):
        build = GraphBuilder(np.random.default_rng(0))
        source = build.tensor("input", (1, *size, 1))
        graph = build.finish("single", (build.conv(source, 16, kernel, stride, same, Activation.NONE),))
        for seed in range(5):
            check(graph, np.random.default_rng(seed).integers(-128, 128, (3, *size, 1), dtype=np.int8))


def test_inputs_may_lie_in_memory_as_they_like() -> None:
    rng = np.random.default_rng(11)
    for seed in range(40):
        graph = random_graph(np.random.default_rng([seed, 8]), max_ops=4)
        plain = random_inputs(graph, rng, 4)["input"]
        wanted = Int8Network(graph)(plain)
        frozen = plain.copy()
        frozen.setflags(write=False)
        for inputs in (plain[::-1][::-1], np.asfortranarray(plain), frozen):
            assert np.array_equal(Int8Network(graph)(inputs), wanted)
        assert np.array_equal(Int8Network(graph)(plain[::-1][3:]), wanted[:1])
        assert np.array_equal(Int8Network(graph)(plain[:0]), wanted[:0])


@pytest.mark.parametrize("bad", [np.zeros((2, 5, 6, 30_000), np.int8), np.zeros((2, 5, 6, 1), np.int8)])
def test_inputs_of_another_shape_or_type_are_refused(bad: np.ndarray) -> None:
    build = GraphBuilder(np.random.default_rng(12))
    graph = build.finish(
        "narrow", (build.depthwise(build.tensor("input", (1, 5, 6, 3)), (3, 3), (1, 1), True, Activation.NONE),)
    )
    for inputs in (bad, np.zeros((2, 5, 6, 3), np.uint8), np.zeros((2, 5, 6, 3), np.int64)):
        with pytest.raises(OfaMcuError, match=r"for network 'narrow', which reads int8 codes of \(N, 5, 6, 3\)"):
            Int8Network(graph)(inputs)


def test_an_output_that_is_read_again_is_kept() -> None:
    build = GraphBuilder(np.random.default_rng(13))
    first = build.conv(build.tensor("input", (1, 4, 4, 3)), 5, (1, 1), (1, 1), True, Activation.NONE)
    build.depthwise(first, (3, 3), (1, 1), True, Activation.NONE)
    graph = build.finish("early", (first,))
    check(graph, np.random.default_rng(1).integers(-128, 128, (2, 4, 4, 3), dtype=np.int8))


def requantized(
    multiplier: np.ndarray, shift: np.ndarray, acc: np.ndarray, ends: tuple[int, int] = (-128, 127), zero_point: int = 0
) -> np.ndarray:
    """Codes of accumulators (rows, channels), alike for every type that may hold them, by both loops."""
    bias = np.asarray(np.random.default_rng(4).integers(-99, 100, acc.shape[1]), np.int32)
    finish = Requantizer.of(multiplier, shift, bias, zero_point, *ends)
    results = []
    for each in (finish, dataclasses.replace(finish, exact=False)):
        held: list[np.ndarray] = [(acc - bias).astype(np.float64)]
        if (np.abs(acc) < 1 << 23).all():
            held += [(acc - bias).astype(np.float32), (acc - bias).astype(np.int32)]
        for accumulators in held:
            codes = np.empty(acc.shape, np.int8)
            each(accumulators, codes)
            results.append(codes)
    assert all(np.array_equal(codes, results[0]) for codes in results)
    return results[0].astype(np.int64)


def tflites(multiplier: np.ndarray, shift: np.ndarray, acc: np.ndarray) -> np.ndarray:
    return multiply_by_quantized_multiplier(acc, multiplier, shift)


def test_requantization_equals_tflites_over_all_accumulators_and_shifts() -> None:
    rng = np.random.default_rng(0)
    for shift in range(-31, 8):
        reach = 2 ** (31 - max(shift, 0)) - 1
        multiplier, shifts = rng.integers(2**30, 2**31, 16).astype(np.int32), np.full(16, shift, np.int8)
        for limit in (2**8, 2**16, 2**21, 2**22, 2**24, 2**31 - 1, 256 << -min(shift, 0)):
            limit = min(limit, reach)
            acc = rng.integers(-limit, limit + 1, (200, 16))
            acc[0], acc[1], acc[2] = limit, -limit, 0
            wanted = tflites(multiplier, shifts, acc)
            assert np.array_equal(requantized(multiplier, shifts, acc), wanted.clip(-128, 127)), (shift, limit)
            codes = requantized(multiplier, shifts, acc, (-100, 90), -30)
            assert np.array_equal(codes, (wanted - 30).clip(-100, 90)), (shift, limit)


def test_every_channel_has_its_own_shift() -> None:
    rng = np.random.default_rng(3)
    for shift in (np.arange(-31, 8), np.arange(-13, 1)):
        multiplier = rng.integers(2**30, 2**31, len(shift)).astype(np.int32)
        acc = rng.integers(-(2**23), 2**23, (500, len(shift))) >> np.maximum(23 - 8 + shift, 0)
        assert np.array_equal(requantized(multiplier, shift, acc), tflites(multiplier, shift, acc).clip(-128, 127))


def _inverse(odd: np.ndarray) -> np.ndarray:
    """Modulo 2**64 (uint64), by Newton's steps."""
    x = odd.copy()
    for _ in range(6):
        x *= np.uint64(2) - odd * x
    return x


@pytest.mark.parametrize("right", [0, 1, 5, 9, 13])
@pytest.mark.parametrize("negative", [False, True])
def test_a_hair_below_a_tie_is_not_rounded_up(right: int, negative: bool) -> None:
    """acc * multiplier, with what rounds it twice, is a multiple of 2**(31 + right), or one less."""
    rng = np.random.default_rng(1)
    acc = rng.integers(0, 1 << (7 + right), 1 << (9 + right), dtype=np.uint64) | np.uint64(1)
    rounding = 2**30 + (((1 << right >> 1) - (negative and right > 0)) << 31)
    signed = -acc.astype(np.int64) if negative else acc.astype(np.int64)
    for residue in (-1, 0):
        wanted = np.uint64((residue - rounding) % 2 ** (31 + right))
        multiplier = wanted * _inverse(signed.astype(np.uint64)) % np.uint64(2 ** (31 + right))
        usable = (multiplier >= 2**30) & (multiplier < 2**31)
        assert usable.sum() > 100
        chosen, sums = multiplier[usable].astype(np.int32), signed[usable][None]
        shift = np.full(len(chosen), -right, np.int8)
        assert np.array_equal(requantized(chosen, shift, sums), tflites(chosen, shift, sums).clip(-128, 127))


def test_ties_round_as_in_tflite() -> None:
    """A multiplier of 2**30 and a shift of 0 halve: ties of both signs, then shifts that tie again."""
    for right in range(16):
        acc = np.arange(-64 << right, 65 << right, max(1, (1 << right) // 4))[:, None]
        half, shift = np.array([2**30], np.int32), np.array([-right])
        assert np.array_equal(requantized(half, shift, acc), tflites(half, shift, acc).clip(-128, 127)), right


@pytest.mark.parametrize("activation", [Activation.NONE, Activation.RELU])
def test_products_beyond_53_bits_are_exact(activation: Activation) -> None:
    build = GraphBuilder(np.random.default_rng(6))
    source = build.tensor("input", (1, 2, 2, 40), Quantization(float(np.float32(0.05)), 0))
    output = build.conv(source, 6, (1, 1), (1, 1), True, activation)
    old = build.parameters["conv0"]
    scales = np.full(6, build.quantization[output].scale / 0.05 / 2**22, np.float32)
    bias = np.random.default_rng(7).integers(-(2**29), 2**29, 6, dtype=np.int32)
    build.parameters["conv0"] = dataclasses.replace(old, bias=bias, weight_scales=scales)
    graph = build.finish("far", (output,))
    check(graph, probe_inputs(graph, random=50)["input"])


def test_accuracy_counts_the_first_of_equal_outputs() -> None:
    build = GraphBuilder(np.random.default_rng(8))
    source = build.tensor("input", (1, 4, 4, 2))
    current = build.fully_connected(source, 3, Activation.NONE)
    graph = build.finish("classes", (current,))
    inputs = np.random.default_rng(9).integers(-128, 128, (70, 4, 4, 2), dtype=np.int8)
    outputs = reference.run(graph, {"input": inputs})[current]
    labels = np.array([int(np.flatnonzero(row == row.max())[0]) for row in outputs])
    assert int8_accuracy(graph, inputs, labels) == 1.0
    labels[:7] = (labels[:7] + 1) % 3
    assert int8_accuracy(graph, inputs, labels) == 63 / 70
    assert int8_accuracy(graph, inputs, labels, batch=1) == 63 / 70
    # every output equal: the first class it is
    flat = dataclasses.replace(graph.parameters["fc0"], weights=np.zeros((3, 32), np.int8), bias=np.zeros(3, np.int32))
    even = dataclasses.replace(graph, parameters={"fc0": flat})
    assert int8_accuracy(even, inputs, np.zeros(70, np.int64)) == 1.0

"""Kernels in plain C: every layer in every way against the reference, at the closest overlap they allow."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ofa_mcu.codegen.layers import make_layers
from ofa_mcu.graph.arithmetic import multiply_by_quantized_multiplier
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.reference import run
from ofa_mcu.planning.facts import GraphFacts, analyse
from ofa_mcu.planning.kernels import portable
from ofa_mcu.planning.kernels.base import Facts, LayerView, Rounding, Way
from ofa_mcu.planning.kernels.portable import KERNELS
from ofa_mcu.planning.kernels.portable_depthwise import DEPTHWISE_BYTES
from ofa_mcu.planning.memory import MemoryPlan
from ofa_mcu.planning.plan import Plan
from ofa_mcu.planning.priced import PricedWay
from ofa_mcu.space.shapes import Activation, Conv2D, DepthwiseConv2D, FullyConnected, Operator
from tests.codegen.emulation import Emulator, needs_emulator
from tests.codegen.models import plan_with, random_way, side_by_side
from tests.graph.strategies import GraphBuilder
from tests.graph.wide import WideBuilder
from tests.kernels.generated import Host, drawn_inputs
from tests.kernels.toolchain import ARM_CORES, build, host_flags, kernel_include, kernel_sources, needs_arm

KINDS: tuple[type[Operator], ...] = (Conv2D, DepthwiseConv2D, FullyConnected)


@pytest.fixture(scope="module", params=[False, True], ids=["long products", "products from pieces"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("host"), no_long_multiply=request.param)


def layer(rng: np.random.Generator, kind: type[Operator]) -> Int8Graph:
    """One layer with random options."""
    while True:
        build = WideBuilder(rng)
        build.tensor("input", (1, *(int(extent) for extent in rng.integers(1, 12, 2)), int(rng.integers(1, 20))))
        if kind is Conv2D and rng.random() < 0.5:
            output = build.conv("input", int(rng.integers(1, 40)), (1, 1), (1, 1), True, build.activation())
        else:
            output = build.grow(kind, "input")
        if len(build.operators) == 1:  # no reshape came first
            return build.done("layer", (output,))


def general(graph: Int8Graph) -> GraphFacts:
    """Facts of a graph for which no fast rounding was proved."""
    facts = analyse(graph).facts
    return GraphFacts({name: replace(each, rounding=Rounding.GENERAL) for name, each in facts.items()})


def apart(graph: Int8Graph, way: Way) -> MemoryPlan:
    """Places of one layer's tensors that do not overlap."""
    return side_by_side(graph.structure, [way])


def ways(graph: Int8Graph, facts: Facts) -> tuple[Way, ...]:
    view = LayerView(graph.structure, graph.structure.operators[-1], facts)
    return tuple(way for kernel in KERNELS for way in kernel.ways(view))


def closest(graph: Int8Graph, way: Way, *, backward: bool, slack: int = 0) -> Plan:
    """The one layer of a graph with its output as far over its input as the way allows, or `slack` bytes less."""
    structure = graph.structure
    operator = structure.operators[-1]
    plan = side_by_side(structure, [way])
    source, target = (structure.bytes_of(name) for name in (operator.inputs[0], operator.output))
    gap = way.backward_gap if backward else way.forward_gap
    assert gap is not None
    ahead = -(-gap // 4) * 4 + slack if not backward else (target - source - gap) // 4 * 4
    offsets = {operator.output: max(0, -ahead), operator.inputs[0]: max(0, ahead)}
    top = -(-(max(offsets[operator.output] + target, offsets[operator.inputs[0]] + source)) // 8) * 8
    memory = MemoryPlan(
        offsets,
        {operator.name: top} if way.scratch_bytes else {},
        frozenset({operator.name}) if backward else frozenset(),
        top + -(-way.scratch_bytes // 4) * 4,
        0,
        (),
        plan.buffers,
    )
    return Plan(structure, (PricedWay(way, 0.0),), memory, "portable")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_layers_at_the_closest_overlap(host: Host, kind: type[Operator], seed: int) -> None:
    rng = np.random.default_rng(100 * seed + KINDS.index(kind))
    graph = layer(rng, kind)
    facts = analyse(graph).of(graph.structure.operators[0])
    images = drawn_inputs(graph, rng, 3)
    for way in ways(graph, facts):
        host.check(graph, closest(graph, way, backward=False), images)
        if way.backward_gap is not None:
            host.check(graph, closest(graph, way, backward=True), images)


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_layers_at_any_distance(host: Host, stride: int) -> None:
    """A few channels at a time must not be written over others, wherever in a pixel the output starts."""
    rng = np.random.default_rng(stride)
    build = GraphBuilder(rng)
    source = build.tensor("input", (1, 7, 10, 6))
    graph = build.finish("layer", (build.depthwise(source, (3, 3), (stride, stride), True, Activation.RELU6),))
    facts = analyse(graph).of(graph.structure.operators[0])
    images = drawn_inputs(graph, rng, 2)
    few = [way for way in ways(graph, facts) if "of 4 channels" in way.variant]
    assert [way.variant for way in few] == [f"3x3_{stride} planes of 4 channels", f"3x3_{stride} ring of 4 channels"]
    for way in few:
        for slack in (0, 4, 8):  # and so 0, 4 and 2 bytes into a pixel
            host.check(graph, closest(graph, way, backward=False, slack=slack), images)


@pytest.mark.parametrize("seed", range(6))
def test_chains_in_any_way(host: Host, seed: int) -> None:
    rng = np.random.default_rng(seed)
    build = WideBuilder(rng)
    current = build.tensor("input", (1, int(rng.integers(1, 12)), int(rng.integers(1, 12)), int(rng.integers(1, 20))))
    for _ in range(5):
        if np.prod(build.shapes[current]) > 6000:
            break
        current = build.grow(KINDS[int(rng.integers(len(KINDS)))], current)
    graph = build.done("chain", (current,))
    host.check(graph, plan_with(graph, choose=random_way(rng), apart=seed % 2 == 1), drawn_inputs(graph, rng, 3))


@pytest.mark.slow
@needs_emulator
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3"])
def test_emulated_chains(core: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(23)
    emulator = Emulator(core, tmp_path)
    for kernel, stride in [((3, 3), (1, 1)), ((3, 3), (2, 2)), ((5, 5), (1, 1)), ((7, 7), (2, 2)), ((2, 3), (1, 3))]:
        build = GraphBuilder(rng)
        current = build.tensor("input", (1, 11, 9, 3))
        current = build.conv(current, 13, kernel, (1, 1), True, Activation.RELU6)
        current = build.depthwise(current, kernel, stride, True, Activation.RELU6)
        current = build.conv(current, 22, (1, 1), (1, 1), True, Activation.NONE)
        current = build.fully_connected(current, 5, Activation.NONE)
        graph = build.finish("chain", (current,))
        images = drawn_inputs(graph, rng, 2)
        wanted = run(graph, {"input": images})
        plan = plan_with(graph, choose=random_way(rng))
        for image, observations in enumerate(emulator.run(graph, images, plan)):
            for operator, seen in zip(graph.structure.operators, observations, strict=True):
                assert (seen.tensor == wanted[operator.output][image].ravel()).all(), operator


@pytest.mark.parametrize("kind", KINDS)
def test_constants_take_the_promised_bytes(kind: type[Operator]) -> None:
    rng = np.random.default_rng(41)
    sizes = {
        "ofa_product_layer": portable.PRODUCT_BYTES,
        "ofa_conv2d_layer": portable.CONV_BYTES,
        "ofa_depthwise_layer": DEPTHWISE_BYTES,
    }
    for seed in range(12):
        graph = layer(rng, kind)
        facts = general(graph) if seed % 3 == 0 else analyse(graph)
        operator = graph.structure.operators[0]
        for way in ways(graph, facts.of(operator)):
            (one,) = make_layers(graph, Plan(graph.structure, (PricedWay(way, 0.0),), apart(graph, way), ""), facts)
            descriptor = next(size for name, size in sizes.items() if any(name in line for line in one.code.body))
            total = descriptor + sum(-(-array.nbytes // 4) * 4 for array in one.code.arrays.values())
            assert total == way.constant_bytes


@needs_arm
def test_descriptors_take_the_promised_bytes(tmp_path: Path) -> None:
    sizes = {
        "product": portable.PRODUCT_BYTES,
        "conv2d": portable.CONV_BYTES,
        "depthwise": DEPTHWISE_BYTES,
    }
    lines = [f'_Static_assert(sizeof(ofa_{kind}_layer) == {size}, "{kind}");' for kind, size in sizes.items()]
    (tmp_path / "sizes.c").write_text("\n".join(['#include "ofa_portable.h"', *lines, ""]))
    flags = (*ARM_CORES["cortex-m3"], f"-I{kernel_include()}", "-c")
    build("arm-none-eabi-gcc", flags, tmp_path / "sizes.c", "-o", tmp_path / "sizes.o")


class OfaRounding(ctypes.Structure):
    """ofa_rounding."""

    _fields_ = (
        ("store", ctypes.c_void_p),
        ("spread", ctypes.c_void_p),
        ("records", ctypes.c_void_p),
        ("words", ctypes.c_uint8),
        ("shift", ctypes.c_uint8),
        ("zero_point", ctypes.c_int8),
        ("clamp_min", ctypes.c_int8),
        ("clamp_max", ctypes.c_int8),
    )


@pytest.fixture(scope="module", params=[False, True], ids=["long products", "products from pieces"])
def library(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    target = tmp_path_factory.mktemp("library") / "store.so"
    source = next(path for path in kernel_sources() if path.name == "ofa_store.c")
    flags = host_flags(sanitize=False, no_long_multiply=request.param)
    build("gcc", (*flags, "-shared", "-fPIC"), source, "-o", target)
    return ctypes.CDLL(str(target))


def stored(
    library: ctypes.CDLL, name: str, sums: NDArray[np.int64], records: NDArray[np.int64], **fields: int
) -> NDArray[np.int8]:
    """Codes of the sums, each with a record of its own, by ofa_store_...; every 97th again by ofa_spread_..."""
    rounding = OfaRounding(words=records.shape[1], **fields)
    table, values = (np.ascontiguousarray(array.astype(np.int32)) for array in (records, sums))
    codes = np.zeros(len(sums), np.int8)
    pointers = [array.ctypes.data_as(ctypes.c_void_p) for array in (table, values, codes)]
    getattr(library, f"ofa_store_{name}")(ctypes.byref(rounding), *pointers, len(sums))
    for index in range(0, len(sums), 97):
        spread = np.zeros(6, np.int8)
        three = np.full(3, values[index])
        one = [array.ctypes.data_as(ctypes.c_void_p) for array in (table[index], three, spread)]
        getattr(library, f"ofa_spread_{name}")(ctypes.byref(rounding), *one, 2, 3)
        assert (spread.reshape(3, 2) == [codes[index], 0]).all()
    return codes


@pytest.mark.parametrize("limit", [23, 20])
def test_fast_rounding(library: ctypes.CDLL, limit: int) -> None:
    rng = np.random.default_rng(limit)
    count = 60_000
    accumulators = rng.integers(-(1 << limit) + 1, 1 << limit, count)
    accumulators[:8] = [0, 1, -1, 255, 256, -256, (1 << limit) - 1, 1 - (1 << limit)]
    multiplier = rng.integers(0, 1 << 31, count) >> rng.integers(0, 12, count)
    multiplier[8:24] = (1 << 31) - 1
    accumulators[8:16] = (1 << limit) - 1
    high = (accumulators << 8) * multiplier >> 32
    bias = rng.integers(-(1 << 19), 1 << 19, count)
    suffixes = ["", "_short"] if limit == 20 and hasattr(library, "ofa_store_uniform_short") else [""]
    for shift in (1, 9, 16, 23):
        offset = rng.integers(-(1 << 30), 1 << 30, count)
        fits = np.abs(offset + high) < 1 << 31
        records = np.stack([bias, multiplier, np.where(fits, offset, -high)], axis=1)
        wanted = np.clip((records[:, 2] + high) >> shift, -128, 127)
        for suffix in suffixes:
            got = stored(library, f"uniform{suffix}", accumulators - bias, records, shift=shift)
            assert (got == wanted).all()
    shifts, dead_zone = rng.integers(1, 24, count), rng.choice([0, 1, 2, 64, 128], count)
    offset = np.clip(rng.integers(-(1 << 30), 1 << 30, count), 200 - (1 << 31) - np.minimum(high, 0), None)
    offset = np.minimum(offset, (1 << 31) - 1 - np.maximum(high, 0))
    records = np.stack([bias, multiplier, offset, 256 * dead_zone + shifts], axis=1)
    codes = (offset - np.where(accumulators < 0, dead_zone, 0) + high) >> shifts
    for low, top in [(-128, 127), (-20, 60), (5, 5)]:
        for suffix in suffixes:
            got = stored(library, f"channels{suffix}", accumulators - bias, records, clamp_min=low, clamp_max=top)
            assert (got == np.clip(codes, low, top)).all()


def test_general_rounding_over_the_whole_range(library: ctypes.CDLL) -> None:
    """Any accumulator, any multiplier, any shift."""
    rng = np.random.default_rng(5)
    count = 40_000
    multiplier = rng.integers(1 << 30, 1 << 31, count)
    multiplier[:1000] = 1 << 30
    multiplier[1000:2000] = (1 << 31) - 1
    multiplier[2000:2100] = 0
    shift = rng.integers(-31, 31, count)
    # Magnitudes that leave outputs around and beyond int8, cut to what the shift allows.
    limit = np.minimum(2.0 ** (10 - shift), 2.0 ** (31 - np.maximum(shift, 0)) - 1)
    value = np.trunc(rng.uniform(-1, 1, count) * limit).astype(np.int64)
    ties = np.clip(shift, -24, 0) == shift
    # With a multiplier of 2**30 these accumulators lie on or beside ties of the second rounding.
    multiplier[3000:6000] = 1 << 30
    near = (2 * rng.integers(-128, 128, count) + 1) << np.where(ties, -shift, 0)
    value[3000:6000] = np.where(ties, near + rng.integers(-2, 3, count), value)[3000:6000]
    extremes = shift <= -24
    value[extremes] = rng.choice([2**31 - 1, -(2**31) + 1, -(2**31), 2**30, -(2**30), 0, -1], int(extremes.sum()))
    for zero_point, low, high in [(0, -128, 127), (-128, -128, 127), (5, -20, 60)]:
        scaled = multiply_by_quantized_multiplier(value.copy(), multiplier, shift)
        wanted = np.clip(scaled + zero_point, low, high).astype(np.int8)
        records = np.stack([np.zeros(count, np.int64), multiplier, shift], axis=1)
        got = stored(library, "general", value, records, zero_point=zero_point, clamp_min=low, clamp_max=high)
        assert (got == wanted).all(), np.flatnonzero(got != wanted)[:5]

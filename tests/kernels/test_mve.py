"""Kernels for M-profile vectors: every byte equal to the reference on an emulated Cortex-M55, overlaps included."""

from __future__ import annotations

import numpy as np
import pytest

from ofa_mcu.graph.ir import Int8Graph, Parameters, Quantization
from ofa_mcu.graph.reference import run
from ofa_mcu.planning.facts import analyse
from ofa_mcu.planning.kernels.base import LayerView, Way
from ofa_mcu.planning.kernels.mve import MVE_KERNELS
from ofa_mcu.planning.memory import MemoryPlan, lifetimes, place
from ofa_mcu.planning.plan import Plan
from ofa_mcu.planning.priced import PricedWay
from ofa_mcu.space.shapes import (
    Activation,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Operator,
    Padding,
    ShapeGraph,
    same_padding,
)
from tests.codegen.emulation import Emulator, needs_emulator

pytestmark = needs_emulator

Pair = tuple[int, int]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    return Emulator("cortex-m55", tmp_path_factory.mktemp("mve"))


def _around(height: int, width: int, kernel: Pair, stride: Pair) -> Padding:
    return Padding(*same_padding(height, kernel[0], stride[0]), *same_padding(width, kernel[1], stride[1]))


def _structure(operator: Operator, source: tuple[int, ...], target: tuple[int, ...]) -> ShapeGraph:
    return ShapeGraph("layer", {"x": source, "y": target}, (operator,), ("x",), ("y",))


def _filter(
    size: tuple[int, int, int],
    outputs: int,
    kernel: Pair = (1, 1),
    stride: Pair = (1, 1),
    activation: Activation = Activation.RELU6,
    *,
    depthwise: bool = False,
    valid: bool = False,
) -> ShapeGraph:
    height, width, channels = size
    padding = Padding() if valid else _around(height, width, kernel, stride)
    rows = (height + padding.top + padding.bottom - kernel[0]) // stride[0] + 1
    columns = (width + padding.left + padding.right - kernel[1]) // stride[1] + 1
    operator: Operator = Conv2D(
        name="layer",
        inputs=("x",),
        output="y",
        kernel=kernel,
        stride=stride,
        padding=padding,
        activation=activation,
    )
    if depthwise:
        operator = DepthwiseConv2D(
            name="layer",
            inputs=("x",),
            output="y",
            kernel=kernel,
            stride=stride,
            padding=padding,
            activation=activation,
            depth_multiplier=outputs // channels,
        )
    return _structure(operator, (1, *size), (1, rows, columns, outputs))


def _dense(inputs: int, outputs: int, activation: Activation = Activation.NONE) -> ShapeGraph:
    operator = FullyConnected(name="layer", inputs=("x",), output="y", activation=activation)
    return _structure(operator, (1, inputs), (1, outputs))


def _graph(structure: ShapeGraph, rng: np.random.Generator, kind: str, *, narrow: bool = False) -> Int8Graph:
    """Random parameters, `narrow`: no weight of -128.

    Kinds: "even" scales; "wild" ones, which no fast rounding covers; "left", scaled up; "tight", clamped more tightly
    than int8.
    """
    operator = structure.operators[0]
    shape = structure.weight_shape(operator)
    assert shape is not None
    channels = structure.shapes["y"][-1]
    taps = int(np.prod(shape)) // channels
    linear = getattr(operator, "activation", Activation.NONE) is Activation.NONE
    scale = 0.06 if kind == "tight" else 6 / 255
    zero_point = int(rng.integers(-60, 60)) if linear or kind == "tight" else -128
    spread = {"wild": 4.0, "left": 0.3}.get(kind, 0.4)
    count = 1 if isinstance(operator, FullyConnected) else channels
    scales = np.exp(rng.normal(0, spread, count)) * scale / (1.6 * np.sqrt(taps))
    weights = rng.integers(-127, 128, shape, dtype=np.int8)
    if not narrow:
        weights.flat[::7] = -128
    bias = rng.integers(-4000, 4000, channels, dtype=np.int32)
    if kind == "left":
        weights, bias, scales = np.sign(weights), bias // 100, scales * 400
    return Int8Graph(
        structure,
        {
            "x": Quantization(float(np.float32(0.02)), int(rng.choice([-128, -7, 0, 127]))),
            "y": Quantization(float(np.float32(scale)), zero_point),
        },
        {"layer": Parameters(weights, bias, scales.astype(np.float32))},
    )


def _codes(graph: Int8Graph, rng: np.random.Generator) -> np.ndarray:
    codes = rng.integers(-128, 128, (2, *graph.structure.shapes["x"][1:]), dtype=np.int8)
    codes[0].flat[::3] = -128
    codes[0].flat[1::3] = 127
    return codes


def _ways(graph: Int8Graph) -> list[Way]:
    operator = graph.structure.operators[0]
    view = LayerView(graph.structure, operator, analyse(graph).of(operator))
    ways = [way for kernel in MVE_KERNELS for way in kernel.ways(view)]
    for way in ways:
        kernel = next(kernel for kernel in MVE_KERNELS if kernel.name == way.kernel)
        assert len(way.counts) == len(way.features or kernel.features)
        assert set(way.features) <= set(kernel.features)
        assert min(way.counts) >= 0
        assert all(len(code.counts) == len(kernel.code_terms[code.kind]) for code in way.code)
    return ways


def _check(emulator: Emulator, graph: Int8Graph, way: Way, memory: MemoryPlan, rng: np.random.Generator) -> int:
    """Instructions of the first image, once all bytes are right."""
    codes = _codes(graph, rng)
    wanted = run(graph, {"x": codes})["y"]
    plan = Plan(graph.structure, (PricedWay(way, 0.0),), memory, "cortex-m55")
    seen = emulator.run(graph, codes, plan)
    for image, layers in enumerate(seen):
        differing = np.flatnonzero(layers[0].tensor != wanted[image].ravel())
        assert not differing.size, (way.variant, differing[:8], differing.size)
    return seen[0][0].instructions


def _overlapping(graph: Int8Graph, way: Way) -> list[MemoryPlan]:
    """Input and output as near as the way allows, and a little farther."""
    structure = graph.structure
    source, target = structure.bytes_of("x"), structure.bytes_of("y")
    plans = []
    for backward, gap in enumerate((way.forward_gap, way.backward_gap)):
        if gap is None:
            continue
        for farther in (0, 12):
            start, output = 16, 16
            if backward:
                output = max(16, 16 + source + gap - target) + 3 & ~3
                output += farther
            else:
                start += (gap + 3 & ~3) + farther
            scratch = max(start + source + way.overread, output + target) + 7 & ~7
            plans.append(
                MemoryPlan(
                    {"x": start, "y": output},
                    {"layer": scratch} if way.scratch_bytes else {},
                    frozenset({"layer"}) if backward else frozenset(),
                    scratch + (way.scratch_bytes + 3 & ~3),
                    0,
                    (),
                    (),
                )
            )
    return plans


NONE = Activation.NONE

LAYERS = {
    "pointwise": _filter((3, 5, 16), 8),
    "few outputs": _filter((3, 3, 20), 3, activation=NONE),
    "one to one": _filter((2, 2, 1), 1),
    "odd": _filter((3, 3, 13), 5, activation=NONE),
    "three vectors": _filter((3, 3, 37), 7),
    "five vectors": _filter((1, 3, 80), 9),
    "six vectors": _filter((2, 2, 91), 6, activation=NONE),
    "deep": _filter((5, 3, 130), 11),
    "deep, few": _filter((3, 3, 113), 2, activation=NONE),
    "dense": _dense(70, 12),
    "dense, two": _dense(22, 2),
    "first": _filter((9, 11, 3), 8, (3, 3), (2, 2)),
    "grey": _filter((7, 7, 1), 6, (5, 5), activation=NONE),
    "residual": _filter((5, 6, 18), 10, (3, 3)),
    "tall": _filter((9, 6, 1), 7, (8, 4), (2, 2)),
    "strided": _filter((7, 5, 9), 12, (1, 1), (2, 2)),
    "valid": _filter((6, 6, 5), 4, (3, 2), valid=True, activation=NONE),
    "depthwise": _filter((6, 6, 5), 5, (3, 3), depthwise=True),
    "depthwise, wide": _filter((5, 19, 2), 2, (3, 3), depthwise=True, activation=NONE),
    "depthwise, strided": _filter((9, 10, 3), 3, (3, 3), (2, 2), depthwise=True),
    "depthwise, tiny": _filter((3, 3, 4), 4, (3, 3), depthwise=True, activation=NONE),
    "depthwise, narrow": _filter((8, 1, 3), 3, (3, 3), depthwise=True),
    "depthwise, 5": _filter((8, 9, 3), 3, (5, 5), depthwise=True),
    "depthwise, 7": _filter((9, 12, 2), 2, (7, 7), (2, 2), depthwise=True, activation=NONE),
    "depthwise, multiplied": _filter((7, 9, 2), 6, (3, 3), depthwise=True),
    "depthwise, sparse": _filter((9, 9, 2), 2, (2, 2), (3, 3), depthwise=True, valid=True),
    "depthwise, tall": _filter((12, 5, 1), 8, (10, 8), (2, 2), depthwise=True),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_way_equals_the_reference(name: str, emulator: Emulator) -> None:
    rng = np.random.default_rng(len(name))
    graph = _graph(LAYERS[name], rng, "even")
    ways = _ways(graph)
    assert ways
    for way in ways:
        _check(emulator, graph, way, place(lifetimes(graph.structure), [way]), rng)


BLOCKS = {
    "five": _filter((6, 6, 5), 5, (3, 3), depthwise=True),
    "thirteen, strided": _filter((7, 8, 13), 13, (3, 3), (2, 2), depthwise=True, activation=NONE),
    "sixty": _filter((5, 4, 60), 60, (3, 3), depthwise=True),
    "sixty, strided": _filter((8, 8, 60), 60, (3, 3), (2, 2), depthwise=True, activation=NONE),
    "tiny": _filter((1, 1, 17), 17, (3, 3), depthwise=True),
    "valid": _filter((6, 5, 20), 20, (3, 3), (2, 1), depthwise=True, valid=True),
    "sparse": _filter((9, 9, 2), 2, (3, 3), (4, 4), depthwise=True, valid=True),
    "four": _filter((5, 5, 4), 4, (3, 3), depthwise=True),
    "larger window": _filter((7, 6, 13), 13, (5, 5), depthwise=True),
    "larger window, strided": _filter((9, 8, 5), 5, (5, 5), (2, 2), depthwise=True),
    "larger window, sparse": _filter((8, 9, 20), 20, (5, 5), (3, 2), depthwise=True, valid=True),
    "largest window": _filter((7, 6, 18), 18, (7, 7), depthwise=True, activation=NONE),
    "largest window, strided": _filter((9, 8, 5), 5, (7, 7), (2, 2), depthwise=True),
    "largest window, tiny": _filter((2, 3, 33), 33, (7, 7), depthwise=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_depthwise_in_place(name: str, emulator: Emulator) -> None:
    """Every way beside its input, over it as far as its gaps say, and right on it, in every rounding."""
    structure = BLOCKS[name]
    for number, kind in enumerate(("even", "wild", "left", "tight")):
        rng = np.random.default_rng(len(name) + number)
        graph = _graph(structure, rng, kind, narrow=True)
        for way in _ways(graph):
            if kind == "even":
                _check(emulator, graph, way, place(lifetimes(structure), [way]), rng)
                for memory in _overlapping(graph, way):
                    _check(emulator, graph, way, memory, rng)
            if not way.in_place:
                continue
            end = 16 + structure.bytes_of("x") + way.overread + 7 & ~7
            top = end + (way.scratch_bytes + 3 & ~3)
            memory = MemoryPlan({"x": 16, "y": 16}, {"layer": end}, frozenset(), top, 0, (), ())
            _check(emulator, graph, way, memory, rng)


@pytest.mark.parametrize("size", [3, 5, 7])
@pytest.mark.parametrize("activation", [NONE, Activation.RELU6])
def test_sixteen_channels_with_the_lowest_weights(size: int, activation: Activation, emulator: Emulator) -> None:
    """Sums of two products that 16 bits do not hold."""
    rng = np.random.default_rng(size)
    structure = _filter((5, 7, 19), 19, (size, size), activation=activation, depthwise=True)
    for kind in ("even", "wild", "left", "tight"):
        graph = _graph(structure, rng, kind, narrow=True)
        weights = graph.parameters["layer"].weights
        weights[..., ::2] = -128
        weights[..., 1::2].flat[::5] = -128
        (way,) = (way for way in _ways(graph) if way.kernel == "ofa_mve_depthwise_blocks")
        assert way.variant == f"{size} wide"
        _check(emulator, graph, way, place(lifetimes(structure), [way]), rng)


@pytest.mark.parametrize("kind", ["wild", "left", "tight"])
@pytest.mark.parametrize("name", ["odd", "three vectors", "deep", "first", "depthwise, wide", "depthwise, 5"])
def test_every_rounding_equals_the_reference(name: str, kind: str, emulator: Emulator) -> None:
    rng = np.random.default_rng(len(name))
    graph = _graph(LAYERS[name], rng, kind)
    way = _ways(graph)[0]
    _check(emulator, graph, way, place(lifetimes(graph.structure), [way]), rng)


@pytest.mark.parametrize("name", ["odd", "three vectors", "deep", "first", "residual", "depthwise, tiny"])
def test_output_may_overlap_input_as_far_as_the_gaps_say(name: str, emulator: Emulator) -> None:
    rng = np.random.default_rng(len(name))
    graph = _graph(LAYERS[name], rng, "even")
    tried = 0
    for way in _ways(graph):
        for memory in _overlapping(graph, way):
            _check(emulator, graph, way, memory, rng)
            tried += 1
    assert tried


def test_growing_pointwise_works_backwards(emulator: Emulator) -> None:
    rng = np.random.default_rng(5)
    for outputs in (24,):
        graph = _graph(_filter((4, 5, 21), outputs), rng, "even")
        (way,) = _ways(graph)
        for memory in _overlapping(graph, way):
            _check(emulator, graph, way, memory, rng)


def test_instructions_of_a_pointwise_layer(emulator: Emulator) -> None:
    rng = np.random.default_rng(1)
    graph = _graph(_filter((12, 12, 64), 64), rng, "even")
    way = _ways(graph)[0]
    instructions = _check(emulator, graph, way, place(lifetimes(graph.structure), [way]), rng)
    assert instructions <= 0.25 * graph.structure.macs

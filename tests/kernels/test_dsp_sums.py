"""Pointwise convolutions that add another tensor, on DSP cores: every way, in any place allowed, host and emulated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.graph.constants import ConvAddConstants, operator_constants
from ofa_mcu.graph.ir import Int8Graph, Parameters, Quantization
from ofa_mcu.graph.passes import fuse_adds
from ofa_mcu.graph.reference import run
from ofa_mcu.graph.reference_values import run_add
from ofa_mcu.planning.facts import analyse
from ofa_mcu.planning.kernels.base import Flavour, LayerView, Rounding, Way
from ofa_mcu.planning.kernels.dsp_matrix import POINTWISE_ADD
from ofa_mcu.planning.memory import MemoryPlan
from ofa_mcu.planning.plan import Plan
from ofa_mcu.planning.products import PRODUCT_SHIFT, product_form
from ofa_mcu.space.shapes import Activation, Add, Concatenation, Conv2D, ConvAdd, ShapeGraph
from tests.codegen.emulation import Emulator, needs_emulator
from tests.codegen.models import Choice, plan_with
from tests.kernels.generated import Host, drawn_inputs


@dataclass(frozen=True)
class Block:
    """An image whose channels are widened, narrowed and added to it."""

    size: tuple[int, int]
    channels: int
    hidden: int
    activation: Activation = Activation.NONE
    spread: float = 0.3
    zero_points: tuple[int, int, int] = (3, -5, 10)
    gain: float = 1.0


def graph_of(block: Block, seed: int) -> Int8Graph:
    """The block; what it computes is joined to all it read, so that nothing of that may be written over."""
    rng = np.random.default_rng(seed)

    def filters(outputs: int, depth: int) -> Parameters:
        spread = np.exp(rng.normal(0, block.spread, outputs))
        return Parameters(
            weights=rng.integers(-127, 128, (outputs, 1, 1, depth), dtype=np.int8),
            bias=rng.integers(-2000, 2000, outputs, dtype=np.int32),
            weight_scales=(spread * 0.02 / np.sqrt(depth)).astype(np.float32),
        )

    narrow, wide = (1, *block.size, block.channels), (1, *block.size, block.hidden)
    shapes = {"input": narrow, "hidden": wide, "middle": narrow, "output": narrow}
    order = ("middle", "input") if rng.random() < 0.5 else ("input", "middle")
    operators = (
        Conv2D(name="widen", inputs=("input",), output="hidden", kernel=(1, 1), activation=Activation.RELU6),
        Conv2D(name="narrow", inputs=("hidden",), output="middle", kernel=(1, 1)),
        Add(name="add", inputs=order, output="output", activation=block.activation),
    )
    scales = {
        "input": 0.05 * rng.uniform(0.3, 1.5),
        "hidden": 6 / 255,
        "middle": 0.05 * rng.uniform(0.3, 1.5),
        "output": 0.06 * block.gain,
    }
    points = {"input": block.zero_points[0], "hidden": -128, "middle": block.zero_points[1]}
    points["output"] = block.zero_points[2]
    quantization = {name: Quantization(float(np.float32(scale)), points[name]) for name, scale in scales.items()}
    structure = ShapeGraph("block", shapes, operators, ("input",), ("output",))
    parameters = {"widen": filters(block.hidden, block.channels), "narrow": filters(block.channels, block.hidden)}
    fused = fuse_adds(Int8Graph(structure, quantization, parameters))
    assert [type(op) for op in fused.structure.operators] == [Conv2D, ConvAdd]
    return fused


def joined(graph: Int8Graph) -> Int8Graph:
    """The graph with all its tensors joined at the end, by one more layer."""
    structure = graph.structure
    names = ("input", "hidden", "output")
    depth = sum(structure.shapes[name][3] for name in names)
    shapes = {**structure.shapes, "all": (*structure.shapes["input"][:3], depth)}
    operators = (*structure.operators, Concatenation(name="join", inputs=names, output="all", axis=3))
    quantization = {**graph.quantization, "all": graph.quantization["output"]}
    return Int8Graph(
        ShapeGraph("joined", shapes, operators, ("input",), ("all",)), quantization, graph.parameters, graph.constants
    )


def random_block(rng: np.random.Generator) -> Block:
    """Small, odd, at the ends of ranges."""
    return Block(
        (int(rng.integers(1, 6)), int(rng.integers(1, 6))),
        int(rng.choice([1, 2, 3, 4, 5, 8, 13])),
        int(rng.choice([1, 2, 3, 4, 6, 8, 13, 24])),
        list(Activation)[int(rng.integers(4))],
        float(rng.choice([0.3, 1.5])),
        tuple(rng.choice([-128, -60, 0, 5, 127], 3).tolist()),
        float(rng.choice([0.4, 1.0, 2.0])),
    )


def first_but(way: Way) -> Choice:
    """This way where it runs the layer, else the first."""
    return lambda operator, ways: way if way in ways else ways[0]


def ways_of_sum(graph: Int8Graph) -> tuple[Way, ...]:
    operator = graph.structure.operators[1]
    return POINTWISE_ADD.ways(LayerView(graph.structure, operator, analyse(graph).of(operator)))


def plans(graph: Int8Graph, number: int) -> Iterator[Plan]:
    """Every way of the sum: in the planner's place, and in turn over the other tensor or the first input."""
    structure = graph.structure
    for way in ways_of_sum(graph):
        plan = plan_with(graph, Flavour.DSP, first_but(way))
        yield plan
        narrow, wide = (-(-structure.bytes_of(name) // 4) * 4 for name in ("output", "hidden"))
        assert way.in_place_second and way.forward_gap is not None and way.backward_gap is not None
        scratch = narrow * 2 + 2 * wide + 32
        scratch += -scratch % 8
        inputs = scratch + -(-max(one.way.scratch_bytes for one in plan.ways) // 8) * 8 + 8
        forward = -(-way.forward_gap // 4) * 4
        start = structure.bytes_of("hidden") + way.backward_gap - structure.bytes_of("output")
        start = -(-start // 4) * 4
        over_input = (forward, 0, False), (max(0, -start), max(0, start), True)
        hidden, output, backward = ((0, inputs, False), *over_input)[number % 3]
        number += 1
        memory = MemoryPlan(
            offsets={"hidden": hidden, "output": output, "input": inputs},
            scratch={
                op.name: scratch
                for op, one in zip(structure.operators, plan.ways, strict=True)
                if one.way.scratch_bytes
            },
            backward=frozenset(["narrow"] * backward),
            arena_bytes=inputs + narrow + 8,
            lower_bound=0,
            live_bytes=(),
            buffers=(),
        )
        yield Plan(structure, plan.ways, memory, plan.core)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("host"))


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_on_the_host(host: Host, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for number in range(2):
        graph = graph_of(random_block(rng), int(rng.integers(1 << 30)))
        for plan in plans(graph, seed + number):
            host.check(graph, plan, drawn_inputs(graph, rng, 3))


def test_nothing_else_is_written(host: Host) -> None:
    rng = np.random.default_rng(9)
    for size, channels, hidden in (((3, 2), 5, 8), ((2, 4), 4, 3), ((1, 3), 3, 6)):
        graph = joined(graph_of(Block(size, channels, hidden, Activation.RELU), 3))
        for way in ways_of_sum(graph):
            plan = plan_with(graph, Flavour.DSP, first_but(way), apart=True)
            host.check(graph, plan, drawn_inputs(graph, rng, 2))


@pytest.mark.slow
@needs_emulator
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m33"])
def test_emulated(tmp_path: Path, core: str) -> None:
    rng = np.random.default_rng(11 if core == "cortex-m4" else 12)
    emulator = Emulator(core, tmp_path)
    blocks = random_block(rng), Block((5, 3), 6, 148, Activation.RELU6), Block((2, 5), 7, 16)
    for number, block in enumerate(blocks):
        graph = graph_of(block, int(rng.integers(1 << 30)))
        images = drawn_inputs(graph, rng, 2)
        wanted = run(graph, {"input": images})
        for plan in plans(graph, number):
            for image, seen in enumerate(emulator.run(graph, images, plan)):
                for operator, one in zip(graph.structure.operators, seen, strict=True):
                    assert np.array_equal(one.tensor, wanted[operator.output][image].ravel()), (operator, plan)


@needs_emulator
def test_it_takes_less_than_a_convolution_and_a_sum(tmp_path: Path) -> None:
    emulator = Emulator("cortex-m7", tmp_path)
    for block, variant in product((Block((10, 10), 24, 144), Block((5, 5), 96, 96)), ("unrolled", "looped")):
        graph = graph_of(block, 1)
        way = next(way for way in ways_of_sum(graph) if way.variant == variant)
        plan = plan_with(graph, Flavour.DSP, first_but(way))
        images = drawn_inputs(graph, np.random.default_rng(1), 1)
        seen = emulator.run(graph, images, plan)[0][1].instructions
        macs = prod(block.size) * block.channels * block.hidden
        assert seen < {"unrolled": 0.90, "looped": 0.98}[variant] * macs


def test_both_roundings_and_all_forms_are_met() -> None:
    rng = np.random.default_rng(0)
    roundings, clamps = set(), set()
    for _ in range(40):
        graph = graph_of(random_block(rng), int(rng.integers(1 << 30)))
        facts = analyse(graph).of(graph.structure.operators[1])
        roundings.add(facts.rounding)
        clamps.add((facts.clamp_low, facts.clamp_high))
    assert {Rounding.UNIFORM, Rounding.PER_CHANNEL} <= roundings
    assert clamps == set(product((False, True), repeat=2))


def test_products_are_sums_for_all_pairs_of_codes() -> None:
    rng = np.random.default_rng(5)
    codes = np.arange(-128, 128)
    first, second = (each.ravel().astype(np.int8) for each in np.meshgrid(codes, codes))
    proved = 0
    for _ in range(30):
        graph = graph_of(random_block(rng), int(rng.integers(1 << 30)))
        operator = graph.structure.operators[1]
        constants = operator_constants(graph, operator)
        assert isinstance(operator, ConvAdd) and isinstance(constants, ConvAddConstants)
        form = product_form(constants.addition)
        if form is None:
            continue
        proved += 1
        total = form.first * first.astype(np.int64) + form.second * second.astype(np.int64) + form.offset
        assert total.min() >= -(1 << 31) and total.max() < 1 << 31
        got = (total >> PRODUCT_SHIFT).clip(constants.addition.clamp_min, constants.addition.clamp_max)
        assert np.array_equal(got, run_add(graph, operator.addition, first, second))
    assert proved > 20


def test_layers_it_does_not_run() -> None:
    graph = graph_of(Block((4, 4), 4, 8), 1)
    assert len(ways_of_sum(graph)) == 4
    operator = graph.structure.operators[1]
    facts = analyse(graph).of(operator)
    for other in (
        replace(facts, affine=False),
        replace(facts, wide_weights=True),
        replace(facts, rounding=Rounding.GENERAL),
    ):
        assert POINTWISE_ADD.ways(LayerView(graph.structure, operator, other)) == ()

"""Chains of layers that run some rows at a time: every byte as if they ran whole, in the room there is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ofa_mcu.codegen import emit_c
from ofa_mcu.devices.build import build_project
from ofa_mcu.devices.elf import read_image
from ofa_mcu.devices.host_build import HostBuild
from ofa_mcu.devices.project import write_project
from ofa_mcu.devices.validation import debug_model
from ofa_mcu.devices.validation_records import DebugModel, flat_bytes
from ofa_mcu.graph import reference
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes.adds import fuse_adds
from ofa_mcu.graph.pipeline import optimize
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.graph.verify import probe_inputs
from ofa_mcu.planning import cascades
from ofa_mcu.planning.cascades import cascade_ways, every_way, least_room, segments_of, stripes_in, with_chains
from ofa_mcu.planning.chains import chains_of, stripes_of
from ofa_mcu.planning.compile import CompileOptions, compile_graph, fusable_sums
from ofa_mcu.planning.core_model import core_model, known_cores
from ofa_mcu.planning.facts import SHAPES_ONLY, analyse
from ofa_mcu.planning.kernels.base import Way
from ofa_mcu.planning.memory import MemoryPlan, lifetimes
from ofa_mcu.planning.plan import Optimize, Plan, make_plan
from ofa_mcu.planning.priced import PricedWay
from ofa_mcu.profiles import load_profile
from ofa_mcu.space.lowering import GraphBuilder, shape_graph
from ofa_mcu.space.presets import SPACES
from ofa_mcu.space.shapes import Activation, Cascade, ConvAdd
from tests.codegen.emulation import Emulator, needs_emulator
from tests.planning.chains import chain_graph, chain_structure
from tests.planning.networks import CRC32, Linked, quantized, roomy_board, run_once

HOST = ("cortex-m0plus", "cortex-m7")
"""Cores whose kernels this machine can run."""

SEEDS = st.integers(0, 2**32 - 1)
BRIEF = {
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),
    "suppress_health_check": (HealthCheck.too_slow, HealthCheck.data_too_large),
    "deadline": None,
}


def tightest(graph: Int8Graph, cascade: Cascade, way: Way) -> Plan:
    """The plan whose output lies over the input as far as the way allows."""
    structure = replace(graph.structure, operators=(cascade,))
    source, target = (structure.bytes_of(name) for name in (cascade.inputs[0], cascade.output))
    assert way.forward_gap is not None
    start = 0 if way.in_place else -(-way.forward_gap // 4) * 4
    scratch = -(-max(start + source + way.overread, target) // 8) * 8
    top = scratch + way.scratch_bytes
    offsets = {cascade.inputs[0]: start, cascade.output: 0}
    memory = MemoryPlan(offsets, {cascade.name: scratch}, frozenset(), top, top, (), ())
    return Plan(structure, (PricedWay(way, 0.0),), memory, "")


def drawn(seed: int, core: str) -> tuple[Int8Graph, Plan]:
    """A chain, in one of the ways that its cascade can be run in."""
    rng = np.random.default_rng(seed)
    graph = chain_graph(rng, fused=core == "cortex-m7" and seed % 2 == 0)
    (chain,) = chains_of(graph.structure)
    ways = list(every_way(graph.structure, chain.cascade, core_model(core), analyse(graph)))
    if not ways:
        assert not stripes_of(graph.structure, chain.cascade)
        return drawn(seed + 1, core)
    return graph, tightest(graph, chain.cascade, ways[int(rng.integers(len(ways)))].way)


@pytest.fixture(scope="module")
def host() -> Iterator[HostBuild]:
    with HostBuild(sanitize=True) as build:
        yield build


@pytest.mark.parametrize("core", HOST)
@given(seed=SEEDS)
@settings(max_examples=10, **BRIEF)  # type: ignore[arg-type]
def test_every_byte_over_its_own_input(host: HostBuild, core: str, seed: int) -> None:
    graph, plan = drawn(seed, core)
    inputs = probe_inputs(graph, seed % 1000)
    wanted = reference.run(graph, inputs)
    model = DebugModel(graph, plan, analyse(graph))
    found = host.run(model, flat_bytes(inputs, graph.structure.inputs))
    (cascade,) = plan.structure.operators
    wrong = np.argwhere(found[cascade.output] != flat_bytes(wanted, (cascade.output,)))
    assert not len(wrong), f"{plan.ways[0].way.variant} of {graph.structure}: first {wrong[0]}"


@needs_emulator
@pytest.mark.slow
@pytest.mark.parametrize("core", known_cores())
def test_every_byte_on_the_core(tmp_path: Path, core: str) -> None:
    emulator = Emulator(core, tmp_path)
    for seed in range(5):
        graph, plan = drawn(100 + seed, core)
        inputs = probe_inputs(graph, seed)
        codes = flat_bytes(inputs, graph.structure.inputs)
        wanted = flat_bytes(reference.run(graph, inputs), graph.structure.outputs)
        seen = np.stack([layers[0].tensor for layers in emulator.run(graph, codes, plan)])
        assert np.array_equal(seen.reshape(wanted.shape), wanted), (seed, plan.ways[0].way.variant)


@pytest.mark.parametrize("name", ["a/x", "层", "conv2d/out/window", "input/sum"])
def test_names_are_free(host: HostBuild, name: str) -> None:
    """Names that C cannot tell apart or that are like the planner's own change nothing."""
    rng = np.random.default_rng(0)
    while True:
        graph = chain_graph(rng)
        (chain,) = chains_of(graph.structure)
        if len(chain.cascade.steps) == 4 and stripes_of(graph.structure, chain.cascade):
            break
    names = {"widen": "a_x", "depthwise": name, "narrow": f"{name}/", "sum": f"{name}//", "input": "input"}
    names["input"] = "a_x/window" if name == "a/x" else "input"
    structure = graph.structure
    operators = tuple(
        replace(op, name=names[op.name], output=names[op.output], inputs=tuple(names[one] for one in op.inputs))
        for op in structure.operators
    )
    renamed = replace(
        graph,
        structure=replace(
            structure,
            operators=operators,
            shapes={names[key]: shape for key, shape in structure.shapes.items()},
            inputs=(names["input"],),
            outputs=(names["sum"],),
        ),
        quantization={names[key]: value for key, value in graph.quantization.items()},
        parameters={names[key]: value for key, value in graph.parameters.items()},
    )
    (chain,) = chains_of(renamed.structure)
    ways = list(every_way(renamed.structure, chain.cascade, core_model("cortex-m7"), analyse(renamed)))
    plan = tightest(renamed, chain.cascade, ways[0].way)
    inputs = probe_inputs(renamed, 1)
    found = host.run(DebugModel(renamed, plan, analyse(renamed)), flat_bytes(inputs, renamed.structure.inputs))
    wanted = flat_bytes(reference.run(renamed, inputs), renamed.structure.outputs)
    assert np.array_equal(found[names["sum"]], wanted)


def test_the_order_of_a_sum_is_told_apart() -> None:
    """What a way promises does not depend on what was planned before."""
    figures = core_model("cortex-m7")

    def gaps(order: Sequence[int]) -> list[tuple[int | None, bool]]:
        cascades._known.cache_clear()
        found = {}
        for number in order:
            net = GraphBuilder((1, 8, 8, 8))
            x = net.conv("widen", "input", 32, (1, 1), (1, 1), Activation.RELU6)
            x = net.pointwise("narrow", net.depthwise("depthwise", x, (3, 3), (1, 1)), 8, Activation.NONE)
            structure = net.graph("chain", net.add("sum", *(("input", x) if number else (x, "input"))))
            (chain,) = chains_of(structure)
            way = cascade_ways(structure, chain.cascade, figures, SHAPES_ONLY)[0].way
            found[number] = way.forward_gap, way.in_place
        return [found[0], found[1]]

    assert gaps((0, 1)) == gaps((1, 0))


def test_exactly_what_is_needed_is_enough(models_dir: Path) -> None:
    """A limit that a plan meets does not make it slower."""
    graph = read_tflite((models_dir / "vww_96_int8.tflite").read_bytes())
    for core in ("cortex-m7", "cortex-m0plus"):
        board = roomy_board(core)
        first = compile_graph(graph, board).cost
        again = compile_graph(graph, board, CompileOptions(max_sram=first.sram_bytes)).cost
        assert again.sram_bytes <= first.sram_bytes and again.instructions <= first.instructions * 1.001
        smaller = replace(board, ram_bytes=first.sram_bytes + 5_000)
        assert compile_graph(graph, smaller).cost == first, "as thrifty on a smaller board of the same core"


def test_validate_plans_what_compile_ships(models_dir: Path) -> None:
    optimized = optimize(read_tflite((models_dir / "mcunet_vww1.tflite").read_bytes()), fuse_adds=fusable_sums)
    board = load_profile("stm32f746")
    debug = debug_model(optimized, analyse(optimized.graph), "cortex-m7", board)
    shipped = compile_graph(read_tflite((models_dir / "mcunet_vww1.tflite").read_bytes()), board).plan
    assert any(isinstance(op, Cascade) for op in shipped.structure.operators)
    assert debug.plan.structure.operators == shipped.structure.operators
    assert [one.way for one in debug.plan.ways] == [one.way for one in shipped.ways]


def test_chains_are_blocks_and_stems() -> None:
    space = SPACES["cifar10"]
    structure = shape_graph(space, space.largest)
    chains = chains_of(structure)
    assert [step.name for step in chains[0].cascade.steps] == ["stem", "s0b0.depthwise", "s0b0.pointwise"]
    assert [step.name.partition(".")[2] for step in chains[2].cascade.steps] == [
        "expand",
        "depthwise",
        "project",
        "add",
    ]
    for chain in chains:
        assert tuple(structure.operators[chain.first : chain.last + 1]) == chain.cascade.steps
    assert not chains_of(shape_graph(SPACES["keywords"], SPACES["keywords"].largest)), "nothing there is widened"


def test_sums_of_other_tensors_stay_outside() -> None:
    """A sum that adds something else than the chain's input ends the chain before it."""
    rng = np.random.default_rng(7)
    graph = fuse_adds(quantized(shape_graph(SPACES["cifar10"], SPACES["cifar10"].largest), rng))
    for chain in chains_of(graph.structure):
        for step in chain.cascade.steps:
            if isinstance(step, ConvAdd):
                assert step.inputs[1] == chain.cascade.inputs[0]


@given(seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_rolling_buffers_bring_every_row_once(seed: int) -> None:
    """The loops that the generated C runs, on numbers of rows instead of rows."""
    structure = chain_structure(np.random.default_rng(seed))
    (chain,) = chains_of(structure)
    for stripes in stripes_of(structure, chain.cascade):
        for rolling in filter(None, (stripes.window, stripes.entry)):
            window, come, at, left = [-1] * rolling.pad_top, 0, 0, rolling.deliveries
            for run in range(rolling.runs):
                while len(window) < rolling.rows:
                    window += range(come, come + rolling.fresh) if left else [-1] * rolling.fresh
                    come, left = come + rolling.fresh * (left > 0), max(left - 1, 0)
                top = run * rolling.shift - rolling.pad_top
                rows = range(top, top + rolling.rows)
                assert window == [row if 0 <= row < rolling.height else -1 for row in rows]
                window = window[rolling.shift :]
                at = run
            assert at == rolling.runs - 1 and left == 0


@pytest.mark.parametrize("core", known_cores())
@pytest.mark.parametrize("name", sorted(SPACES))
def test_plans_keep_to_the_room(name: str, core: str) -> None:
    space, figures = SPACES[name], core_model(core)
    rng = np.random.default_rng(3)
    for subnet in (space.largest, *(space.sample(rng) for _ in range(6))):
        structure = shape_graph(space, subnet)
        whole = make_plan(structure, figures)
        assert make_plan(structure, figures, room=whole.arena_bytes) == whole, "what fits runs whole"
        times = lifetimes(structure)
        segments = segments_of(structure, times, figures, SHAPES_ONLY)
        least = least_room(with_chains(segments, structure, times, figures, SHAPES_ONLY))
        assert least <= least_room(segments)
        effort = 0.0
        for share in (0.75, 0.5, 0.25, 0.0):
            room = round(least + share * max(whole.arena_bytes - least, 0)) // 8 * 8
            plan = make_plan(structure, figures, room=room)
            # Outputs that must lie beside their inputs can leave gaps where there is least room.
            assert plan.arena_bytes <= max(room, 1.05 * least + 512), (subnet, room)
            assert plan.structure.steps == structure.operators and plan.structure.macs == structure.macs
            assert plan.structure.parameters == structure.parameters
            now = sum(one.effort for one in plan.ways)
            if plan.arena_bytes <= room:
                assert now >= effort * 0.999, "less room is not faster"
                effort = now


def test_other_goals_keep_to_the_room() -> None:
    space, figures = SPACES["cifar10"], core_model("cortex-m7")
    structure = shape_graph(space, space.largest)
    room = make_plan(structure, figures).arena_bytes * 2 // 3
    fast = make_plan(structure, figures, room=room)
    for goal in (Optimize.BALANCED, Optimize.SIZE):
        plan = make_plan(structure, figures, optimize=goal, room=room)
        assert plan.arena_bytes <= room
        assert [type(op) for op in plan.structure.operators] == [type(op) for op in fast.structure.operators]


@pytest.mark.parametrize("core", known_cores())
def test_cascades_of_shipped_spaces_have_ways(core: str) -> None:
    for name in ("cifar10", "fashion-mnist"):
        structure = shape_graph(SPACES[name], SPACES[name].largest)
        for chain in chains_of(structure):
            ways = cascade_ways(structure, chain.cascade, core_model(core), SHAPES_ONLY)
            assert ways and [one.effort for one in ways] == sorted(one.effort for one in ways)
            for one in ways:
                stripes = stripes_in(structure, chain.cascade, one.way)
                assert len(one.parts) == len(stripes.steps) == len(one.way.parts)
                assert sum(part.instructions for part in one.parts) < one.instructions


@needs_emulator
@pytest.mark.slow
@pytest.mark.parametrize("core", known_cores())
def test_promises_hold_for_cascades(tmp_path: Path, core: str) -> None:
    """SRAM to the byte, flash and instructions within their bands, of a network that needs most of its chains."""
    space, rng = SPACES["cifar10"], np.random.default_rng(11)
    graph = quantized(shape_graph(space, space.sample(rng)), rng)
    roomy = roomy_board(core)
    whole = compile_graph(graph, roomy).cost
    made = compile_graph(graph, roomy, CompileOptions(max_sram=whole.sram_bytes * 2 // 3))
    cascades = [op for op in made.plan.structure.operators if isinstance(op, Cascade)]
    assert cascades and made.cost.sram_bytes <= whole.sram_bytes * 2 // 3
    assert {step.output for one in cascades for step in one.steps[:-1]} <= made.optimized.eliminated.keys()
    files = emit_c(made.graph, made.plan, name="cascades", model_crc32=CRC32, facts=made.facts)
    build = build_project(write_project(tmp_path / "project", roomy, files), build_dir=tmp_path / "build", jobs=1)
    image = read_image(build.elf)
    assert image.sram_bytes == made.cost.sram_bytes
    assert abs(image.flash_bytes - made.cost.flash_bytes) <= max(512, 0.02 * image.flash_bytes)
    seen = run_once(Linked(roomy, graph, made.cost.arena_bytes, build.elf, image), rng)
    assert made.cost.instructions == pytest.approx(seen, rel=0.05)


def test_sums_that_are_fused_take_no_more_memory() -> None:
    """A front is planned from shapes, where sums are apart; what it promises holds for the network with weights."""
    space, figures = SPACES["cifar10"], core_model("cortex-m7")
    structure = shape_graph(space, space.largest)
    graph = quantized(structure, np.random.default_rng(0))
    fused = fuse_adds(graph)
    fused = fuse_adds(graph, fusable_sums(fused))
    room = make_plan(structure, figures).arena_bytes * 2 // 3
    assert make_plan(fused.structure, figures, room=room).arena_bytes <= room

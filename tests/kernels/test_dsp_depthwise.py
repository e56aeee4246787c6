"""Depthwise layers on the DSP kernel: exact in every way, at any overlap it allows, on the host and emulated."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.graph.reference import run
from ofa_mcu.planning.facts import analyse
from ofa_mcu.planning.kernels.base import Facts, Kernel, LayerView, Rounding, Way
from ofa_mcu.planning.kernels.dsp_depthwise import DSP_DEPTHWISE, design_of
from ofa_mcu.planning.kernels.dsp_depthwise_shared import DSP_DEPTHWISE_SHARED, plane_distance, shared_design_of
from ofa_mcu.planning.memory import MemoryPlan
from ofa_mcu.planning.plan import Plan
from ofa_mcu.planning.priced import PricedWay
from ofa_mcu.space.shapes import Activation, DepthwiseConv2D, Padding, ShapeGraph
from tests.codegen.emulation import Emulator, needs_emulator
from tests.graph.strategies import GraphBuilder
from tests.kernels.generated import Host, drawn_inputs

KERNELS = [(1, 1), (1, 3), (3, 1), (1, 9), (7, 1), (2, 2), (3, 3), (3, 3), (5, 5), (7, 7), (3, 3), (2, 3), (3, 5)]
STRIDES = [(1, 1), (1, 1), (2, 2), (1, 2), (2, 1)]
HOST_SEEDS = (0, 1, 2, 9)
SHARED_SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("host"))


def padded(graph: Int8Graph, rng: np.random.Generator) -> Int8Graph:
    """The same layers with padding that is neither SAME nor VALID; the last one perhaps with so much that it grows."""
    operators = list(graph.structure.operators)
    for index, operator in enumerate(operators):
        assert isinstance(operator, DepthwiseConv2D)
        padding = operator.padding
        shift = int(rng.integers(0, 2)) if min(padding.bottom, padding.right) > 0 else 0
        moved = Padding(padding.top + shift, padding.bottom - shift, padding.left + shift, padding.right - shift)
        if moved.top < operator.kernel[0] and moved.left < operator.kernel[1]:
            operators[index] = replace(operator, padding=moved)
    last = operators[-1]
    assert isinstance(last, DepthwiseConv2D)
    shapes = dict(graph.structure.shapes)
    if rng.random() < 0.5:
        (down, along), (height, width, channels) = last.kernel, shapes[last.inputs[0]][1:]
        operators[-1] = replace(last, stride=(1, 1), padding=Padding(down - 1, down - 1, along - 1, along - 1))
        shapes[last.output] = (1, height + down - 1, width + along - 1, channels)
    return replace(graph, structure=replace(graph.structure, shapes=shapes, operators=tuple(operators)))


def chain(seed: int, layers: int = 4) -> Int8Graph:
    """Depthwise layers one behind the other; some columns and rows are one pixel wide."""
    rng = np.random.default_rng(seed)
    build = GraphBuilder(rng)
    height, width = int(rng.integers(1, 14)), int(rng.integers(1, 24))
    if rng.random() < 0.2:
        height, width = (width, 1) if rng.random() < 0.5 else (1, width)
    source = build.tensor("input", (1, height, width, int(rng.choice([1, 2, 4, 5, 8, 13]))))
    for _ in range(layers):
        _, height, width, _ = build.shapes[source]
        kernel = KERNELS[int(rng.integers(len(KERNELS)))]
        stride = STRIDES[int(rng.integers(len(STRIDES)))]
        same = bool(rng.random() < 0.7) or kernel[0] > height or kernel[1] > width
        source = build.depthwise(source, kernel, stride, same, build.activation())
        if rng.random() < 0.3:  # a zero point that makes an activation clamp codes on both sides
            build.quantization[source] = Quantization(build.quantization[source].scale, int(rng.integers(-100, 100)))
    return padded(build.finish("chain", (source,)), rng)


def ways(graph: Int8Graph, kernel: Kernel) -> list[tuple[Way, ...]]:
    facts = analyse(graph)
    return [kernel.ways(LayerView(graph.structure, op, facts.of(op))) for op in graph.structure.operators]


def overlapping(graph: Int8Graph, chosen: list[Way], rng: np.random.Generator) -> Plan:
    """Every output lies over its input as closely as the way allows, or a few words lower."""
    operators = graph.structure.operators
    distance = [0]
    for way in chosen:
        assert way.forward_gap is not None
        slack = 4 * int(rng.integers(0, 12)) if rng.random() < 0.5 else 0
        distance.append(distance[-1] + -(-way.forward_gap // 4) * 4 + slack)
    names = [operators[0].inputs[0], *(op.output for op in operators)]
    offsets = {name: distance[-1] - each for name, each in zip(names, distance, strict=True)}
    top = max(offset + graph.structure.bytes_of(name) for name, offset in offsets.items()) + 8
    scratch = {}
    for op, way in zip(operators, chosen, strict=True):
        top = -(-top // 8) * 8
        scratch[op.name] = top
        top += way.scratch_bytes
    memory = MemoryPlan(offsets, scratch, frozenset(), top, top, (), ())
    return Plan(graph.structure, tuple(PricedWay(way, 0.0) for way in chosen), memory, "dsp")


def drawn(seed: int, kernel: Kernel = DSP_DEPTHWISE) -> tuple[Int8Graph, list[Way], Plan]:
    """A chain whose layers the kernel can all run."""
    rng = np.random.default_rng(seed)
    for attempt in range(100):
        graph = chain(1000 * attempt + seed)
        options = ways(graph, kernel)
        if all(options):
            chosen = [each[int(rng.integers(len(each)))] for each in options]
            return graph, chosen, overlapping(graph, chosen, rng)
    raise AssertionError


@pytest.mark.slow
@pytest.mark.parametrize("seed", HOST_SEEDS)
def test_equals_the_reference_on_the_host(host: Host, seed: int) -> None:
    graph, _, plan = drawn(seed)
    host.check(graph, plan, drawn_inputs(graph, np.random.default_rng(seed), 3))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SHARED_SEEDS)
def test_shared_functions_equal_the_reference_on_the_host(host: Host, seed: int) -> None:
    graph, _, plan = drawn(seed, DSP_DEPTHWISE_SHARED)
    host.check(graph, plan, drawn_inputs(graph, np.random.default_rng(seed), 3))


@pytest.mark.slow
@needs_emulator
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7"])
def test_equals_the_reference_on_the_core(tmp_path: Path, core: str) -> None:
    emulator = Emulator(core, tmp_path)
    for kernel in (DSP_DEPTHWISE, DSP_DEPTHWISE_SHARED):
        seed = 20
        graph, _, plan = drawn(seed, kernel)
        images = drawn_inputs(graph, np.random.default_rng(seed), 2)
        wanted = run(graph, {"input": images})
        for image, layers in enumerate(emulator.run(graph, images, plan)):
            for operator, found in zip(graph.structure.operators, layers, strict=True):
                assert np.array_equal(found.tensor, wanted[operator.output][image].ravel()), (seed, operator)


def test_the_chains_meet_every_case() -> None:
    seen: Counter[str] = Counter()
    for seed in (*HOST_SEEDS, 20):
        graph, chosen, _ = drawn(seed)
        facts = analyse(graph)
        for operator, way in zip(graph.structure.operators, chosen, strict=True):
            view = LayerView(graph.structure, operator, facts.of(operator))
            design = design_of(view, way)
            flags = ("per_channel", "dead_zone", "clamp_low", "clamp_high")
            seen.update(name for name in flags if getattr(design.rounded, name))
            seen.update(name for name in ("held", "reload", "unrolled", "rest") if getattr(design.sweep, name))
            seen["whole"] += design.whole
            seen["strips"] += not design.whole
            seen["lone first pixel"] += design.split.lone_first
            seen["streamed"] += not design.sweep.held
            seen["pairs of rows"] += design.sweep.unit == 2
            seen["transposed"] += design.planes.transposed
            seen["in place"] += way.forward_gap == 0
            seen["behind"] += (way.forward_gap or 0) > 0
    cases = ["per_channel", "dead_zone", "clamp_low", "clamp_high", "held", "unrolled", "rest", "whole", "strips"]
    cases += ["lone first pixel", "streamed", "pairs of rows", "transposed", "in place", "reload", "behind"]
    assert all(seen[case] for case in cases), seen


def test_the_chains_of_shared_functions_meet_every_case() -> None:
    seen: Counter[str] = Counter()
    for seed in (*SHARED_SEEDS, 20):
        graph, chosen, _ = drawn(seed, DSP_DEPTHWISE_SHARED)
        facts = analyse(graph)
        for operator, way in zip(graph.structure.operators, chosen, strict=True):
            design = shared_design_of(LayerView(graph.structure, operator, facts.of(operator)), way)
            pattern, rounded = design.pattern, design.pattern.rounded
            flags = ("per_channel", "dead_zone", "clamp_low", "clamp_high")
            seen.update(name for name in flags if getattr(rounded, name))
            seen.update(name for name in ("left", "quads", "blocks") if getattr(design, name))
            seen.update(f"{columns} columns left" for columns in design.rests)
            seen.update((f"{pattern.unit} rows", f"stride {pattern.stride[1]}", f"pitch {pattern.row_words}"))
            seen["odd at stride 2"] += 1 in design.rests and pattern.stride[1] == 2
            seen["one shift"] += not rounded.per_channel
            seen["held"] += pattern.held
            seen["streamed"] += not pattern.held
            seen["whole"] += design.whole
            seen["strips"] += not design.whole
            seen["behind"] += (way.forward_gap or 0) > 0
            seen["side by side"] += design.plane_words < pattern.row_words
    cases = ["per_channel", "one shift", "dead_zone", "clamp_low", "clamp_high", "left", "quads", "blocks"]
    cases += ["1 columns left", "2 columns left", "1 rows", "2 rows", "stride 1", "stride 2", "pitch 32", "pitch 64"]
    cases += ["held", "streamed", "whole", "strips", "behind", "side by side", "odd at stride 2"]
    assert all(seen[case] for case in cases), [case for case in cases if not seen[case]]


@pytest.mark.parametrize("pitch", [32, 64])
def test_planes_between_rows_share_no_word(pitch: int) -> None:
    for used in range(1, pitch + 1):
        for rows in (1, 2, 3, 4, 7, 10):
            distance = plane_distance(pitch, used, rows)
            words = [
                plane * distance + row * pitch + word
                for plane in range(4)
                for row in range(rows)
                for word in range(used)
            ]
            assert len(set(words)) == len(words), (used, rows)
            assert distance <= (rows - 1) * pitch + used


def test_layers_of_one_kernel_and_stride_share_functions() -> None:
    sizes = ((24, 24, 32), (12, 12, 64), (7, 5, 13), (100, 50, 4))
    for kernel, stride in ((3, 1), (3, 2), (5, 1), (7, 2)):
        views = [view_of(shape, kernel, stride) for shape in sizes]
        keys = [{way.code for way in DSP_DEPTHWISE_SHARED.ways(view)} for view in views]
        assert set.intersection(*keys), (kernel, stride)


def view_of(shape: tuple[int, int, int], kernel: int, stride: int, facts: Facts | None = None) -> LayerView:
    """A layer with SAME padding."""
    build = GraphBuilder(np.random.default_rng(0))
    source = build.tensor("input", (1, *shape))
    output = build.depthwise(source, (kernel, kernel), (stride, stride), True, Activation.RELU6)
    structure: ShapeGraph = build.finish("layer", (output,)).structure
    return LayerView(structure, structure.operators[0], facts or Facts())


@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_ways_trade_scratch_memory_for_copies(kernel: int) -> None:
    found = [way for way in DSP_DEPTHWISE.ways(view_of((24, 24, 32), kernel, 1)) if "looped" not in way.variant]
    assert len(found) >= 4
    names = DSP_DEPTHWISE.features
    by_scratch = sorted(found, key=lambda way: way.scratch_bytes)
    by_fours, by_ones = names.index("words moved by fours"), names.index("words moved by ones")
    moved = [4 * way.counts[by_fours] + way.counts[by_ones] for way in by_scratch]
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] == 0
    assert all(way.forward_gap == 0 for way in found)


def test_layers_it_cannot_run_have_no_way() -> None:
    view = view_of((8, 8, 8), 3, 1)
    assert isinstance(view.operator, DepthwiseConv2D)
    for kernel in (DSP_DEPTHWISE, DSP_DEPTHWISE_SHARED):
        assert not kernel.ways(replace(view, facts=Facts(Rounding.GENERAL)))
        for change in ({"dilation": (2, 2)}, {"depth_multiplier": 2}):
            assert not kernel.ways(replace(view, operator=replace(view.operator, **change)))

"""Plans: every operator has a kernel, memory comes before speed, code is traded for instructions as asked."""

from __future__ import annotations

import numpy as np
import pytest

from ofa_mcu.planning.core_model import core_model
from ofa_mcu.planning.facts import analyse
from ofa_mcu.planning.kernels import KERNELS
from ofa_mcu.planning.kernels.base import Facts, Flavour, LayerView, Rounding
from ofa_mcu.planning.memory import lifetimes, place
from ofa_mcu.planning.plan import BALANCED_SLOWDOWN, Optimize, make_plan
from ofa_mcu.planning.priced import code_bytes
from ofa_mcu.planning.ways import priced_ways
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST, KEYWORDS
from ofa_mcu.space.shapes import AveragePool2D, Operator, ShapeGraph
from tests.graph.wide import KINDS, WideBuilder, wide_graph

LARGEST = shape_graph(FASHION_MNIST, FASHION_MNIST.largest)
CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m55")


def test_names_of_kernels_are_unique_and_terms_agree() -> None:
    assert len({kernel.name for kernel in KERNELS}) == len(KERNELS)
    terms: dict[str, tuple[str, ...]] = {}
    for kernel in KERNELS:
        for kind, names in kernel.code_terms.items():
            assert terms.setdefault(kind, names) == names


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(6))
def test_every_operator_has_a_portable_kernel_whatever_its_facts(kind: type[Operator], seed: int) -> None:
    build = WideBuilder(np.random.default_rng(seed))
    build.tensor("input", (1, 6, 5, 4))
    output = build.grow(kind, "input")
    graph = build.done("kind", (output,))
    operator = graph.structure.operators[-1]
    hardest = Facts(Rounding.GENERAL, 0, True, True, True, wide_weights=True, affine=False, tables=False)
    for facts in (analyse(graph).of(operator), hardest):
        view = LayerView(graph.structure, operator, facts)
        found = [way for kernel in KERNELS if kernel.flavour is Flavour.PORTABLE for way in kernel.ways(view)]
        assert found, operator


@pytest.mark.parametrize("seed", range(40))
def test_ways_are_well_formed(seed: int) -> None:
    graph = wide_graph(np.random.default_rng(seed))
    facts = analyse(graph)
    for operator in graph.structure.operators:
        view = LayerView(graph.structure, operator, facts.of(operator))
        for kernel in KERNELS:
            for way in kernel.ways(view):
                assert way.kernel == kernel.name
                assert len(way.counts) == len(way.features or kernel.features) and min(way.counts, default=0) >= 0
                assert set(way.features) <= set(kernel.features)
                assert way.constant_bytes >= 0 and way.constant_bytes % 4 == 0
                for code in way.code:
                    assert len(code.counts) == len(kernel.code_terms[code.kind])
                assert all(gap is None or gap >= 0 for gap in (way.forward_gap, way.backward_gap))


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("kernel", [(3, 3), (16, 17), (40, 41)])
def test_averages_of_any_size_have_a_price(core: str, kernel: tuple[int, int]) -> None:
    operator = AveragePool2D(name="pool", inputs=("x",), output="y", kernel=kernel)
    for channels in (8, 5):
        target = (1, 41 - kernel[0], 42 - kernel[1], channels)
        structure = ShapeGraph("pool", {"x": (1, 40, 41, channels), "y": target}, (operator,), ("x",), ("y",))
        assert priced_ways(structure, operator, core_model(core), Facts())


@pytest.mark.parametrize("core", CORES)
def test_speed_makes_the_arena_an_eighth_or_a_kilobyte_larger_at_most(core: str) -> None:
    figures = core_model(core)
    rng = np.random.default_rng(5)
    for subnet in FASHION_MNIST.sample_balanced(rng, 10):
        structure = shape_graph(FASHION_MNIST, subnet)
        times = lifetimes(structure)
        ways = [priced_ways(structure, op, figures, Facts()) for op in structure.operators]
        tight = [min(each, key=lambda one, i=i: times.footprint(i, one.way)) for i, each in enumerate(ways)]  # type: ignore[misc]
        plan = make_plan(structure, figures)
        least = place(times, [one.way for one in tight]).arena_bytes
        assert plan.arena_bytes <= least + max(least / 8, 1024) + 8
        roomy = make_plan(structure, figures, arena_limit=1 << 20)
        assert sum(one.effort for one in roomy.ways) <= sum(one.effort for one in plan.ways)
        assert list(roomy.ways) == [each[0] for each in ways]


def test_a_little_memory_is_spent_on_much_speed() -> None:
    """Kernels that work in some hundred bytes more than an eighth of a small arena take half the instructions."""
    structure = shape_graph(KEYWORDS, KEYWORDS.smallest)
    plan = make_plan(structure, core_model("cortex-m7"))
    assert sum(one.instructions for one in plan.ways) < 1.25 * structure.macs


@pytest.mark.parametrize("core", CORES)
def test_small_code_is_paid_with_instructions(core: str) -> None:
    figures = core_model(core)
    sizes, effort, arenas = [], [], []
    for optimize in Optimize:
        plan = make_plan(LARGEST, figures, optimize=optimize)
        arenas.append(plan.arena_bytes)
        own = sum(one.way.constant_bytes + figures.layer_code_bytes[one.way.kernel] for one in plan.ways)
        sizes.append(own + code_bytes((code for one in plan.ways for code in one.way.code), figures))
        effort.append(sum(one.effort for one in plan.ways))
    assert sizes[0] >= sizes[1] >= sizes[2]
    assert effort[0] <= effort[1] or arenas[0] < arenas[1]  # loops work in memory, which may pay for speed as well
    assert effort[1] <= effort[2]
    assert effort[1] <= effort[0] * (1 + BALANCED_SLOWDOWN)

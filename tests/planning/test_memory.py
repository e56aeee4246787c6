"""Memory plans: nothing alive overlaps, sums in place only where that is allowed, and how far from the optimum."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.planning.memory import ALIGNMENT, MemoryPlan, buffers_of, plan_memory
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.shapes import Add, Mean, Operator, ShapeGraph
from tests.graph.strategies import graphs
from tests.space.spaces import TINY


@st.composite
def branching(draw: st.DrawFn, most: int = 10) -> ShapeGraph:
    """Any wiring: sums of whatever is there, means in between, several inputs and outputs, tensors nobody reads."""
    sizes = st.sampled_from([(1, 1, 1, 3), (1, 2, 2, 2), (1, 3, 3, 5), (1, 4, 4, 8), (1, 8, 8, 4)])
    inputs = [f"in{i}" for i in range(draw(st.integers(1, 2)))]
    shapes: dict[str, tuple[int, ...]] = {name: draw(sizes) for name in inputs}
    operators: list[Operator] = []
    for index in range(draw(st.integers(1, most))):
        name = f"t{index}"
        first = draw(st.sampled_from(sorted(shapes)))
        same = [other for other in sorted(shapes) if shapes[other] == shapes[first]]
        if draw(st.booleans()):
            second = draw(st.sampled_from(same))
            operators.append(Add(name=name, inputs=(first, second), output=name))
            shapes[name] = shapes[first]
        else:
            # any operator that is no sum does; its arithmetic does not matter to a plan
            operators.append(Mean(name=name, inputs=(first,), output=name))
            shapes[name] = draw(sizes)
    outputs = draw(st.lists(st.sampled_from(sorted(set(shapes) - set(inputs))), min_size=1, max_size=2, unique=True))
    return ShapeGraph("branching", shapes, tuple(operators), tuple(inputs), tuple(outputs))


def live_sets(graph: ShapeGraph) -> list[set[str]]:
    """Tensors whose content matters before the first operator, while each one runs, and after the last."""
    count = len(graph.operators)
    written = dict.fromkeys(graph.inputs, -1) | {op.output: i for i, op in enumerate(graph.operators)}
    needed = {name: {written[name]} for name in written}
    for index, op in enumerate(graph.operators):
        for name in op.inputs:
            needed[name].add(index)
    for name in graph.outputs:
        needed[name].add(count)
    return [{name for name in written if min(needed[name]) <= at <= max(needed[name])} for at in range(-1, count + 1)]


def check(graph: ShapeGraph, plan: MemoryPlan) -> None:
    """What must hold of every plan, from the tensors' own lifetimes and without the planner's buffers."""
    assert plan.offsets.keys() == graph.shapes.keys()
    assert plan.arena_bytes % ALIGNMENT == 0
    assert all(offset % ALIGNMENT == 0 and offset >= 0 for offset in plan.offsets.values())
    end = {name: plan.offsets[name] + graph.bytes_of(name) for name in graph.shapes}
    assert max(end.values()) <= plan.arena_bytes < max(end.values()) + ALIGNMENT
    alive = live_sets(graph)
    in_place = set()
    for at, tensors in enumerate(alive):
        for first in tensors:
            for second in tensors:
                if first < second and plan.offsets[first] < end[second] and plan.offsets[second] < end[first]:
                    # only a sum may write over what it reads, at the same place, and only if nobody needs it later
                    op = graph.operators[at - 1]
                    assert 1 <= at <= len(graph.operators) and isinstance(op, Add), (first, second)
                    source = first if op.output == second else second
                    assert {first, second} == {op.output, source} and source in op.inputs
                    assert plan.offsets[first] == plan.offsets[second]
                    assert source not in alive[at + 1]
                    in_place.add(op.name)
    least = max(sum(graph.bytes_of(name) for name in tensors) for tensors in alive)
    if not in_place:
        assert plan.arena_bytes >= least
    assert plan.lower_bound <= plan.arena_bytes and plan.excess >= 0
    assert {name for buffer in plan.buffers for name in buffer.tensors} == graph.shapes.keys()


@given(branching())
@settings(max_examples=300)
def test_no_two_live_tensors_overlap(graph: ShapeGraph) -> None:
    check(graph, plan_memory(graph))


@given(graphs(max_ops=12))
def test_no_two_live_tensors_overlap_in_networks(graph: Int8Graph) -> None:
    check(graph.structure, plan_memory(graph.structure))


def test_plans_of_whole_spaces_hold() -> None:
    rng = np.random.default_rng(0)
    for space, subnets in ((TINY, list(TINY)[::7]), (FASHION_MNIST, FASHION_MNIST.sample_balanced(rng, 60))):
        for subnet in subnets:
            graph = shape_graph(space, subnet)
            plan = plan_memory(graph)
            check(graph, plan)
            assert plan.excess == 0.0, str(subnet)


@given(branching(), st.randoms(use_true_random=False))
def test_plans_are_reproducible(graph: ShapeGraph, random: object) -> None:
    names = list(graph.shapes)
    random.shuffle(names)  # type: ignore[attr-defined]
    again = ShapeGraph(
        graph.name, {name: graph.shapes[name] for name in names}, graph.operators, graph.inputs, graph.outputs
    )
    assert plan_memory(again) == plan_memory(graph)


def best_placement(buffers: list[tuple[int, int, int]]) -> int:
    """Smallest arena of (bytes, first, last): lowest free place in every order, one of which is optimal."""
    best = sum(size for size, _, _ in buffers)
    for order in permutations(buffers):
        placed: list[tuple[int, int, int, int]] = []
        for size, first, last in order:
            others = [(at, at + bytes_) for at, bytes_, f, t in placed if f <= last and first <= t]
            places = [0, *(end for _, end in others)]
            at = min(place for place in places if all(place + size <= low or place >= high for low, high in others))
            placed.append((at, size, first, last))
        best = min(best, max(at + size for at, size, _, _ in placed))
    return best


def optimum(graph: ShapeGraph) -> int:
    """Over every way for sums to write over a dying input, and every order of placing."""
    alive = live_sets(graph)
    choices: list[list[tuple[str, str] | None]] = []
    for index, op in enumerate(graph.operators):
        if isinstance(op, Add):
            dying = [name for name in dict.fromkeys(op.inputs) if name not in alive[index + 2]]
            choices.append([None, *((op.output, name) for name in dying)])
    best = 1 << 62
    for pick in product(*choices):
        buffers = buffers_of(graph, dict(pair for pair in pick if pair))
        best = min(best, best_placement([(b.bytes, b.first, b.last) for b in buffers]))
    return best


@given(branching(most=5))
@settings(max_examples=80)
def test_tiny_graphs_get_their_optimum(graph: ShapeGraph) -> None:
    plan = plan_memory(graph)
    least = optimum(graph)
    assert plan.arena_bytes >= least
    assert plan.arena_bytes == least


def chain(*sizes: int) -> ShapeGraph:
    """Tensors of so many bytes, one made from the other."""
    shapes = {f"t{i}": (1, size) for i, size in enumerate(sizes)}
    operators = tuple(Mean(name=f"op{i}", inputs=(f"t{i}",), output=f"t{i + 1}") for i in range(len(sizes) - 1))
    return ShapeGraph("chain", shapes, operators, ("t0",), (f"t{len(sizes) - 1}",))


def test_a_chain_takes_its_largest_pair() -> None:
    plan = plan_memory(chain(100, 40, 200, 8))
    assert plan.arena_bytes == plan.lower_bound == 240 and plan.excess == 0.0
    assert plan_memory(chain(3, 5)).arena_bytes == 4 + 8  # every tensor starts at a multiple of 4


def residual(kept: bool) -> ShapeGraph:
    """input -> a -> b; input + b; where `kept`, the input is read once more after the sum."""
    shapes = {"input": (1, 100), "a": (1, 40), "b": (1, 100), "sum": (1, 100), "out": (1, 100)}
    last: Operator = Add(name="last", inputs=("sum", "input"), output="out")
    if not kept:
        last = Mean(name="last", inputs=("sum",), output="out")
    operators = (
        Mean(name="first", inputs=("input",), output="a"),
        Mean(name="second", inputs=("a",), output="b"),
        Add(name="add", inputs=("input", "b"), output="sum"),
        last,
    )
    return ShapeGraph("residual", shapes, operators, ("input",), ("out",))


@pytest.mark.parametrize("kept", [False, True])
def test_a_residual_sum_writes_over_an_input_that_dies_there(kept: bool) -> None:
    plan = plan_memory(residual(kept))
    assert plan.offsets["sum"] in ([plan.offsets["b"]] if kept else [plan.offsets["b"], plan.offsets["input"]])
    assert plan.arena_bytes == plan.lower_bound == 240  # input, a and b while b is made
    assert plan.offsets["sum"] != plan.offsets["input"] or not kept


def test_a_sum_of_a_tensor_with_itself_may_overwrite_it() -> None:
    shapes = {"input": (1, 40), "twice": (1, 40)}
    graph = ShapeGraph(
        "twice", shapes, (Add(name="add", inputs=("input", "input"), output="twice"),), ("input",), ("twice",)
    )
    assert plan_memory(graph).arena_bytes == 40


def test_outputs_live_to_the_end() -> None:
    shapes = {"input": (1, 8), "early": (1, 8), "late": (1, 8), "end": (1, 8)}
    operators = (
        Mean(name="a", inputs=("input",), output="early"),
        Mean(name="b", inputs=("early",), output="late"),
        Mean(name="c", inputs=("late",), output="end"),
    )
    graph = ShapeGraph("outputs", shapes, operators, ("input",), ("early", "end"))
    plan = plan_memory(graph)
    assert len({plan.offsets["early"], plan.offsets["late"], plan.offsets["end"]}) == 3

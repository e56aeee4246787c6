"""Memory plans: nothing alive overlaps, sums in place only where that is allowed, and how far from the optimum."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_mcu.planning.kernels.base import Way
from ofa_mcu.planning.memory import ALIGNMENT, SCRATCH_ALIGNMENT, MemoryPlan, _Placer, lifetimes, place
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.shapes import Add, Mean, Operator, ShapeGraph
from tests.space.spaces import TINY


@st.composite
def branching(draw: st.DrawFn, most: int = 10, any_output: bool = False) -> ShapeGraph:
    """Any wiring: sums of whatever is there, means in between, several inputs and outputs, tensors nobody reads.

    With `any_output` inputs are among the outputs, and a tensor may be there twice.
    """
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
    written = sorted(shapes if any_output else set(shapes) - set(inputs))
    outputs = draw(st.lists(st.sampled_from(written), min_size=1, max_size=2, unique=not any_output))
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


def ways_for(graph: ShapeGraph, rng: np.random.Generator | None = None) -> list[Way]:
    """Ways as element-wise kernels have them for sums and as filters have for the rest; at random if asked."""
    ways = []
    for op in graph.operators:
        source, target = graph.bytes_of(op.inputs[0]), graph.bytes_of(op.output)
        way = Way("kernel", "", (), 0)
        if isinstance(op, Add):
            way = replace(way, forward_gap=0, backward_gap=0, in_place_second=True)
        if rng is not None:
            grows = max(target - source, 0)
            way = replace(
                way,
                scratch_bytes=int(rng.integers(0, 40)) if rng.random() < 0.4 else 0,
                overread=int(rng.integers(0, 4)),
                forward_gap=grows + int(rng.integers(0, 60)) if rng.random() < 0.6 else None,
                backward_gap=grows + int(rng.integers(0, 60)) if rng.random() < 0.4 else None,
            )
        ways.append(way)
    return ways


def planned(graph: ShapeGraph, rng: np.random.Generator | None = None) -> MemoryPlan:
    return place(lifetimes(graph), ways_for(graph, rng))


def check(graph: ShapeGraph, plan: MemoryPlan, ways: list[Way]) -> None:
    """What must hold of every plan, from the tensors' own lifetimes and without the planner's relations."""
    assert plan.offsets.keys() == graph.shapes.keys()
    assert plan.arena_bytes % ALIGNMENT == 0
    assert all(offset % ALIGNMENT == 0 and offset >= 0 for offset in plan.offsets.values())
    end = {name: plan.offsets[name] + graph.bytes_of(name) for name in graph.shapes}
    assert max(end.values()) <= plan.arena_bytes
    for at, tensors in enumerate(live_sets(graph)):
        op = graph.operators[at - 1] if 1 <= at <= len(graph.operators) else None
        way = ways[at - 1] if op else None
        alive_later = live_sets(graph)[at + 1] if op else set()
        for first in tensors:
            for second in tensors:
                if first < second and plan.offsets[first] < end[second] and plan.offsets[second] < end[first]:
                    assert op is not None and way is not None, (first, second)
                    source = first if op.output == second else second
                    assert {first, second} == {op.output, source} and source in op.inputs
                    assert source not in alive_later
                    ahead = plan.offsets[source] - plan.offsets[op.output]
                    behind = end[op.output] - end[source]
                    if op.name in plan.backward:
                        assert way.backward_gap is not None and behind >= way.backward_gap
                    elif source == op.inputs[0]:
                        assert way.forward_gap is not None and ahead >= way.forward_gap
                    else:
                        assert way.in_place_second and ahead == 0
        if op is not None and way is not None and way.scratch_bytes:
            start = plan.scratch[op.name]
            assert start % SCRATCH_ALIGNMENT == 0 and start + way.scratch_bytes <= plan.arena_bytes
            assert all(start >= end[name] or start + way.scratch_bytes <= plan.offsets[name] for name in tensors)
        if op is not None and way is not None and way.overread:
            assert end[op.inputs[0]] + way.overread <= plan.arena_bytes
    assert plan.lower_bound <= plan.arena_bytes and plan.excess >= 0


@given(st.one_of(branching(), branching(any_output=True)), st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_nothing_alive_overlaps_but_where_kernels_allow(graph: ShapeGraph, seed: int) -> None:
    for rng in (None, np.random.default_rng(seed)):
        ways = ways_for(graph, rng)
        check(graph, place(lifetimes(graph), ways), ways)


def test_all_inputs_have_room_at_once() -> None:
    """One that nobody reads lies there until the first operator runs, but not beyond."""
    shapes = {"read": (1, 8), "spare": (1, 100), "sum": (1, 8), "large": (1, 64)}
    operators = (
        Add(name="sum", inputs=("read", "read"), output="sum"),
        Mean(name="large", inputs=("sum",), output="large"),
    )
    graph = ShapeGraph("spare", shapes, operators, ("read", "spare"), ("large", "read", "large"))
    ways = ways_for(graph)
    plan = place(lifetimes(graph), ways)
    check(graph, plan, ways)
    assert plan.arena_bytes == plan.lower_bound == 108


def test_plans_of_whole_spaces_are_optimal() -> None:
    rng = np.random.default_rng(0)
    for space, subnets in ((TINY, list(TINY)[::7]), (FASHION_MNIST, FASHION_MNIST.sample_balanced(rng, 60))):
        for subnet in subnets:
            graph = shape_graph(space, subnet)
            ways = ways_for(graph)
            plan = place(lifetimes(graph), ways)
            check(graph, plan, ways)
            assert plan.excess == 0.0, str(subnet)


@given(branching(), st.randoms(use_true_random=False))
def test_plans_are_reproducible(graph: ShapeGraph, random: object) -> None:
    names = list(graph.shapes)
    random.shuffle(names)  # type: ignore[attr-defined]
    again = ShapeGraph(
        graph.name, {name: graph.shapes[name] for name in names}, graph.operators, graph.inputs, graph.outputs
    )
    assert planned(again) == planned(graph)


def optimum(graph: ShapeGraph, ways: list[Way]) -> int:
    """The smallest arena over every order of placing each buffer at its lowest place."""
    placer = _Placer(lifetimes(graph), ways)
    return min(placer.place(order, 1 << 60, 1 << 60)[1] for order in permutations(range(len(placer.buffers))))


@given(branching(most=4), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_tiny_graphs_get_their_optimum(graph: ShapeGraph, seed: int) -> None:
    ways = [replace(way, overread=0, scratch_bytes=0) for way in ways_for(graph, np.random.default_rng(seed))]
    assert place(lifetimes(graph), ways).arena_bytes == optimum(graph, ways)


def chain(*sizes: int) -> ShapeGraph:
    """Tensors of so many bytes, one made from the other."""
    shapes = {f"t{i}": (1, size) for i, size in enumerate(sizes)}
    operators = tuple(Mean(name=f"op{i}", inputs=(f"t{i}",), output=f"t{i + 1}") for i in range(len(sizes) - 1))
    return ShapeGraph("chain", shapes, operators, ("t0",), (f"t{len(sizes) - 1}",))


def test_a_chain_takes_its_largest_pair() -> None:
    plan = planned(chain(100, 40, 200, 8))
    assert plan.arena_bytes == plan.lower_bound == 240 and plan.excess == 0.0
    assert planned(chain(3, 5)).arena_bytes == 4 + 8  # every tensor starts at a multiple of 4


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
    plan = planned(residual(kept))
    assert plan.offsets["sum"] in ([plan.offsets["b"]] if kept else [plan.offsets["b"], plan.offsets["input"]])
    assert plan.arena_bytes == plan.lower_bound == 240  # input, a and b while b is made
    assert plan.offsets["sum"] != plan.offsets["input"] or not kept


def test_a_sum_of_a_tensor_with_itself_may_overwrite_it() -> None:
    shapes = {"input": (1, 40), "twice": (1, 40)}
    graph = ShapeGraph(
        "twice", shapes, (Add(name="add", inputs=("input", "input"), output="twice"),), ("input",), ("twice",)
    )
    assert planned(graph).arena_bytes == 40


def test_outputs_live_to_the_end() -> None:
    shapes = {"input": (1, 8), "early": (1, 8), "late": (1, 8), "end": (1, 8)}
    operators = (
        Mean(name="a", inputs=("input",), output="early"),
        Mean(name="b", inputs=("early",), output="late"),
        Mean(name="c", inputs=("late",), output="end"),
    )
    graph = ShapeGraph("outputs", shapes, operators, ("input",), ("early", "end"))
    plan = planned(graph)
    assert len({plan.offsets["early"], plan.offsets["late"], plan.offsets["end"]}) == 3


def grown_and_shrunk(growing: Way, shrinking: Way) -> tuple[ShapeGraph, list[Way]]:
    shapes = {"input": (1, 100), "wide": (1, 400), "out": (1, 100)}
    operators = (
        Mean(name="grow", inputs=("input",), output="wide"),
        Mean(name="shrink", inputs=("wide",), output="out"),
    )
    return ShapeGraph("bottleneck", shapes, operators, ("input",), ("out",)), [growing, shrinking]


def test_layers_in_place_need_no_more_than_their_larger_side() -> None:
    plain = Way("kernel", "", (), 0)
    forward, backward = replace(plain, forward_gap=0), replace(plain, backward_gap=0)
    graph, ways = grown_and_shrunk(backward, forward)
    plan = place(lifetimes(graph), ways)
    assert plan.arena_bytes == plan.lower_bound == 400 and plan.backward == {"grow"}
    graph, ways = grown_and_shrunk(replace(plain, forward_gap=320), forward)
    plan = place(lifetimes(graph), ways)
    assert plan.arena_bytes == plan.lower_bound == 420 and plan.offsets["input"] == plan.offsets["wide"] + 320
    assert not plan.backward


def test_memory_to_work_in_is_counted() -> None:
    graph, ways = grown_and_shrunk(Way("kernel", "", (), 0, scratch_bytes=30), Way("kernel", "", (), 0))
    plan = place(lifetimes(graph), ways)
    assert plan.arena_bytes == plan.lower_bound == 532 and plan.live_bytes == (532, 500)

"""From a network to the plan that the code generator obeys: a way for every layer, a place for every byte.

Ways are chosen by predicted instructions. Among ways that need different amounts of memory, those that keep the arena
small come first; a faster one is taken wherever the arena stays as small, or grows by at most an eighth (1 KiB where
that is more) and buys more speed than it costs memory. Where code shall be small, too, layers give up functions of
their own for shared ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from math import inf

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.planning.code_size import small_code
from ofa_mcu.planning.core_model import CoreModel
from ofa_mcu.planning.facts import SHAPES_ONLY, GraphFacts
from ofa_mcu.planning.kernels import KERNELS
from ofa_mcu.planning.kernels.base import Facts, LayerView, Way
from ofa_mcu.planning.memory import ALIGNMENT, Lifetimes, MemoryPlan, lifetimes, place
from ofa_mcu.planning.priced import PricedWay, plan_code, priced, was_measured
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, FullyConnected, Operator, ShapeGraph

__all__ = [
    "BALANCED_CODE",
    "BALANCED_SLOWDOWN",
    "GOALS",
    "Optimize",
    "Plan",
    "goal_of",
    "how_small",
    "make_plan",
    "priced_ways",
]

BALANCED_SLOWDOWN = 0.10
"""Share of instructions that a balanced plan gives up for smaller code."""

BALANCED_CODE = 0.5
"""Share of the code of the fastest plan down to which a balanced one saves code rather than constants."""

GOALS = 12
"""Arenas, each larger than the one before, that are tried for a plan beside the smallest."""

_MOST_PRICED = 1 << 16
_UPGRADES = 6
_LITTLE = 1024  # bytes of arena that any board can spare for speed


class Optimize(Enum):
    """What a plan strives for: fewest instructions; little code at a tenth more of them; least code."""

    SPEED = "speed"
    BALANCED = "balanced"
    SIZE = "size"


@dataclass(frozen=True)
class Plan:
    """A way for every operator, in order, with its instructions; the places of all buffers; the core they hold for."""

    structure: ShapeGraph
    ways: tuple[PricedWay, ...]
    memory: MemoryPlan
    core: str

    @property
    def arena_bytes(self) -> int:
        """Size of the arena."""
        return self.memory.arena_bytes


@cache
def _known(figures: CoreModel) -> dict[object, tuple[PricedWay, ...]]:
    """Layers of the core priced so far: subnets of one space have most of their layers in common."""
    return {}


def _key(structure: ShapeGraph, operator: Operator, facts: Facts) -> object:
    """Everything the ways of a layer depend on."""
    shapes = structure.shapes
    read = tuple((shapes[name], name in structure.constants, name in structure.floats) for name in operator.inputs)
    same = tuple(operator.inputs.index(name) for name in operator.inputs)
    written = (shapes[operator.output], operator.output in structure.floats)
    if isinstance(operator, Conv2D | DepthwiseConv2D):
        options: tuple[object, ...] = (operator.kernel, operator.stride, operator.padding, operator.dilation)
        options += (operator.activation,)
    elif isinstance(operator, FullyConnected):
        options = (operator.activation, operator.keep_num_dims)
    else:
        options = tuple(
            (name, value) for name, value in vars(operator).items() if name not in ("name", "inputs", "output")
        )
    return type(operator), read, same, written, options, facts


def priced_ways(structure: ShapeGraph, operator: Operator, figures: CoreModel, facts: Facts) -> tuple[PricedWay, ...]:
    """Every way of every kernel that the core runs and that was measured on it, cheapest first.

    Raises OfaMcuError where there is none, UsageError where none was measured.
    """
    known_ways = _known(figures)
    key = _key(structure, operator, facts)
    known = known_ways.get(key)
    if known is None:
        if len(known_ways) > _MOST_PRICED:
            known_ways.clear()
        view = LayerView(structure, operator, facts)
        runs = figures.flavour.runs
        ways = [way for kernel in KERNELS if kernel.flavour in runs for way in kernel.ways(view)]
        found = [one for one in (priced(way, figures) for way in ways) if was_measured(one, figures)]
        if not found and ways:
            kernels = ", ".join(dict.fromkeys(way.kernel for way in ways))
            raise UsageError(
                f"layer '{operator.name}' of type {type(operator).__name__} asks {kernels} for what was never measured "
                f"on {figures.core}: run benchmarks/calibrate_cost.py --cores {figures.core}"
            )
        if not found:
            raise OfaMcuError(
                f"layer '{operator.name}' of type {type(operator).__name__} has no kernel for {figures.core} with its "
                "shapes and options: export a model without it"
            )
        known = known_ways[key] = tuple(_frontier(found))
    return known


def _frontier(ways: Iterable[PricedWay]) -> list[PricedWay]:
    """The ways that no other beats or equals in instructions, memory and code at once, cheapest first."""
    kept: list[PricedWay] = []
    for one in sorted(ways, key=lambda each: each.effort):
        if not any(_memory(other.way, one.way) and other.way.code == one.way.code for other in kept):
            kept.append(one)
    return kept


def _memory(a: Way, b: Way) -> bool:
    """Whether a needs no more memory than b wherever it is used."""

    def gap(value: int | None) -> float:
        return float("inf") if value is None else value

    return (
        a.scratch_bytes <= b.scratch_bytes
        and gap(a.forward_gap) <= gap(b.forward_gap)
        and gap(a.backward_gap) <= gap(b.backward_gap)
        and a.overread <= b.overread
        and (a.in_place or not b.in_place)
        and (a.in_place_second or not b.in_place_second)
        and a.constant_bytes <= b.constant_bytes
    )


def make_plan(
    structure: ShapeGraph,
    figures: CoreModel,
    facts: GraphFacts = SHAPES_ONLY,
    optimize: Optimize = Optimize.SPEED,
    arena_limit: int = 0,
    fastest: Plan | None = None,
) -> Plan:
    """The plan of a network for a core.

    Args:
        structure: operators in execution order, no reshapes that move nothing.
        figures: what the core was measured at.
        facts: of the weights and scales, where they are known.
        optimize: what ways are chosen for.
        arena_limit: bytes up to which faster ways may make the arena larger than it need be; 0: up to an eighth or
            1 KiB more, where the product of arena and instructions falls.
        fastest: what a balanced plan is held against, where it is not the fastest one of the same operators.

    Raises OfaMcuError where a layer has no kernel.
    """
    options = [priced_ways(structure, op, figures, facts.of(op)) for op in structure.operators]
    times = lifetimes(structure)
    needs = [[times.footprint(index, one.way) for one in each] for index, each in enumerate(options)]
    tight = [min(zip(sizes, each, strict=True), key=_first_need)[1] for sizes, each in zip(needs, options, strict=True)]
    memory = place(times, [one.way for one in tight])
    goal = max(memory.arena_bytes, arena_limit or _best_goal(options, needs))

    def within(room: int) -> list[list[PricedWay]]:
        """For every layer the ways that leave the arena that small, or the one that needs least."""
        return [
            [one for one, need in zip(each, sizes, strict=True) if need <= room] or [least]
            for each, sizes, least in zip(options, needs, tight, strict=True)
        ]

    def placed(chosen: list[PricedWay], slack: int) -> Plan:
        """The plan of these ways, or of those of least memory where buffers cannot be packed that tightly."""
        slack += 0 if arena_limit else max((one.way.overread for one in chosen), default=0) + ALIGNMENT
        for _ in range(_UPGRADES):
            if chosen == tight:
                break
            faster = place(times, [one.way for one in chosen])
            if faster.arena_bytes <= goal + slack:
                return Plan(structure, tuple(chosen), faster, figures.core)
            _step_back(times, faster, goal, chosen, tight)
        return Plan(structure, tuple(tight), memory, figures.core)

    fast = placed([each[0] for each in within(goal)], 0)
    if optimize is Optimize.SPEED:
        return fast
    against = (fastest or fast).ways
    budget = _budget(against, figures, optimize)
    slack = 0 if arena_limit else goal // 8  # rather than give up small code for the room that loops work in
    plans = [fast]
    for room in dict.fromkeys((goal, goal + slack)):
        plans.append(placed(small_code(within(room), figures, *budget), slack))
        rank = how_small(plans[-1].ways, figures, optimize, against)
        if optimize is Optimize.BALANCED and rank[:2] == (0.0, 0.0):
            break
    return min(plans, key=lambda plan: how_small(plan.ways, figures, optimize, against))


def _budget(fastest: Sequence[PricedWay], figures: CoreModel, optimize: Optimize) -> tuple[float, float]:
    """The most effort, and the code for which no more effort is spent than constants are worth."""
    if optimize is not Optimize.BALANCED:
        return inf, inf
    effort = sum([one.effort for one in fastest])
    return effort * (1 + BALANCED_SLOWDOWN), BALANCED_CODE * plan_code(fastest, figures)


def how_small(
    ways: Sequence[PricedWay], figures: CoreModel, optimize: Optimize, fastest: Sequence[PricedWay]
) -> tuple[float, float, float, float]:
    """What is least where a plan is best for small code: effort and code too many, then bytes of flash, and effort."""
    most, enough = _budget(fastest, figures, optimize)
    code = plan_code(ways, figures)
    effort = sum([one.effort for one in ways])
    flash = code + sum([one.way.constant_bytes for one in ways])
    return max(effort - most, 0.0), max(code - enough, 0.0), flash, effort


def _first_need(pair: tuple[int, PricedWay]) -> tuple[int, float]:
    return pair[0], pair[1].effort


def _best_goal(options: Sequence[Sequence[PricedWay]], needs: Sequence[Sequence[int]]) -> int:
    """The arena, of those of `goal_of`, whose product with the effort is least."""
    least = max(map(min, needs), default=0)
    best, best_product = least, float("inf")
    for step in range(GOALS + 1):
        goal = goal_of(least, step)
        effort = 0.0
        highest = 0
        for each, sizes in zip(options, needs, strict=True):
            for one, need in zip(each, sizes, strict=True):
                if need <= goal:
                    effort += one.effort
                    highest = max(highest, need)
                    break
        if effort * highest < best_product:
            best, best_product = highest, effort * highest
    return best


def goal_of(least: int, step: int) -> int:
    """The arena of a step, from the smallest there can be, step 0, to an eighth or `_LITTLE` above it."""
    return least + max(least // 8, _LITTLE) * step // GOALS


def _step_back(
    times: Lifetimes, memory: MemoryPlan, goal: int, chosen: list[PricedWay], tight: Sequence[PricedWay]
) -> None:
    """Gives the operators around what does not fit their ways of least memory."""
    for buffer in memory.buffers:
        offset = memory.scratch[buffer.scratch_of] if buffer.scratch_of else memory.offsets[buffer.name]
        if offset + buffer.bytes > goal:
            for index in range(max(buffer.first, 0), min(buffer.last + 1, len(chosen))):
                chosen[index] = tight[index]

"""From a network to the plan that the code generator obeys: a way for every layer, a place for every byte.

Ways are chosen by predicted instructions. Among ways that need different amounts of memory, those that keep the arena
small come first; a faster one is taken wherever the arena stays as small, or grows by at most an eighth (1 KiB where
that is more) and buys more speed than it costs memory. Where the arena would not fit, chains of layers run as cascades.
Where code shall be small, too, layers give up functions of their own for shared ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import inf

from ofa_mcu.planning.cascades import Segment, cheapest, least_room, least_room_at, segments_of, with_chains
from ofa_mcu.planning.code_size import small_code
from ofa_mcu.planning.core_model import CoreModel
from ofa_mcu.planning.facts import SHAPES_ONLY, GraphFacts
from ofa_mcu.planning.memory import ALIGNMENT, Lifetimes, MemoryPlan, lifetimes, place
from ofa_mcu.planning.priced import PricedWay, plan_code
from ofa_mcu.space.shapes import ShapeGraph

__all__ = [
    "BALANCED_CODE",
    "BALANCED_SLOWDOWN",
    "GOALS",
    "THRIFT",
    "Optimize",
    "Plan",
    "best_room",
    "goal_of",
    "how_small",
    "make_plan",
]

BALANCED_SLOWDOWN = 0.10
"""Share of instructions that a balanced plan gives up for smaller code."""

BALANCED_CODE = 0.5
"""Share of the code of the fastest plan down to which a balanced one saves code rather than constants."""

GOALS = 12
"""Arenas, each larger than the one before, that are tried for a plan beside the smallest."""

THRIFT = 0.01
"""Share of instructions that a thrifty plan gives up for a smaller arena."""

_UPGRADES = 6
_LITTLE = 1024  # bytes of arena that any board can spare for speed


class Optimize(Enum):
    """What a plan strives for: fewest instructions; little code at a tenth more of them; least code."""

    SPEED = "speed"
    BALANCED = "balanced"
    SIZE = "size"


@dataclass(frozen=True)
class Plan:
    """A way for every operator, in order, with its instructions; the places of all buffers; the core they hold for.

    `structure` is the network's, with cascades where chains of its operators run as such.
    """

    structure: ShapeGraph
    ways: tuple[PricedWay, ...]
    memory: MemoryPlan
    core: str

    @property
    def arena_bytes(self) -> int:
        """Size of the arena."""
        return self.memory.arena_bytes

    @property
    def effort(self) -> float:
        """Of all ways."""
        return sum([one.effort for one in self.ways])


def make_plan(
    structure: ShapeGraph,
    figures: CoreModel,
    facts: GraphFacts = SHAPES_ONLY,
    optimize: Optimize = Optimize.SPEED,
    arena_limit: int = 0,
    fastest: Plan | None = None,
    room: int | None = None,
    thrifty: bool = False,
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
        room: bytes there are for an arena; where that is less than a plan of whole layers takes, chains of layers run
            as cascades, as few as are enough or, if nothing is, as many as help. None: as many as there need be.
        thrifty: whether chains run as cascades even where there is room, as long as they take hardly more instructions
            (`THRIFT`).

    Raises OfaMcuError where a layer has no kernel.
    """
    times = lifetimes(structure)
    segments = segments_of(structure, times, figures, facts)
    whole = _Run(structure, [one for one, *_ in segments], times, arena_limit)
    fast = _planned(whole, figures)
    run = whole
    thrifty = thrifty and optimize is not Optimize.SIZE  # cascades take code
    if thrifty or (room is not None and fast.arena_bytes > room):
        chained = with_chains(segments, structure, times, figures, facts)
        run, fast = _cascaded(chained, (whole, fast), figures, room, thrifty)
    if optimize is Optimize.SPEED:
        return fast
    found = _planned(run, figures, optimize, fastest)
    if room is not None and found.arena_bytes > room >= fast.arena_bytes:
        found = _planned(replace(run, arena_limit=fast.arena_bytes), figures, optimize, fastest)
    return found


@dataclass(frozen=True)
class _Run:
    """Operators that are settled, with a segment for each; `arena_limit` as of `make_plan`."""

    structure: ShapeGraph
    segments: Sequence[Segment]
    times: Lifetimes
    arena_limit: int


def _cascaded(
    chained: Sequence[Sequence[Segment]],
    whole: tuple[_Run, Plan],
    figures: CoreModel,
    room: int | None,
    thrifty: bool,
) -> tuple[_Run, Plan]:
    """What runs, and its fastest plan, where chains may run as cascades: thriftily, or as the room asks for."""

    def at(goal: int) -> tuple[_Run, Plan]:
        """What is cheapest where buffers may take so many bytes."""
        segments = [segment for segment, _ in cheapest(chained, goal)]
        cut = replace(whole[0].structure, operators=tuple([segment.operator for segment in segments]))
        run = _Run(cut, segments, lifetimes(cut), goal)
        return run, _planned(run, figures)

    fast = whole[1]
    if thrifty:
        most = fast.effort * (1 + THRIFT)
        run, plan = at(least_room_at(chained, most))
        if plan.effort <= most and plan.arena_bytes < fast.arena_bytes and (room is None or plan.arena_bytes <= room):
            return run, plan
    if room is None or fast.arena_bytes <= room:
        return whole
    least = least_room(chained)
    best, goal = whole, max(least, room)
    for _ in range(_UPGRADES):
        found = at(goal)
        best = min(best, found, key=lambda pair: pair[1].arena_bytes)
        if best[1].arena_bytes <= room or goal == least:
            break
        goal = max(least, goal - (found[1].arena_bytes - room))
    return best


def _planned(run: _Run, figures: CoreModel, optimize: Optimize = Optimize.SPEED, fastest: Plan | None = None) -> Plan:
    """The plan of operators that are settled; arguments are those of `make_plan`."""
    structure, segments, times, arena_limit = run.structure, run.segments, run.times, run.arena_limit
    options, needs = [one.ways for one in segments], [one.needs for one in segments]
    tight = [min(zip(sizes, each, strict=True), key=_first_need)[1] for sizes, each in zip(needs, options, strict=True)]
    memory = place(times, [one.way for one in tight])
    goal = max(memory.arena_bytes, arena_limit or best_room([[one] for one in segments]))

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


def best_room(segments: Sequence[Sequence[Segment]]) -> int:
    """The arena whose product with the effort is least, of those for which `goal_of` leaves room."""
    least = least_room(segments)
    best, best_product = least, inf
    for step in range(GOALS + 1):
        path = cheapest(segments, goal_of(least, step))
        highest = max([one.needs[way] for one, way in path], default=0)
        product = highest * sum([one.ways[way].effort for one, way in path])
        if product < best_product:
            best, best_product = highest, product
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

"""Ways to run a cascade, and which chains of a network shall be cascades.

A way cuts the cascade into stripes and runs each of its layers in a way of that layer's own kernels, on tensors of a
few rows. Cascades are chosen like ways: as few instructions as possible, with an arena as small as wanted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import inf
from typing import TypedDict

from ofa_mcu.planning.chains import Stripes, chains_of, stripes_of
from ofa_mcu.planning.core_model import CoreModel
from ofa_mcu.planning.facts import GraphFacts
from ofa_mcu.planning.kernels.base import Way
from ofa_mcu.planning.kernels.cascades import CASCADE, library_of, loop_counts
from ofa_mcu.planning.memory import SCRATCH_ALIGNMENT, Lifetimes
from ofa_mcu.planning.priced import PricedWay, priced, was_measured
from ofa_mcu.planning.ways import layer_key, priced_ways, without_beaten
from ofa_mcu.space.shapes import Add, Cascade, Operator, ShapeGraph

__all__ = [
    "Places",
    "Segment",
    "cascade_ways",
    "cheapest",
    "every_way",
    "least_room",
    "least_room_at",
    "places_of",
    "segments_of",
    "stripes_in",
    "ways_of",
    "with_chains",
]

_MOST_PRICED = 1 << 14


class _Overlap(TypedDict):
    forward_gap: int
    in_place: bool


@dataclass(frozen=True)
class Places:
    """Where the memory that a cascade works in lies, in bytes from its start; `total` bytes.

    `window` and `entry` are the rolling buffers, `narrow` is what the depthwise layer writes, `work` is the scratch
    memory of the layers, of which one runs at a time. What the sum adds to the input lies at the window's start: those
    rows go next.
    """

    window: int
    entry: int
    narrow: int
    work: int
    total: int


def places_of(stripes: Stripes, ways: Sequence[Way]) -> Places:
    """Places for the layers' ways: behind what a layer reads is room for what it may read too many."""
    widen, depthwise, *rest = ways
    position = 0

    def taken(size: int) -> int:
        nonlocal position
        start = position
        position += -(-size // SCRATCH_ALIGNMENT) * SCRATCH_ALIGNMENT
        return start

    window = taken(stripes.window.bytes + max([depthwise.overread, *(way.overread for way in rest[1:])]))
    entry = taken(stripes.entry.bytes + widen.overread) if stripes.entry else 0
    narrow = taken(stripes.structure.bytes_of(stripes.steps[1].output) + rest[0].overread) if rest else 0
    work = taken(max(way.scratch_bytes for way in ways))
    return Places(window, entry, narrow, work, position)


def stripes_in(structure: ShapeGraph, cascade: Cascade, way: Way) -> Stripes:
    """The stripes of a way that `cascade_ways` gave."""
    return next(one for one in stripes_of(structure, cascade) if _variant(one) == way.variant.partition(",")[0])


def _variant(stripes: Stripes) -> str:
    return f"stripes of {stripes.rows}"


def cascade_ways(
    structure: ShapeGraph, cascade: Cascade, figures: CoreModel, facts: GraphFacts
) -> tuple[PricedWay, ...]:
    """The ways of a cascade that no other beats, cheapest first; none where the core's loops were not measured."""
    if CASCADE.name not in figures.instructions:
        return ()
    known = _known(figures)
    steps = cascade.steps
    order = tuple(tuple(name == before.output for name in step.inputs) for before, step in pairwise(steps))
    key = order, tuple(layer_key(structure, step, facts.of(step)) for step in steps)
    if key not in known:
        if len(known) > _MOST_PRICED:
            known.clear()
        known[key] = without_beaten(
            one for one in every_way(structure, cascade, figures, facts) if was_measured(one, figures)
        )
    return known[key]


def every_way(structure: ShapeGraph, cascade: Cascade, figures: CoreModel, facts: GraphFacts) -> Iterator[PricedWay]:
    """For every number of rows the layers in their fastest ways, and in those of least memory."""
    for stripes in stripes_of(structure, cascade):
        options = [
            priced_ways(stripes.structure, step, figures, facts.of(given))
            for step, given in zip(stripes.steps, cascade.steps, strict=True)
        ]
        fastest = [each[0] for each in options]
        smallest = [min(each, key=lambda one: (one.way.scratch_bytes, one.effort)) for each in options]
        yield _priced(stripes, fastest, figures, "")
        if smallest != fastest:
            yield _priced(stripes, smallest, figures, ", least memory")


@cache
def _known(figures: CoreModel) -> dict[object, tuple[PricedWay, ...]]:
    """Cascades of the core priced so far."""
    return {}


def _priced(stripes: Stripes, ways: Sequence[PricedWay], figures: CoreModel, which: str) -> PricedWay:
    parts = tuple(
        replace(
            one,
            instructions=runs * one.instructions,
            cycles=None if one.cycles is None else runs * one.cycles,
        )
        for runs, one in zip(stripes.runs, ways, strict=True)
    )
    plain = tuple(one.way for one in ways)
    loops = priced(Way(CASCADE.name, _variant(stripes) + which, loop_counts(stripes), 0), figures)
    way = replace(
        loops.way,
        constant_bytes=sum(way.constant_bytes for way in plain),
        code=tuple(dict.fromkeys((*(code for way in plain for code in way.code), *library_of(stripes)))),
        scratch_bytes=places_of(stripes, plain).total,
        overread=plain[0].overread if stripes.entry is None else 0,
        **_overlap(stripes, plain[-1]),
        parts=plain,
    )
    return PricedWay(
        way,
        loops.instructions + sum(one.instructions for one in parts),
        None if loops.cycles is None else loops.cycles + sum(one.cycles or 0.0 for one in parts),
        parts,
    )


def _overlap(stripes: Stripes, last: Way) -> _Overlap:
    """How the cascade's output may lie over its input: rows are read before anything is written over them.

    A sum reads the rows that it writes over itself; they are as long as those it writes.
    """
    if not stripes.adds:
        return {"forward_gap": stripes.forward_gap, "in_place": False}
    sums = stripes.steps[-1]
    if isinstance(sums, Add) and sums.inputs[1] == stripes.steps[2].output and last.forward_gap is not None:
        return {"forward_gap": min(last.forward_gap, stripes.stripe_bytes), "in_place": last.in_place}
    return {"forward_gap": stripes.stripe_bytes, "in_place": last.in_place_second}


def ways_of(structure: ShapeGraph, operator: Operator, figures: CoreModel, facts: GraphFacts) -> tuple[PricedWay, ...]:
    """The ways of any operator of a plan; errors as `priced_ways`."""
    if isinstance(operator, Cascade):
        return cascade_ways(structure, operator, figures, facts)
    return priced_ways(structure, operator, figures, facts.of(operator))


@dataclass(frozen=True)
class Segment:
    """Operators from `first` to before `stop` that run as `operator`; its ways, cheapest first, and bytes they need."""

    first: int
    stop: int
    operator: Operator
    ways: tuple[PricedWay, ...]
    needs: tuple[int, ...]

    def within(self, room: int) -> int | None:
        """The cheapest way that needs no more room."""
        for index, need in enumerate(self.needs):
            if need <= room:
                return index
        return None


def segments_of(structure: ShapeGraph, times: Lifetimes, figures: CoreModel, facts: GraphFacts) -> list[list[Segment]]:
    """For every operator the one segment that it is."""
    found = []
    for index, operator in enumerate(structure.operators):
        ways = priced_ways(structure, operator, figures, facts.of(operator))
        needs = tuple([times.footprint(index, one.way) for one in ways])
        found.append([Segment(index, index + 1, operator, ways, needs)])
    return found


def with_chains(
    segments: Sequence[list[Segment]], structure: ShapeGraph, times: Lifetimes, figures: CoreModel, facts: GraphFacts
) -> list[list[Segment]]:
    """The segments that begin with each operator, with the chains of the network."""
    found = [list(each) for each in segments]
    for chain in chains_of(structure):
        ways = cascade_ways(structure, chain.cascade, figures, facts)
        if ways:
            needs = tuple([times.span_footprint(chain.first, chain.last, chain.cascade, one.way) for one in ways])
            found[chain.first].append(Segment(chain.first, chain.last + 1, chain.cascade, ways, needs))
    return found


def least_room(segments: Sequence[Sequence[Segment]]) -> int:
    """The smallest room in which all can run."""
    count = len(segments)
    least = [0] * (count + 1)
    for index in range(count - 1, -1, -1):
        least[index] = min(max(min(one.needs), least[one.stop]) for one in segments[index])
    return least[0]


def cheapest(segments: Sequence[Sequence[Segment]], room: int) -> list[tuple[Segment, int]]:
    """Segments that make up the network, each with the number of its way: least effort in the room.

    Where the room is less than `least_room` nothing runs, and the list is empty.
    """
    count = len(segments)
    efforts = [inf] * count + [0.0]
    taken: list[tuple[Segment, int] | None] = [None] * count
    for index in range(count - 1, -1, -1):
        for one in segments[index]:
            way = one.within(room)
            if way is not None and one.ways[way].effort + efforts[one.stop] < efforts[index]:
                efforts[index], taken[index] = one.ways[way].effort + efforts[one.stop], (one, way)
    path, index = [], 0
    while index < count:
        choice = taken[index]
        if choice is None:
            return []
        path.append(choice)
        index = choice[0].stop
    return path


def least_room_at(segments: Sequence[Sequence[Segment]], effort: float) -> int:
    """The smallest room in which the cheapest segments take no more effort than that, or else as little as they can."""
    rooms = sorted({need for each in segments for one in each for need in one.needs})
    low, high = bisect_left(rooms, least_room(segments)), len(rooms) - 1
    while low < high:
        middle = (low + high) // 2
        if sum([one.ways[way].effort for one, way in cheapest(segments, rooms[middle])]) <= effort:
            high = middle
        else:
            low = middle + 1
    return rooms[low] if rooms else 0

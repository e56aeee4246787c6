"""Memory plan of a scheduled network: which bytes of the arena every tensor gets, and how good that is.

Tensors and the memory that kernels work in are buffers. Buffers alive at the same time must not overlap, but where an
operator is the last reader of its input, its output may lie over it as far as the kernel keeps ahead of itself: see the
gaps of `Way`. Offsets come from first fit over several orders; where that leaves a gap to the lower bound, whichever
buffer reached above it goes first in the next try, a bounded number of times. What is drawn at random is drawn from a
fixed seed, so plans are reproducible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ofa_mcu.planning.kernels.base import Way
from ofa_mcu.space.shapes import Operator, ShapeGraph

__all__ = ["ALIGNMENT", "SCRATCH_ALIGNMENT", "Buffer", "Lifetimes", "MemoryPlan", "lifetimes", "place"]

ALIGNMENT = 4
"""Every tensor's offset and the arena's size are multiples of this many bytes: kernels may read words."""

SCRATCH_ALIGNMENT = 8
"""The same for memory that kernels work in."""

_RANDOM_ORDERS = 6
_PROMOTIONS = 16


@dataclass(frozen=True)
class Buffer:
    """A piece of the arena, alive while the operators `first`..`last` run (both included).

    The network's inputs are alive from operator -1 on (before the first), its outputs until one past the last.
    `scratch_of` names the operator whose kernel works here; otherwise it is the tensor `name`.
    """

    name: str
    bytes: int
    first: int
    last: int
    scratch_of: str = ""


@dataclass(frozen=True)
class MemoryPlan:
    """Offsets into one arena: `offsets` of tensors, `scratch` of what kernels work in, by operator.

    `backward` names the operators whose output lies over their input such that they must run from the end.
    `live_bytes[i]` is what is alive while operator i runs, counting bytes under input and output once where they could
    share them; `lower_bound` is the largest of these and of all inputs: no plan with these ways can be smaller.
    """

    offsets: Mapping[str, int]
    scratch: Mapping[str, int]
    backward: frozenset[str]
    arena_bytes: int
    lower_bound: int
    live_bytes: tuple[int, ...]
    buffers: tuple[Buffer, ...]

    @property
    def excess(self) -> float:
        """Share by which the arena exceeds the lower bound; 0 is optimal."""
        return self.arena_bytes / self.lower_bound - 1.0


@dataclass(frozen=True)
class Lifetimes:
    """Of a network: its tensors' buffers, and for every operator the bytes of all tensors alive while it runs.

    `dying[i]` has number and bytes of every input that nobody reads after operator i, `written[i]` the output's bytes.
    """

    structure: ShapeGraph
    buffers: tuple[Buffer, ...]
    alive: tuple[int, ...]
    dying: tuple[tuple[tuple[int, int], ...], ...]
    written: tuple[int, ...]

    def footprint(self, index: int, way: Way) -> int:
        """Bytes alive while the operator runs in that way, at best."""
        return _footprint(self.alive[index], self.dying[index], self.written[index], way)

    def span_footprint(self, first: int, last: int, operator: Operator, way: Way) -> int:
        """The same for one operator in the place of those from `first` to `last`, none of which writes elsewhere.

        It reads one tensor, and what is written between the first and the last of them is gone.
        """
        alive = 0
        dying: tuple[tuple[int, int], ...] = ()
        for buffer in self.buffers:
            inside = buffer.first >= first and buffer.last <= last and buffer.name != operator.output
            if buffer.last >= first and buffer.first <= last and not inside:
                alive += buffer.bytes
                if buffer.name in operator.inputs and buffer.last <= last:
                    dying = ((0, self.structure.bytes_of(buffer.name)),)
        return _footprint(alive, dying, self.structure.bytes_of(operator.output), way)


def _footprint(alive: int, dying: Sequence[tuple[int, int]], written: int, way: Way) -> int:
    saved = max([_overlap(way, position, source, written) for position, source in dying], default=0)
    return alive + _aligned(way.scratch_bytes) - saved


def _overlap(way: Way, position: int, source: int, target: int) -> int:
    """The most bytes that input number `position` and the output can have in common, both of aligned sizes."""
    apart = _aligned(source) + _aligned(target)
    if position > 0:
        return min(_aligned(source), _aligned(target)) if way.in_place_second and position == 1 else 0
    span = max(_aligned(source), _aligned(target)) if way.in_place else apart
    if way.forward_gap is not None:
        span = min(span, max(_aligned(way.forward_gap) + _aligned(source), _aligned(target)))
    if way.backward_gap is not None:
        start = _aligned(max(source + way.backward_gap - target, 0))
        span = min(span, max(start + _aligned(target), _aligned(source)))
    return apart - span


def _aligned(size: int, alignment: int = ALIGNMENT) -> int:
    return -(-size // alignment) * alignment


def lifetimes(graph: ShapeGraph) -> Lifetimes:
    """When every tensor of the network lives."""
    end = len(graph.operators)
    born = dict.fromkeys(graph.inputs, -1) | {op.output: index for index, op in enumerate(graph.operators)}
    last = {name: index for index, op in enumerate(graph.operators) for name in op.inputs}
    last |= dict.fromkeys(graph.outputs, end)
    # A tensor nobody reads still has to be written somewhere.
    buffers = tuple(
        Buffer(name, _aligned(graph.bytes_of(name)), first, max(last.get(name, first), first))
        for name, first in born.items()
    )
    alive = [0] * (end + 1)
    for buffer in buffers:
        for index in range(max(buffer.first, 0), min(buffer.last, end - 1) + 1):
            alive[index] += buffer.bytes
    dying = tuple(
        tuple(
            (op.inputs.index(name), graph.bytes_of(name))
            for name in dict.fromkeys(op.inputs)
            if name in born and last[name] == index
        )
        for index, op in enumerate(graph.operators)
    )
    written = tuple(graph.bytes_of(op.output) for op in graph.operators)
    return Lifetimes(graph, buffers, tuple(alive[:end]), dying, written)


@dataclass(frozen=True)
class _Relation:
    """How the buffer of a dying input and that of the output may lie; sizes and gaps in bytes."""

    source: int
    target: int
    source_bytes: int
    target_bytes: int
    forward: int
    backward: int
    equal: bool

    def forbidden(self, index: int, other_offset: int) -> tuple[int, int]:
        """The open interval of offsets that buffer `index`, one of the two, must not start in."""
        reach = min(self.forward, self.target_bytes)
        rest = self.target_bytes - min(self.backward, self.target_bytes)
        if index == self.target:
            return other_offset - reach, other_offset + self.source_bytes - rest
        return other_offset + rest - self.source_bytes, other_offset + reach

    def needs_backward(self, source_offset: int, target_offset: int) -> bool:
        """Whether the two overlap in a way that only working backwards allows."""
        apart = target_offset >= source_offset + self.source_bytes or source_offset >= target_offset + self.target_bytes
        if apart or (self.equal and source_offset == target_offset):
            return False
        return source_offset - target_offset < self.forward


def _relations(times: Lifetimes, ways: Sequence[Way], index_of: Mapping[str, int]) -> list[_Relation]:
    found = []
    graph = times.structure
    for index, (op, way) in enumerate(zip(graph.operators, ways, strict=True)):
        out = graph.bytes_of(op.output)
        twice = len(set(op.inputs)) < len(op.inputs)
        for position, name in enumerate(op.inputs):
            if name not in index_of or times.buffers[index_of[name]].last != index or (twice and position > 0):
                continue
            forward = backward = out
            equal = False
            if position == 0:
                forward = out if way.forward_gap is None else way.forward_gap
                backward = out if way.backward_gap is None else way.backward_gap
                equal = way.in_place
            elif position == 1:
                equal = way.in_place_second
            if equal or forward < out or backward < out:
                source = graph.bytes_of(name)
                found.append(_Relation(index_of[name], index_of[op.output], source, out, forward, backward, equal))
    return found


class _Placer:
    """First fit of buffers under the network's relations."""

    def __init__(self, times: Lifetimes, ways: Sequence[Way]) -> None:
        scratch = tuple(
            Buffer(op.name, _aligned(way.scratch_bytes), index, index, op.name)
            for index, (op, way) in enumerate(zip(times.structure.operators, ways, strict=True))
            if way.scratch_bytes
        )
        self.buffers = times.buffers + scratch
        index_of = {buffer.name: index for index, buffer in enumerate(times.buffers)}
        self.relations = _relations(times, ways, index_of)
        self.related: dict[tuple[int, int], _Relation] = {}
        for relation in self.relations:
            self.related[relation.source, relation.target] = relation
            self.related[relation.target, relation.source] = relation
        self.conflicts: list[list[int]] = [[] for _ in self.buffers]
        for i, a in enumerate(self.buffers):
            for j in range(i):
                b = self.buffers[j]
                if a.first <= b.last and b.first <= a.last:
                    self.conflicts[i].append(j)
                    self.conflicts[j].append(i)

    def place(self, order: Sequence[int], bound: int, limit: int) -> tuple[list[int], int, int | None]:
        """First fit in the given order: offsets, size, and the first buffer that ends above `bound`, if any does.

        Stops early, with a size of `limit` or more, where it cannot stay below it.
        """
        buffers, related = self.buffers, self.related
        offsets = [-1] * len(buffers)
        high, top = None, 0
        for index in order:
            size = buffers[index].bytes
            closed: list[tuple[int, int, int]] = []  # open interval of forbidden starts, a start allowed in it
            for other in self.conflicts[index]:
                at = offsets[other]
                if at < 0:
                    continue
                relation = related.get((index, other))
                if relation is None:
                    closed.append((at - size, at + buffers[other].bytes, -1))
                else:
                    low, up = relation.forbidden(index, at)
                    if low < up:
                        closed.append((low, up, at if relation.equal else -1))
            alignment = SCRATCH_ALIGNMENT if buffers[index].scratch_of else ALIGNMENT
            offset = _lowest(closed, alignment)
            offsets[index] = offset
            top = max(top, offset + size)
            if high is None and top > bound:
                high = index
            if top >= limit:
                break
        return offsets, top, high


def _lowest(closed: list[tuple[int, int, int]], alignment: int) -> int:
    """The lowest aligned start outside all intervals."""
    closed.sort()
    offset, moved = 0, True
    while moved:
        moved = False
        for low, up, exception in closed:
            if low < offset < up and offset != exception:
                offset = exception if offset < exception < up else -(-up // alignment) * alignment
                moved = True
    return offset


def _orders(buffers: Sequence[Buffer]) -> Iterator[list[int]]:
    indices = range(len(buffers))
    yield sorted(indices, key=lambda i: (-buffers[i].bytes, buffers[i].first))
    yield sorted(indices, key=lambda i: (-buffers[i].bytes * (buffers[i].last - buffers[i].first + 1), i))
    yield sorted(indices, key=lambda i: (buffers[i].first - buffers[i].last, -buffers[i].bytes, i))
    yield sorted(indices, key=lambda i: (buffers[i].first, -buffers[i].bytes))
    yield sorted(indices, key=lambda i: (-buffers[i].last, -buffers[i].bytes))
    rng = np.random.default_rng(0)
    sizes = np.array([buffer.bytes for buffer in buffers], float)
    for _ in range(_RANDOM_ORDERS):
        yield np.argsort(-sizes * rng.uniform(0.5, 1.5, len(buffers)), kind="stable").tolist()


def _pack(placer: _Placer, bound: int) -> tuple[list[int], int]:
    """Offsets and size of the smallest arena found."""
    limit, found = 1 << 62, None
    for order in _orders(placer.buffers):
        for _ in range(_PROMOTIONS):
            offsets, size, high = placer.place(order, bound, limit)
            if size < limit:
                found, limit = (offsets, size), size
            if high is None:
                return offsets, size
            order.remove(high)
            order.insert(0, high)
    assert found is not None
    return found


def place(times: Lifetimes, ways: Sequence[Way]) -> MemoryPlan:
    """The best plan found for the ways, one for each operator; optimal where `excess` is 0."""
    graph = times.structure
    live = tuple(times.footprint(index, way) for index, way in enumerate(ways))
    # Inputs that nobody reads are alive before the first operator only.
    whole = max((buffer.bytes for buffer in times.buffers), default=0)
    bound = max((*live, whole, sum(buffer.bytes for buffer in times.buffers if buffer.first < 0)))
    placer = _Placer(times, ways)
    offsets, size = _pack(placer, bound)
    placed = dict(zip(placer.buffers, offsets, strict=True))
    tensors = {buffer.name: offset for buffer, offset in placed.items() if not buffer.scratch_of}
    for op, way in zip(graph.operators, ways, strict=True):
        if way.overread and op.inputs[0] in tensors:
            size = max(size, _aligned(tensors[op.inputs[0]] + graph.bytes_of(op.inputs[0]) + way.overread))
    backward = {
        placer.buffers[relation.target].name
        for relation in placer.relations
        if relation.needs_backward(offsets[relation.source], offsets[relation.target])
    }
    return MemoryPlan(
        offsets=tensors,
        scratch={buffer.scratch_of: offset for buffer, offset in placed.items() if buffer.scratch_of},
        backward=frozenset(op.name for op in graph.operators if op.output in backward),
        arena_bytes=size,
        lower_bound=bound,
        live_bytes=live,
        buffers=placer.buffers,
    )

"""Memory plan of a scheduled graph: which bytes of the arena every tensor gets, and how good that is.

Tensors that may share memory (a residual sum written over an input that dies there) form one buffer. Buffers whose
lifetimes overlap must not overlap in memory. Offsets come from first fit over several orders; where that leaves a gap
to the lower bound, whichever buffer reached above it goes first in the next try, a bounded number of times. What is
drawn at random is drawn from a fixed seed, so plans are reproducible.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ofa_mcu.space.shapes import Add, ShapeGraph

__all__ = ["ALIGNMENT", "Buffer", "MemoryPlan", "buffers_of", "plan_memory"]

ALIGNMENT = 4
"""Every offset and the arena's size are multiples of this many bytes: kernels may read words."""

_RANDOM_ORDERS = 4
_PROMOTIONS = 16


@dataclass(frozen=True)
class Buffer:
    """Tensors sharing one piece of the arena, alive while the operators `first`..`last` run (both included).

    The graph's inputs are alive from operator -1 on (before the first), its outputs until one past the last.
    """

    tensors: tuple[str, ...]
    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class MemoryPlan:
    """Offsets into one arena.

    `lower_bound` is the largest sum of buffers alive at once under the same sharing: no plan without overlapping
    inputs and outputs of other operators can be smaller.
    """

    offsets: Mapping[str, int]
    arena_bytes: int
    lower_bound: int
    buffers: tuple[Buffer, ...]

    @property
    def excess(self) -> float:
        """Share by which the arena exceeds the lower bound; 0 is optimal."""
        return self.arena_bytes / self.lower_bound - 1.0


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _last_use(graph: ShapeGraph) -> dict[str, int]:
    last = {name: index for index, op in enumerate(graph.operators) for name in op.inputs}
    return last | {name: len(graph.operators) for name in graph.outputs}


def buffers_of(graph: ShapeGraph, shared: Mapping[str, str]) -> tuple[Buffer, ...]:
    """Buffers of the graph when each tensor in `shared` lies where the tensor it maps to lies."""
    born = dict.fromkeys(graph.inputs, -1) | {op.output: index for index, op in enumerate(graph.operators)}
    last = _last_use(graph)
    members: dict[str, list[str]] = {}
    for name in born:
        root = name
        while root in shared:
            root = shared[root]
        members.setdefault(root, []).append(name)
    return tuple(
        Buffer(
            tuple(names),
            max(_aligned(graph.bytes_of(name)) for name in names),
            min(born[name] for name in names),
            # a tensor nobody reads still has to be written somewhere
            max(last.get(name, born[name]) for name in names),
        )
        for names in members.values()
    )


def _sharings(graph: ShapeGraph) -> Iterator[dict[str, str]]:
    """Ways for sums to overwrite a dying input: always the second, always the first, whichever may die.

    All agree where only one input dies.
    """
    last = _last_use(graph)
    options: list[list[tuple[str, str]]] = []
    for index, op in enumerate(graph.operators):
        if isinstance(op, Add):
            whole = [name for name in dict.fromkeys(op.inputs) if graph.shapes[name] == graph.shapes[op.output]]
            dying = [name for name in whole if last[name] == index and name not in graph.constants]
            if dying:
                options.append([(op.output, name) for name in dying])
    if not options:
        yield {}
        return
    seen = set()
    for pick in (-1, 0):
        chosen = tuple(option[pick] for option in options)
        if chosen not in seen:
            seen.add(chosen)
            yield dict(chosen)


def _lower_bound(buffers: tuple[Buffer, ...], operators: int) -> int:
    change = [0] * (operators + 3)
    for b in buffers:
        change[b.first + 1] += b.bytes
        change[b.last + 2] -= b.bytes
    alive = peak = 0
    for step in change:
        alive += step
        peak = max(peak, alive)
    return peak


def _place(buffers: tuple[Buffer, ...], order: list[int], bound: int, limit: int) -> tuple[list[int], int, int | None]:
    """First fit in the given order: offsets, size, and the first buffer that ends above `bound`, if any does.

    Stops early, with a size of `limit` or more, where it cannot stay below it.
    """
    offsets, high = [0] * len(buffers), None
    placed: list[tuple[int, int, int]] = []  # offset, end, buffer
    top = 0
    for index in order:
        b = buffers[index]
        offset = 0
        for start, end, other in placed:
            if start >= offset + b.bytes:
                break
            o = buffers[other]
            if end > offset and o.first <= b.last and b.first <= o.last:
                offset = end
        offsets[index] = offset
        top = max(top, offset + b.bytes)
        if high is None and top > bound:
            high = index
        if top >= limit:
            return offsets, top, high
        placed.append((offset, offset + b.bytes, index))
        placed.sort()
    return offsets, top, high


def _orders(buffers: tuple[Buffer, ...]) -> Iterator[list[int]]:
    indices = range(len(buffers))
    yield sorted(indices, key=lambda i: (-buffers[i].bytes, buffers[i].first))
    yield sorted(indices, key=lambda i: (-buffers[i].bytes * (buffers[i].last - buffers[i].first + 1), i))
    yield sorted(indices, key=lambda i: (buffers[i].first - buffers[i].last, -buffers[i].bytes, i))
    rng = np.random.default_rng(0)
    sizes = np.array([b.bytes for b in buffers], float)
    for _ in range(_RANDOM_ORDERS):
        yield np.argsort(-sizes * rng.uniform(0.5, 1.5, len(buffers)), kind="stable").tolist()


def _pack(buffers: tuple[Buffer, ...], bound: int, limit: int) -> tuple[list[int], int] | None:
    """Offsets and size of the smallest arena found that is smaller than `limit`; None where there was none."""
    found = None
    for order in _orders(buffers):
        for _ in range(_PROMOTIONS):
            offsets, size, high = _place(buffers, order, bound, limit)
            if size < limit:
                found, limit = (offsets, size), size
            if high is None:
                return found
            order.remove(high)
            order.insert(0, high)
    return found


def plan_memory(graph: ShapeGraph) -> MemoryPlan:
    """The best plan found; optimal where `excess` is 0."""
    best: MemoryPlan | None = None
    for shared in _sharings(graph):
        buffers = buffers_of(graph, shared)
        bound = _lower_bound(buffers, len(graph.operators))
        limit = best.arena_bytes if best else 1 << 62
        found = _pack(buffers, bound, limit) if bound < limit else None
        if found:
            offsets, size = found
            names = {name: offsets[i] for i, b in enumerate(buffers) for name in b.tensors}
            best = MemoryPlan(names, size, bound, buffers)
    assert best is not None
    return best

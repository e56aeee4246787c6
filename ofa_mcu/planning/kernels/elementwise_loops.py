"""Nested loops over tensors that broadcast, with as few loops as the shapes allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from ofa_mcu.space.shapes import Shape

__all__ = ["LEVELS", "BroadcastLoops", "broadcast_loops", "merged", "strides"]

LEVELS = 4
"""Nested loops of the C functions."""


@dataclass(frozen=True)
class BroadcastLoops:
    """Counts of four loops, the innermost last, and by how many elements each moves in either input."""

    counts: tuple[int, ...]
    first: tuple[int, ...]
    second: tuple[int, ...]


def strides(shape: Shape) -> tuple[int, ...]:
    """Elements from one index to the next along each axis of a dense tensor."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def merged(counts: Sequence[int], *steps: Sequence[int]) -> list[tuple[int, ...]]:
    """(count, a step for each of `steps`) of the loops that remain: those of one turn go, dense neighbours join."""
    loops: list[tuple[int, ...]] = []
    for count, *moves in zip(counts, *steps, strict=True):
        if count == 1:
            continue
        if loops and all(outer == count * inner for outer, inner in zip(loops[-1][1:], moves, strict=True)):
            loops[-1] = (loops[-1][0] * count, *moves)
        else:
            loops.append((count, *moves))
    return loops


def _steps_in(shape: Shape, target: Shape) -> tuple[int, ...]:
    """Steps of the axes of `target` in a tensor that broadcasts to it: 0 where it repeats."""
    aligned = (1,) * (len(target) - len(shape)) + shape
    return tuple(0 if extent == 1 else step for extent, step in zip(aligned, strides(aligned), strict=True))


@lru_cache(maxsize=4096)
def broadcast_loops(first: Shape, second: Shape, target: Shape) -> BroadcastLoops | None:
    """The loops for two inputs and their output, None where there are more than four."""
    loops = merged(target, _steps_in(first, target), _steps_in(second, target))
    if len(loops) > LEVELS:
        return None
    full = [(1, 0, 0)] * (LEVELS - len(loops)) + loops
    counts, one, two = zip(*full, strict=True)
    return BroadcastLoops(tuple(counts), tuple(one), tuple(two))

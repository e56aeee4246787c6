"""Where the buffers of a layer may lie: over each other as far as its way allows, and side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ofa_mcu.planning.kernels.base import Way
from ofa_mcu.planning.memory import ALIGNMENT, SCRATCH_ALIGNMENT

__all__ = ["Buffers", "Place", "places"]


@dataclass(frozen=True)
class Place:
    """Where buffers start in an arena of `bytes`; -1: nowhere. `at_end`: it ends with the first input's overread."""

    first: int
    second: int
    output: int
    scratch: int
    bytes: int
    backward: bool
    first_dies: bool
    second_dies: bool
    at_end: bool


@dataclass(frozen=True)
class Buffers:
    """Bytes of a layer's buffers; 0 for inputs that are constant or missing."""

    way: Way
    first: int
    second: int
    output: int


def _up(value: int, step: int = ALIGNMENT) -> int:
    return -(-value // step) * step


def _distances(buffers: Buffers, rng: np.random.Generator) -> Iterator[tuple[int, bool]]:
    """(input's start - output's start, whether backwards) of the overlaps that the way allows, the tightest first."""
    way, source, target = buffers.way, buffers.first, buffers.output
    if way.in_place:
        yield 0, False
    if way.forward_gap is not None:
        least = _up(way.forward_gap)
        found = {least + 4 * step for step in range(4)}
        if least < target:
            found |= {4 * int(at) for at in rng.integers(least // 4, max(_up(target) // 4, least // 4 + 1), 2)}
        yield from ((distance, False) for distance in sorted(found) if distance < target)
    if way.backward_gap is not None:
        most = (target - source - way.backward_gap) // 4 * 4
        found = {most - 4 * step for step in range(4)}
        if most > -source:
            found |= {4 * int(at) for at in rng.integers(-(source // 4), most // 4 + 1, 2)}
        yield from ((distance, True) for distance in sorted(found, reverse=True) if distance > -source)


def _arranged(buffers: Buffers, distance: int, *, behind: bool) -> tuple[int, int, int, int, int]:
    """Starts of first input, second, output and scratch, and the end; what does not overlap comes behind or before."""
    way = buffers.way
    group = {"output": max(0, -distance)}
    if buffers.first:
        group["first"] = max(0, distance)
    sizes = {"first": buffers.first, "output": buffers.output, "second": buffers.second, "scratch": way.scratch_bytes}
    starts: dict[str, int] = {}
    top = 0

    def alone(name: str, alignment: int) -> None:
        nonlocal top
        if sizes[name]:
            top = _up(top, alignment)
            starts[name] = top
            top += sizes[name]

    if not behind:
        alone("scratch", SCRATCH_ALIGNMENT)
        alone("second", ALIGNMENT)
    top = _up(top)
    starts |= {name: top + start for name, start in group.items()}
    top = max(starts[name] + sizes[name] for name in group)
    if behind:
        alone("second", ALIGNMENT)
        alone("scratch", SCRATCH_ALIGNMENT)
    if buffers.first:
        top = max(top, starts["first"] + buffers.first + way.overread)
    return (*(starts.get(name, -1) for name in ("first", "second", "output", "scratch")), _up(top))  # type: ignore[return-value]


def places(buffers: Buffers, rng: np.random.Generator) -> list[Place]:
    """All overlaps of `_distances` with what else there is behind the two and before them; then no overlaps."""
    found = []

    def add(distance: int, backward: bool, dies: bool, *, behind: bool) -> None:
        first, second, output, scratch, end = _arranged(buffers, distance, behind=behind)
        at_end = bool(buffers.first) and end == _up(first + buffers.first + buffers.way.overread)
        found.append(Place(first, second, output, scratch, end, backward, dies, False, at_end))

    for distance, backward in _distances(buffers, rng) if buffers.first else ():
        for behind in (True, False):
            add(distance, backward, True, behind=behind)
    for distance in (_up(buffers.output), -_up(buffers.first)):
        for behind in (True, False):
            add(distance, False, False, behind=behind)
    if buffers.way.backward_gap is not None:
        add(_up(buffers.output), True, False, behind=True)
    if buffers.way.in_place_second and buffers.second:
        for before in (True, False):
            first = 0 if before else _up(buffers.second)
            other = _up(buffers.first) if before else 0
            scratch = _up(max(first + buffers.first, other + buffers.output), SCRATCH_ALIGNMENT)
            top = max(scratch + buffers.way.scratch_bytes, first + buffers.first + buffers.way.overread)
            scratch = scratch if buffers.way.scratch_bytes else -1
            if not buffers.first:
                first = -1
            found.append(Place(first, other, other, scratch, _up(top), False, False, True, False))
    return found

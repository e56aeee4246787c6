"""The masks and negative positions of a STRIDED_SLICE, resolved into explicit ranges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ofa_mcu.space.shapes import Shape

__all__ = ["resolve_slice"]


def resolve_slice(
    shape: Shape,
    begin: Sequence[int],
    end: Sequence[int],
    strides: Sequence[int],
    begin_mask: int,
    end_mask: int,
    shrink_mask: int,
) -> dict[str, Any]:
    """Options of a StridedSlice: `begin`, `counts`, `strides`, `dropped`; a count of 0 means an empty range.

    All sequences are as long as the shape and no stride is 0. Bit i of a mask concerns axis i: range from the very
    start, up to the very end, or one element whose axis is dropped.
    """
    starts, counts, steps, dropped = [], [], [], []
    for axis, (extent, start, stop, step) in enumerate(zip(shape, begin, end, strides, strict=True)):
        first = _clamped(start, extent, step, bool(begin_mask >> axis & 1), step < 0)
        if shrink_mask >> axis & 1:
            starts.append(first)
            counts.append(1)
            steps.append(1)
            dropped.append(axis)
            continue
        last = _clamped(stop, extent, step, bool(end_mask >> axis & 1), step > 0)
        count = max(0, -((first - last) // step)) if step > 0 else max(0, -((last - first) // -step))
        starts.append(first)
        counts.append(count)
        steps.append(step if count > 1 else 1)
    return {"begin": tuple(starts), "counts": tuple(counts), "strides": tuple(steps), "dropped": tuple(dropped)}


def _clamped(position: int, extent: int, step: int, masked: bool, high: bool) -> int:
    """A position within [0, extent] for steps forward, [-1, extent - 1] backward; masked: the end `high` or low."""
    lowest, highest = (0, extent) if step > 0 else (-1, extent - 1)
    if masked:
        return highest if high else lowest
    return min(max(position + extent if position < 0 else position, lowest), highest)

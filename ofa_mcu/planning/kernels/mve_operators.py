"""Pools, means and functions of one code on cores with M-profile vectors."""

from __future__ import annotations

from functools import lru_cache
from math import prod

from ofa_mcu.planning.kernels.base import Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.elementwise import library
from ofa_mcu.planning.kernels.mve_dots import VECTOR
from ofa_mcu.planning.kernels.pools import (
    MEAN_BYTES,
    POOL_BYTES,
    channels_last,
    mean_loops,
    pool_axes,
    pool_gap,
    pool_spans,
)
from ofa_mcu.space.shapes import (
    AveragePool2D,
    HardSwish,
    Logistic,
    MaxPool2D,
    Mean,
    Operator,
    Pool2D,
    Quantize,
    Relu,
    Relu6,
)

__all__ = ["MVE_OPERATORS"]

_HALF = VECTOR // 2
_MOST_SUMMED = 255  # codes that 16 bits hold the sum of
_TABLE_BYTES = 256


def _pool(view: LayerView, kind: type[Pool2D], kernel: str) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, kind):
        return ()
    axes = pool_axes(view, operator)
    rows, columns = ([end - first for first, end in pool_spans(axis)] for axis in axes)
    channels = view.target[3]
    pixels, lines, taps = len(rows) * len(columns), sum(rows) * len(columns), sum(rows) * sum(columns)
    whole, rest = divmod(channels, VECTOR)
    counts: tuple[int, ...] = (1, len(rows), pixels)
    if kind is AveragePool2D:
        if max(rows) * max(columns) > _MOST_SUMMED:
            return ()
        parts, unit = [whole, -(-rest // _HALF)], _HALF
    else:
        parts, unit = [whole + (rest > 0)], VECTOR
    for groups in parts:
        counts += (pixels * (groups > 0), pixels * groups, lines * groups, taps * groups)
    gap = pool_gap(*axes, channels)
    return (Way(kernel, "", counts, POOL_BYTES, library(kernel), overread=-channels % unit, forward_gap=gap),)


def _average(view: LayerView) -> tuple[Way, ...]:
    return _pool(view, AveragePool2D, "ofa_mve_average_pool")


def _largest(view: LayerView) -> tuple[Way, ...]:
    return _pool(view, MaxPool2D, "ofa_mve_max_pool")


@lru_cache(maxsize=4096)
def _mean_way(channels: int, pixels: int) -> Way:
    groups = -(-channels // _HALF)
    counts = (1, groups, groups * -(-pixels // _MOST_SUMMED), groups * pixels)
    return Way(
        "ofa_mve_mean",
        "",
        counts,
        MEAN_BYTES,
        library("ofa_mve_mean"),
        overread=-channels % _HALF,
        forward_gap=0,
    )


def _mean(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    loops = mean_loops(view.source, operator.axes) if isinstance(operator, Mean) else None
    if loops is None or not channels_last(loops):
        return ()
    return (_mean_way(loops[0][1][0], loops[1][1][0]),)


_BY_TABLE: tuple[type[Operator], ...] = (Logistic, HardSwish, Relu, Relu6, Quantize)


def _table(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, _BY_TABLE) or operator.inputs[0] in view.structure.floats:
        return ()
    count = prod(view.target)
    counts = (1, count // VECTOR, int(count % VECTOR > 0))
    return (Way("ofa_mve_table", "", counts, _TABLE_BYTES, library("ofa_mve_table"), forward_gap=0),)


_FUNCTION = ("functions",)
_POOL = ("calls", "rows", "pixels")


def _groups(name: str) -> tuple[str, ...]:
    return f"pixels with {name}", name, f"rows of {name}", f"taps of {name}"


MVE_OPERATORS: tuple[Kernel, ...] = (
    Kernel(
        "ofa_mve_average_pool",
        Flavour.MVE,
        (*_POOL, *_groups("sixteens"), *_groups("eights")),
        _average,
        {"ofa_mve_average_pool": _FUNCTION},
    ),
    Kernel("ofa_mve_max_pool", Flavour.MVE, (*_POOL, *_groups("sixteens")), _largest, {"ofa_mve_max_pool": _FUNCTION}),
    Kernel("ofa_mve_mean", Flavour.MVE, ("calls", "groups", "parts", "taps"), _mean, {"ofa_mve_mean": _FUNCTION}),
    Kernel("ofa_mve_table", Flavour.MVE, ("calls", "sixteens", "rests"), _table, {"ofa_mve_table": _FUNCTION}),
)
"""What needs no weights beside sums."""

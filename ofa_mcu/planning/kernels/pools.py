"""Averages and largest codes of windows, and means over axes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ofa_mcu.planning.kernels.base import Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.elementwise import library
from ofa_mcu.planning.kernels.elementwise_loops import strides
from ofa_mcu.space.shapes import AveragePool2D, MaxPool2D, Mean, Pool2D, Shape

__all__ = [
    "MEAN_BYTES",
    "POOL_BYTES",
    "POOL_KERNELS",
    "MeanLoops",
    "channels_last",
    "mean_loops",
    "pool_axes",
    "pool_gap",
    "pool_spans",
]

POOL_BYTES, MEAN_BYTES, _MEAN_AXES_BYTES = 24, 16, 44
_LARGEST_RECIPROCAL = 255  # as in the C: windows above it are divided
_LARGEST_ROW = 255  # codes a halfword can sum up
_GROUP = 4

_Axis = tuple[int, int, int, int, int]  # size of the input, of the output, kernel, stride, padding before


def pool_spans(axis: _Axis) -> list[tuple[int, int]]:
    """(first, end) input index of the window at every output position."""
    size, out, kernel, stride, before = axis
    starts = range(-before, out * stride - before, stride)
    return [(max(start, 0), min(start + kernel, size)) for start in starts]


@lru_cache(maxsize=4096)
def pool_gap(rows: _Axis, columns: _Axis, channels: int) -> int:
    """How far above the output's start the input must start, so that no code is written over one still to be read.

    Output pixels follow each other; a pixel's channels do, too, each read from the whole window before it is written.
    """
    top = np.array([first for first, _ in pool_spans(rows)], np.int64)
    left = np.array([first for first, _ in pool_spans(columns)], np.int64)
    lowest = ((top[:, None] * columns[0] + left[None, :]) * channels).ravel()
    writes = np.arange(lowest.size, dtype=np.int64) * channels
    gap = int((writes - lowest).max())
    if lowest.size > 1:
        later = np.minimum.accumulate(lowest[::-1])[::-1]
        gap = max(gap, int((writes[1:] - later[1:]).max()))
    return max(gap, 0)


@lru_cache(maxsize=4096)
def _window_counts(rows: _Axis, columns: _Axis) -> tuple[int, ...]:
    """Rows of windows, taps; rows with pairs of taps, pairs, single taps; pixels averaged by division; flushes."""
    ys = [end - first for first, end in pool_spans(rows)]
    xs = [end - first for first, end in pool_spans(columns)]
    paired, pairs, singles = sum(x > 1 for x in xs), sum(x // 2 for x in xs), sum(x % 2 for x in xs)
    divided = flushes = 0
    if max(ys) * max(xs) > _LARGEST_RECIPROCAL:
        divided = sum(y * x > _LARGEST_RECIPROCAL for y in ys for x in xs)
        flushes = sum((y - 1) // (_LARGEST_ROW // x) for y in ys for x in xs if x <= _LARGEST_ROW)
    total = sum(ys)
    return total * len(xs), total * sum(xs), total * paired, total * pairs, total * singles, divided, flushes


def pool_axes(view: LayerView, operator: Pool2D) -> tuple[_Axis, _Axis]:
    """Rows and columns of a pool."""
    source, target = view.source, view.target
    return (
        (source[1], target[1], operator.kernel[0], operator.stride[0], operator.padding.top),
        (source[2], target[2], operator.kernel[1], operator.stride[1], operator.padding.left),
    )


def _pool_way(view: LayerView, operator: Pool2D, kernel: str, group: int) -> tuple[Way, ...]:
    rows, columns = pool_axes(view, operator)
    channels = view.target[3]
    window_rows, taps, paired, pairs, singles, divided, flushes = _window_counts(rows, columns)
    pixels, groups = view.target[1] * view.target[2], channels // group
    counts: tuple[int, ...] = (1, view.target[1], pixels, pixels * groups, window_rows * groups)
    if kernel == "ofa_dsp_average_pool":
        counts += (paired * groups, pairs * groups, singles * groups, divided * channels, flushes * groups)
    elif kernel == "ofa_average_pool":
        counts += (taps * groups, divided * channels)
    else:
        counts += (taps * groups,)
    gap = pool_gap(rows, columns, channels)
    return (Way(kernel, "", counts, POOL_BYTES, library(kernel), forward_gap=gap),)


def _average(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    return _pool_way(view, operator, "ofa_average_pool", 1) if isinstance(operator, AveragePool2D) else ()


def _largest(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    return _pool_way(view, operator, "ofa_max_pool", 1) if isinstance(operator, MaxPool2D) else ()


def _dsp_average(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, AveragePool2D) or view.target[3] % _GROUP:
        return ()
    if min(operator.kernel[1], view.source[2]) > _LARGEST_ROW:
        return ()
    return _pool_way(view, operator, "ofa_dsp_average_pool", _GROUP)


def _dsp_largest(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, MaxPool2D) or view.target[3] % _GROUP:
        return ()
    return _pool_way(view, operator, "ofa_dsp_max_pool", _GROUP)


MeanLoops = tuple[tuple[tuple[int, int], tuple[int, int]], tuple[tuple[int, int], tuple[int, int]]]
"""((count, step), (count, step)) of what is kept, the inner loop last; and of what is summed."""


@lru_cache(maxsize=4096)
def mean_loops(shape: Shape, axes: tuple[int, ...]) -> MeanLoops | None:
    """Loops over an input of that shape, None where they are too many."""
    groups: list[tuple[bool, int, int]] = []
    for axis, (count, step) in enumerate(zip(shape, strides(shape), strict=True)):
        if count == 1:
            continue
        if groups and groups[-1][0] == (axis in axes):
            groups[-1] = (groups[-1][0], groups[-1][1] * count, step)
        else:
            groups.append((axis in axes, count, step))
    kept = [(count, step) for summed, count, step in groups if not summed]
    gone = [(count, step) for summed, count, step in groups if summed]
    if len(kept) > 2 or len(gone) > 2:
        return None
    one = (1, 0)
    outer, inner = [one] * (2 - len(kept)) + kept
    outer_sum, inner_sum = [one] * (2 - len(gone)) + gone
    return (outer, inner), (outer_sum, inner_sum)


def channels_last(loops: MeanLoops) -> bool:
    """Whether what is summed comes first and what is kept comes last."""
    (outer, inner), (outer_sum, inner_sum) = loops
    return outer[0] == 1 and outer_sum[0] == 1 and inner[1] <= 1 and inner_sum[1] in (0, inner[0])


def _mean(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    loops = mean_loops(view.source, operator.axes) if isinstance(operator, Mean) else None
    if loops is None or not channels_last(loops):
        return ()
    channels, pixels = loops[0][1][0], loops[1][1][0]
    # The mean of one pixel may be scaled up, which takes the other branch of the scaling.
    counts = (1, *((channels, 0) if pixels > 1 else (0, channels)), pixels * channels)
    return (Way("ofa_mean", "", counts, MEAN_BYTES, library("ofa_mean"), forward_gap=0),)


def _dsp_mean(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    loops = mean_loops(view.source, operator.axes) if isinstance(operator, Mean) else None
    if loops is None or not channels_last(loops):
        return ()
    channels, pixels = loops[0][1][0], loops[1][1][0]
    if channels % _GROUP or pixels == 1:
        return ()
    groups = channels // _GROUP
    parts, last = divmod(pixels, _LARGEST_ROW)
    pairs = parts * (_LARGEST_ROW // 2) + last // 2
    singles = parts * (_LARGEST_ROW % 2) + last % 2
    counts = (1, groups, groups * (parts + (last > 0)), groups * pairs, groups * singles)
    return (Way("ofa_dsp_mean", "", counts, MEAN_BYTES, library("ofa_dsp_mean"), forward_gap=0),)


def _mean_axes(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    loops = mean_loops(view.source, operator.axes) if isinstance(operator, Mean) else None
    if loops is None or channels_last(loops):
        return ()
    ((outer, _), (inner, _)), ((rows, _), (taps, _)) = loops
    codes = outer * inner
    counts = (1, outer, codes, codes * rows, codes * rows * taps)
    return (Way("ofa_mean_axes", "", counts, _MEAN_AXES_BYTES, library("ofa_mean_axes")),)


_FUNCTION = ("functions",)
_POOL = ("calls", "rows", "pixels", "groups", "window_rows")

POOL_KERNELS: tuple[Kernel, ...] = (
    Kernel(
        "ofa_dsp_average_pool",
        Flavour.DSP,
        (*_POOL, "paired_rows", "pairs", "singles", "divided_codes", "flushes"),
        _dsp_average,
        {"ofa_dsp_average_pool": _FUNCTION},
    ),
    Kernel("ofa_dsp_max_pool", Flavour.DSP, (*_POOL, "taps"), _dsp_largest, {"ofa_dsp_max_pool": _FUNCTION}),
    Kernel(
        "ofa_dsp_mean",
        Flavour.DSP,
        ("calls", "groups", "parts", "pairs", "singles"),
        _dsp_mean,
        {"ofa_dsp_mean": _FUNCTION},
    ),
    Kernel(
        "ofa_average_pool",
        Flavour.PORTABLE,
        (*_POOL, "taps", "divided_codes"),
        _average,
        {"ofa_average_pool": _FUNCTION},
    ),
    Kernel("ofa_max_pool", Flavour.PORTABLE, (*_POOL, "taps"), _largest, {"ofa_max_pool": _FUNCTION}),
    Kernel(
        "ofa_mean",
        Flavour.PORTABLE,
        ("calls", "channels", "single_pixel_channels", "taps"),
        _mean,
        {"ofa_mean": _FUNCTION},
    ),
    Kernel(
        "ofa_mean_axes",
        Flavour.PORTABLE,
        ("calls", "outer", "codes", "summed_rows", "taps"),
        _mean_axes,
        {"ofa_mean_axes": _FUNCTION},
    ),
)
"""What sums up or compares windows."""

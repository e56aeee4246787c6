"""The loops around the layers of a cascade: what they count."""

from __future__ import annotations

from ofa_mcu.planning.chains import Rolling, Stripes
from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel

__all__ = ["CASCADE", "CASCADE_KERNELS", "library_of", "loop_counts"]

_FEATURES = (
    *("calls", "stripes", "runs", "rows", "fills", "fill_sixteens", "fill_ones"),
    *("carries", "carry_sixteens", "carry_fours"),
)
"""Runs of the depthwise layer, of the first one, rows that come into the first one's window; fills and copies."""

CASCADE = Kernel(
    "ofa_cascade",
    Flavour.PORTABLE,
    _FEATURES,
    lambda view: (),
    {"ofa_carry": ("functions",), "ofa_fill": ("functions",)},
)
"""Its ways are those of `ofa_mcu.planning.cascades`, for they are made of other kernels' ways."""

CASCADE_KERNELS = (CASCADE,)


def loop_counts(stripes: Stripes) -> tuple[float, ...]:
    """Values of the features."""
    fills: list[int] = []
    carries: list[int] = []
    buffers = [stripes.window] if stripes.entry is None else [stripes.window, stripes.entry]
    for buffer in buffers:
        fills += [buffer.pad_top * buffer.row_bytes] * (buffer.pad_top > 0)
        fills += [buffer.fresh * buffer.row_bytes] * buffer.missing
        carries += [buffer.kept] * (buffer.runs if buffer.kept else 0)
    came = 0
    if stripes.entry is not None:
        came = stripes.entry.deliveries + stripes.entry.missing
        carries += [stripes.entry.fresh * stripes.entry.row_bytes] * stripes.entry.deliveries
    return (
        1,
        stripes.window.runs,
        stripes.window.deliveries + stripes.window.missing,
        came,
        len(fills),
        sum(size // 16 for size in fills),
        sum(size % 16 for size in fills),
        len(carries),
        sum(size // 16 for size in carries),
        sum(size % 16 // 4 for size in carries),
    )


def library_of(stripes: Stripes) -> tuple[Code, ...]:
    """Functions of the library that the loops call."""
    found = [Code("ofa_carry")] * (stripes.entry is not None or stripes.window.kept > 0)
    return (*found, *[Code("ofa_fill")] * any(map(_fills, (stripes.window, stripes.entry))))


def _fills(buffer: Rolling | None) -> bool:
    return buffer is not None and bool(buffer.pad_top or buffer.missing)

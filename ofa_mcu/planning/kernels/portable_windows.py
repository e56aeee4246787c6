"""How the windows of a layer meet its input, and how far its output may run ahead over it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ofa_mcu.planning.kernels.base import LayerView
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D

__all__ = [
    "MOST_TAPS",
    "ROW_CHANNELS",
    "Axis",
    "Patches",
    "Runs",
    "Windows",
    "block_gap",
    "conv_gap",
    "depthwise_gap",
    "fits_descriptors",
    "patches",
    "pitch_of",
    "product_gap",
    "windows_of",
]

MOST_TAPS = 32768
"""With which sums stay in 32 bits whatever the order of their terms."""

ROW_CHANNELS = 16
"""Sums of a row that become codes in one call."""

_LARGEST_EXTENT = 65535


@dataclass(frozen=True)
class Axis:
    """Windows along one axis: elements of input and output, taps of a window, and how windows move."""

    size: int
    out: int
    kernel: int
    stride: int
    dilation: int
    before: int

    @property
    def extent(self) -> int:
        """Elements from the first tap to the last."""
        return (self.kernel - 1) * self.dilation + 1

    def inside(self, position: int) -> tuple[int, int]:
        """First tap of window number `position` inside the input and how many follow it inside, itself included."""
        start = position * self.stride - self.before
        first = min(max(-(start // self.dilation), 0), self.kernel)
        last = min(max(-(-(self.size - start) // self.dilation), first), self.kernel)
        return first, last - first


@dataclass(frozen=True)
class Windows:
    """Geometry of a convolution: rows, columns, channels of the input and of the output."""

    rows: Axis
    columns: Axis
    depth: int
    channels: int


def windows_of(view: LayerView) -> Windows:
    """Geometry of a Conv2D or DepthwiseConv2D."""
    operator = view.operator
    assert isinstance(operator, Conv2D | DepthwiseConv2D)
    pad, kernel, stride, dilation = operator.padding, operator.kernel, operator.stride, operator.dilation
    _, height, width, depth = view.source
    _, out_height, out_width, channels = view.target
    return Windows(
        Axis(height, out_height, kernel[0], stride[0], dilation[0], pad.top),
        Axis(width, out_width, kernel[1], stride[1], dilation[1], pad.left),
        depth,
        channels,
    )


def pitch_of(windows: Windows) -> int:
    """Columns that the windows of a depthwise layer pass, taken in groups of four."""
    columns = windows.columns
    return (-(-columns.out // 4) * 4 - 1) * columns.stride + columns.extent


def fits_descriptors(windows: Windows) -> bool:
    """Whether descriptors can hold every extent."""
    both = (windows.rows, windows.columns)
    extents = [value for axis in both for value in (axis.size, axis.out, axis.kernel, axis.stride, axis.dilation)]
    return max(*extents, windows.depth, windows.channels, pitch_of(windows)) <= _LARGEST_EXTENT


@dataclass
class Runs:
    """Runs of taps copied one behind the other, and their steps of four taps and of one."""

    gathers: int = 0
    quads: int = 0
    singles: int = 0


@dataclass(frozen=True)
class Patches:
    """What putting together the windows of a layer takes, summed over all of them.

    `rows`: rows of windows inside the input; `apart`: their elements, where these do not lie side by side. `plain`,
    `alternate`: runs inside it, copied to every place or to every second. `fills`, `filled`: runs of taps outside, and
    their taps.
    """

    rows: int
    apart: int
    plain: Runs
    alternate: Runs
    fills: int
    filled: int


@lru_cache(maxsize=4096)
def patches(windows: Windows, pairs: bool) -> Patches:
    """The numbers of a layer, gathered window by window or two neighbours at a time."""
    rows, columns, depth = windows.rows, windows.columns, windows.depth
    inside = sum(rows.inside(y)[1] for y in range(rows.out))
    blank = rows.out * rows.kernel - inside
    paired = columns.out // 2 * 2 if pairs else 0
    plain, alternate = Runs(), Runs()
    fills = filled = 0
    for x in range(columns.out):
        count = columns.inside(x)[1]
        outside = columns.kernel - count
        sums = alternate if x < paired else plain
        if columns.dilation == 1:
            runs, taps = int(count > 0), count * depth
            fills += 2 if outside else 0
        else:
            runs, taps = count, depth
            fills += outside
        sums.gathers += inside * runs
        sums.quads += inside * runs * (taps // 4)
        sums.singles += inside * runs * (taps % 4)
        filled += outside * depth
    outside = blank * columns.out
    return Patches(
        rows=inside * columns.out,
        apart=inside * columns.out * columns.kernel * (columns.dilation > 1),
        plain=plain,
        alternate=alternate,
        fills=inside * fills + outside,
        filled=inside * filled + outside * columns.kernel * depth,
    )


def product_gap(rows: int, taps: int, outputs: int, step: int, copied: bool) -> int:
    """How many bytes the input of a matrix product has to start above its output, rows taken `step` at a time.

    The same number holds for their ends where rows are taken from the last to the first. Rows that are not copied are
    read again for every `ROW_CHANNELS` outputs.
    """
    growth = outputs - taps
    if not copied:
        return (outputs - 1) // ROW_CHANNELS * ROW_CHANNELS + max(0, (rows - 1) * growth)
    return max(0, (rows - 1) // step * step * growth)


@lru_cache(maxsize=4096)
def conv_gap(windows: Windows, step: int) -> int:
    """The same for a convolution whose windows are gathered `step` at a time before their outputs are written."""
    rows, columns = windows.rows, windows.columns
    pitch = columns.size * windows.depth
    # What is written gets ahead of what is read until windows leave the first column, and perhaps at the end.
    kept = columns.before // columns.stride // step * step
    places = {kept, kept + step, (columns.out - 1) // step * step}
    gap = 0
    for y in range(rows.out):
        top = min(max(y * rows.stride - rows.before, 0), rows.size - 1) * pitch
        for x in places:
            if 0 < x < columns.out:
                left = min(max(x * columns.stride - columns.before, 0), columns.size - 1) * windows.depth
                gap = max(gap, (y * columns.out + x) * windows.channels - top - left)
        if y > 0:
            gap = max(gap, y * columns.out * windows.channels - top)
    return gap


@lru_cache(maxsize=4096)
def block_gap(windows: Windows, block: int) -> int:
    """The same where windows are gathered `block` at a time from one row of outputs on to the next."""
    rows, columns = windows.rows, windows.columns
    starts = np.arange(block, rows.out * columns.out, block)
    if not starts.size:
        return 0
    tops, lefts = (
        np.clip(np.arange(axis.out + 1) * axis.stride - axis.before, 0, axis.size - 1) for axis in (rows, columns)
    )
    tops *= columns.size * windows.depth
    tops[-1] = 1 << 40  # nothing is read there
    y, x = np.divmod(starts, columns.out)
    needed = np.minimum(tops[y] + lefts[x] * windows.depth, tops[y + 1])
    return max(0, int((starts * windows.channels - needed).max()))


@lru_cache(maxsize=4096)
def depthwise_gap(windows: Windows) -> int:
    """The same where an output row is written after all rows of its windows were read."""
    rows, columns = windows.rows, windows.columns
    pitch = columns.size * windows.depth
    gap = 0
    for y in range(rows.out - 1):
        read = max(y * rows.stride - rows.before + rows.extent, 0)
        if read < rows.size:
            gap = max(gap, (y + 1) * columns.out * windows.channels - read * pitch)
    return gap

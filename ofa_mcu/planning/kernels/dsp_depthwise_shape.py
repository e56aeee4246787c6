"""How the DSP depthwise kernel lays a layer out, from shapes alone.

Four channels at a time are taken apart into planes of halfwords, two pixels in a word, with the padding around them.
Taps that meet nothing but padding are left out; columns one pixel wide are treated as rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from ofa_mcu.planning.kernels.base import LayerView
from ofa_mcu.space.shapes import DepthwiseConv2D

__all__ = ["GROUP", "Planes", "planes_of"]

GROUP = 4
"""Channels that are worked on together."""

_LARGEST_KERNEL = 9
_LARGEST_EXTENT = 4096


@dataclass(frozen=True)
class _Axis:
    """One direction: extents of input and output, taps that matter and the first of these, stride, padding before."""

    size: int
    outputs: int
    taps: int
    first_tap: int
    stride: int
    before: int

    @property
    def needed(self) -> int:
        """Pixels that the outputs reach over, padding included."""
        return (self.outputs - 1) * self.stride + self.taps

    @property
    def used(self) -> int:
        """Pixels of the input that the outputs depend on."""
        return min(self.size, self.needed - self.before)


@lru_cache(4096)
def _axis(size: int, outputs: int, kernel: int, stride: int, before: int) -> _Axis | None:
    """None where the kernel cannot run such a direction."""
    met = [tap for tap in range(kernel) if any(0 <= o * stride - before + tap < size for o in range(outputs))]
    if not met or before >= kernel or max(size, outputs) > _LARGEST_EXTENT:
        return None
    first, taps = met[0], met[-1] - met[0] + 1
    axis = _Axis(size, outputs, taps, first, stride if outputs > 1 else 1, before - first)
    return axis if taps <= _LARGEST_KERNEL and axis.used > 0 and axis.before >= 0 else None


@dataclass(frozen=True)
class Planes:
    """A depthwise layer as rows of pixels; `transposed` where its rows are the columns of the tensors."""

    rows: _Axis
    columns: _Axis
    channels: int
    transposed: bool

    @property
    def kernel(self) -> tuple[int, int]:
        """Rows and columns of taps that matter."""
        return self.rows.taps, self.columns.taps

    @property
    def stride(self) -> tuple[int, int]:
        """Down the rows, along a row."""
        return self.rows.stride, self.columns.stride

    @cached_property
    def row_words(self) -> int:
        """Words of a padded row of one channel."""
        return (self.columns.needed + 1) // 2

    @property
    def groups(self) -> int:
        """Groups of four channels, the last one perhaps with fewer."""
        return -(-self.channels // GROUP)

    @property
    def overread(self) -> int:
        """Bytes past the input that are read with the last pixel."""
        return self.groups * GROUP - self.channels

    def plane_words(self, strip: int) -> int:
        """Words of one channel's plane for so many rows of outputs."""
        return ((strip - 1) * self.rows.stride + self.rows.taps) * self.row_words

    def strips(self, strip: int) -> list[tuple[int, int]]:
        """Of every strip of so many rows of outputs: its rows, and the rows of the input it is the first to read."""
        found = []
        done, read = 0, 0
        while done < self.rows.outputs:
            count = min(strip, self.rows.outputs - done)
            done += count
            reach = min((done - 1) * self.rows.stride + self.rows.taps - self.rows.before, self.rows.used)
            found.append((count, max(reach - read, 0)))
            read = max(reach, read)
        return found

    def lead(self, strip: int) -> int:
        """Pixels by which the outputs written get ahead of the pixels read, at most; 0 where they never do."""
        written, read, ahead = 0, 0, 0
        for count, rows in self.strips(strip)[:-1]:
            written += count * self.columns.outputs
            read += rows * self.columns.size
            ahead = max(ahead, written - read)
        return ahead


def planes_of(view: LayerView) -> Planes | None:
    """The layer's planes; None where the kernel cannot run it."""
    operator = view.operator
    if not isinstance(operator, DepthwiseConv2D) or operator.dilation != (1, 1) or operator.depth_multiplier != 1:
        return None
    _, height, width, channels = view.source
    _, out_height, out_width, _ = view.target
    padding = operator.padding
    rows = _axis(height, out_height, operator.kernel[0], operator.stride[0], padding.top)
    columns = _axis(width, out_width, operator.kernel[1], operator.stride[1], padding.left)
    if rows is None or columns is None:
        return None
    transposed = columns.size == 1 and columns.outputs == 1 and rows.size > 1
    if transposed:
        rows, columns = columns, rows
    if columns.stride > 2 or rows.stride > rows.taps:
        return None
    return Planes(rows, columns, channels, transposed)

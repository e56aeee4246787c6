"""How the convolutions of DSP cores see a window: runs of codes, pairs of taps, padded bands of rows.

A window is made of runs of codes that lie side by side in the input: the rows of its kernel, or with a dilated width
the pixels of these. Codes are widened by words of four; what a run leaves over is paired with what others leave over,
or the run is filled up with taps of weight zero.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ofa_mcu.space.shapes import Conv2D, ConvAdd, Shape, window_extent

__all__ = ["PIXELS", "Geometry", "Taps", "band_gap", "direct_gap", "geometry", "taps_of"]

PIXELS = 4
"""Pixels computed side by side."""

_MOST_LEFT_OVER = 32
_UNROLLED_WORDS = 8
_UNROLLED_WORDS_OF_ROW = 4


@dataclass(frozen=True)
class Taps:
    """`rows` times `columns` runs of `run` codes; of each, `words` words of four are widened and `left` codes are left.

    Columns lie `column` bytes apart.
    """

    rows: int
    columns: int
    column: int
    run: int
    words: int
    left: int

    @property
    def runs(self) -> int:
        """Runs of a window."""
        return self.rows * self.columns

    @property
    def left_pairs(self) -> int:
        """Pairs of codes that no word holds, the last of one code where they are odd."""
        return -(-self.runs * self.left // 2)

    @property
    def pairs(self) -> int:
        """Pairs of taps, those of weight zero included."""
        return 2 * self.runs * self.words + self.left_pairs

    @property
    def overread(self) -> int:
        """Codes behind the last run that are read."""
        return max(0, 4 * self.words - self.run)

    @property
    def unrolled_rows(self) -> bool:
        """Whether unrolled functions gather the window without any loop."""
        return self.columns == 1 and self.rows * self.words <= _UNROLLED_WORDS

    @property
    def unrolled_words(self) -> bool:
        """Whether they gather it in a loop over rows alone."""
        return self.columns == 1 and not self.unrolled_rows and self.words <= _UNROLLED_WORDS_OF_ROW

    def order(self) -> list[tuple[int, int]]:
        """Numbers of the taps of every pair, in the order of the weights in TFLite; -1 is a tap of weight zero."""
        pairs: list[tuple[int, int]] = []
        for run in range(self.runs):
            for word in range(self.words):
                taps = [run * self.run + 4 * word + i if 4 * word + i < self.run else -1 for i in range(4)]
                pairs += [(taps[0], taps[2]), (taps[1], taps[3])]
        left = [(run + 1) * self.run - self.left + i for run in range(self.runs) for i in range(self.left)]
        left += [-1] * (len(left) % 2)
        return pairs + list(zip(left[::2], left[1::2], strict=True))


@dataclass(frozen=True)
class Geometry:
    """Extents of a convolution; `extent` is the window's, dilation included."""

    height: int
    width: int
    depth: int
    output_height: int
    output_width: int
    outputs: int
    kernel: tuple[int, int]
    dilation: tuple[int, int]
    stride: tuple[int, int]
    pad_top: int
    pad_left: int

    @property
    def extent(self) -> tuple[int, int]:
        """Height and width of a window in the input."""
        return (
            window_extent(self.kernel[0], self.dilation[0]),
            window_extent(self.kernel[1], self.dilation[1]),
        )

    @property
    def pixels(self) -> int:
        """Pixels of the output."""
        return self.output_height * self.output_width

    @property
    def in_a_row(self) -> Geometry:
        """The same pixels side by side, for windows of one pixel."""
        return replace(self, height=1, width=self.pixels, output_height=1, output_width=self.pixels)

    @property
    def patch_bytes(self) -> int:
        """Windows of four pixels put together."""
        return self.kernel[0] * (3 * self.stride[1] + self.extent[1]) * self.depth + 4

    @property
    def band_row(self) -> int:
        """Bytes of a padded row."""
        return ((self.output_width - 1) * self.stride[1] + self.extent[1]) * self.depth

    def band_rows(self, band: int) -> int:
        """Padded rows that `band` rows of the output need."""
        return (band - 1) * self.stride[0] + self.extent[0]

    def inside(self, axis: int) -> tuple[int, int]:
        """First and last output row or column, plus one, whose window lies within the input."""
        size = (self.height, self.width)[axis]
        count = (self.output_height, self.output_width)[axis]
        pad = (self.pad_top, self.pad_left)[axis]
        first = -(-pad // self.stride[axis])
        last = (size + pad - self.extent[axis]) // self.stride[axis] + 1
        return min(first, count), max(min(first, count), min(last, count))


def geometry(operator: Conv2D | ConvAdd, source: Shape, target: Shape) -> Geometry:
    """Extents of the layer with inputs and outputs of these shapes."""
    _, height, width, depth = source
    _, output_height, output_width, outputs = target
    return Geometry(
        height=height,
        width=width,
        depth=depth,
        output_height=output_height,
        output_width=output_width,
        outputs=outputs,
        kernel=operator.kernel,
        dilation=operator.dilation,
        stride=operator.stride,
        pad_top=operator.padding.top,
        pad_left=operator.padding.left,
    )


def taps_of(shape: Geometry, padded: bool) -> Taps:
    """The runs of a window; with `padded` all of them are filled up to words."""
    if shape.dilation[1] == 1 or shape.kernel[1] == 1:
        rows, columns, column, run = shape.kernel[0], 1, 0, shape.kernel[1] * shape.depth
    else:
        rows, columns, column, run = *shape.kernel, shape.dilation[1] * shape.depth, shape.depth
    words, left = divmod(run, 4)
    if left and (padded or left == 3 or rows * columns * left > _MOST_LEFT_OVER):
        words, left = words + 1, 0
    return Taps(rows, columns, column, run, words, left)


@lru_cache(4096)
def direct_gap(shape: Geometry) -> int:
    """Bytes that the input must start above the output where windows are read from the input.

    Once a block of pixels is written nobody may need what it covered: the blocks on its right, and all rows below.
    """
    row_bytes, input_bytes = shape.width * shape.depth, shape.height * shape.width * shape.depth
    tops = np.arange(shape.output_height + 1) * shape.stride[0] - shape.pad_top
    starts = np.clip(tops, 0, shape.height) * row_bytes
    starts[-1] = input_bytes
    starts[starts >= input_bytes] = 1 << 40  # nothing is read there
    ends = np.minimum(np.arange(PIXELS, shape.output_width + PIXELS, PIXELS), shape.output_width)
    columns = ends * shape.stride[1] - shape.pad_left
    right = np.where(columns < shape.width, np.maximum(columns, 0) * shape.depth, 1 << 40)
    right[-1] = 1 << 40
    written = (np.arange(shape.output_height)[:, None] * shape.output_width + ends) * shape.outputs
    needed = np.minimum(starts[:-1, None] + right, starts[1:, None])
    return max(0, int((written - needed).max()))


@lru_cache(4096)
def band_gap(shape: Geometry, band: int) -> int:
    """The same where rows are copied to a band of their own before they are needed."""
    row_bytes = shape.width * shape.depth
    used = min(shape.height, (shape.output_height - 1) * shape.stride[0] - shape.pad_top + shape.extent[0])
    gap = 0
    for first in range(0, shape.output_height, band):
        last = min(first + band, shape.output_height)
        read = (last - 1) * shape.stride[0] - shape.pad_top + shape.extent[0]
        following = max(read, last * shape.stride[0] - shape.pad_top, 0)
        if following < used:
            gap = max(gap, last * shape.output_width * shape.outputs - following * row_bytes)
    return gap

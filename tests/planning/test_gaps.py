"""How far apart input and output must lie, by formula and by following every read and every write."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from ofa_mcu.planning.kernels.base import LayerView
from ofa_mcu.planning.kernels.dsp_depthwise_shape import Planes, planes_of
from ofa_mcu.planning.kernels.dsp_matrix_layout import PIXELS, Geometry, band_gap, direct_gap
from ofa_mcu.planning.kernels.pools import pool_gap, pool_spans
from ofa_mcu.planning.kernels.portable_windows import (
    ROW_CHANNELS,
    Axis,
    Windows,
    block_gap,
    conv_gap,
    depthwise_gap,
    product_gap,
)
from ofa_mcu.space.shapes import DepthwiseConv2D, Padding, ShapeGraph

SEEDS = range(400)


class Order:
    """Follows a kernel that writes its output in order; `gap` keeps every read ahead of all writes before it."""

    def __init__(self) -> None:
        self.gap = 0
        self._written = 0

    def read(self, lowest: int) -> None:
        """From that byte of the input on."""
        if self._written:
            self.gap = max(self.gap, self._written - lowest)

    def write(self, end: int) -> None:
        """All bytes of the output below it."""
        self._written = max(self._written, end)


def axis(rng: np.random.Generator, *, dilated: bool) -> Axis:
    """Any geometry; one in ten has windows outside the input."""
    kernel, stride = int(rng.integers(1, 7)), int(rng.integers(1, 5))
    dilation = int(rng.integers(1, 4)) if dilated else 1
    extent = (kernel - 1) * dilation + 1
    before, after = (0, 0) if rng.random() < 0.3 else (int(n) for n in rng.integers(0, extent, 2))
    before += 2 * int(rng.random() < 0.1)
    size = max(1 if rng.random() < 0.2 else int(rng.integers(1, 13)), extent - before - after)
    return Axis(size, (size + before + after - extent) // stride + 1, kernel, stride, dilation, before)


def windows(seed: int, *, dilated: bool = False) -> Windows:
    rng = np.random.default_rng(seed)
    both = axis(rng, dilated=dilated), axis(rng, dilated=dilated)
    return Windows(*both, int(rng.integers(1, 9)), int(rng.integers(1, 9)))


def covers(around: Windows) -> bool:
    """Whether every window meets the input, and all of it is read."""
    return all(each.before < each.kernel and each.kernel >= each.stride for each in (around.rows, around.columns))


def first_inside(along: Axis, position: int) -> int | None:
    """The first row or column of the input that a window meets."""
    first, count = along.inside(position)
    return position * along.stride - along.before + first * along.dilation if count else None


def by_windows(around: Windows, step: int) -> int:
    """Windows of a row are read `step` at a time, then their outputs are written."""
    order = Order()
    rows, columns = around.rows, around.columns
    for y in range(rows.out):
        top = first_inside(rows, y)
        for start in range(0, columns.out, step):
            end = min(start + step, columns.out)
            for x in range(start, end):
                left = first_inside(columns, x)
                if top is not None and left is not None:
                    order.read((top * columns.size + left) * around.depth)
            order.write((y * columns.out + end) * around.channels)
    return order.gap


def by_rows(around: Windows, bands: Iterable[tuple[int, int]], *, skip: bool) -> int:
    """Rows are read once, before outputs of rows `first`..`end` - 1 are written; those no window needs, or not."""
    order = Order()
    rows, columns = around.rows, around.columns
    done = 0
    for first, end in bands:
        top = first * rows.stride - rows.before
        reach = min((end - 1) * rows.stride - rows.before + rows.extent, rows.size)
        for row in range(max(done, top, 0) if skip else done, reach):
            order.read(row * columns.size * around.depth)
        done = max(done, reach)
        order.write(end * columns.out * around.channels)
    return order.gap


@pytest.mark.parametrize("step", [1, 2])
def test_convolutions(step: int) -> None:
    for seed in SEEDS:
        around = windows(seed)
        needed, claimed = by_windows(around, step), conv_gap(around, step)
        inside = all(
            along.before < along.kernel and along.kernel >= along.stride for along in (around.rows, around.columns)
        )
        assert claimed == needed if inside else claimed >= needed, around
        spread = windows(seed, dilated=True)
        assert conv_gap(spread, step) >= by_windows(spread, step), spread


@pytest.mark.parametrize("block", [1, 4, 16])
def test_convolutions_by_blocks(block: int) -> None:
    for seed in SEEDS:
        around = windows(seed)
        rows, columns = around.rows, around.columns
        order = Order()
        for start in range(0, rows.out * columns.out, block):
            end = min(start + block, rows.out * columns.out)
            for pixel in range(start, end):
                top, left = first_inside(rows, pixel // columns.out), first_inside(columns, pixel % columns.out)
                if top is not None and left is not None:
                    order.read((top * columns.size + left) * around.depth)
            order.write(end * around.channels)
        claimed = block_gap(around, block)
        assert claimed == order.gap if covers(around) else claimed >= order.gap, around


def test_depthwise_layers() -> None:
    for seed in SEEDS:
        around = windows(seed, dilated=seed % 2 == 1)
        single = [(row, row + 1) for row in range(around.rows.out)]
        assert depthwise_gap(around) == by_rows(around, single, skip=False), around


def test_pools() -> None:
    for seed in SEEDS:
        around = windows(seed)
        if around.rows.before >= around.rows.kernel or around.columns.before >= around.columns.kernel:
            continue
        rows, columns = ((a.size, a.out, a.kernel, a.stride, a.before) for a in (around.rows, around.columns))
        order = Order()
        for y, (top, _) in enumerate(pool_spans(rows)):
            for x, (left, _) in enumerate(pool_spans(columns)):
                for channel in range(around.depth):
                    order.read((top * around.columns.size + left) * around.depth + channel)
                    order.write((y * around.columns.out + x) * around.depth + channel + 1)
        assert pool_gap(rows, columns, around.depth) == order.gap, around


@pytest.mark.parametrize("step", [1, 2])
def test_products(step: int) -> None:
    rng = np.random.default_rng(step)
    for _ in SEEDS:
        rows, taps, outputs = (int(n) for n in rng.integers(1, (9, 40, 50)))
        copied, in_place = Order(), Order()
        for first in range(0, rows, step):
            end = min(first + step, rows)
            # From the last row to the first it is the same, all places being counted from the ends.
            copied.read(first * taps)
            copied.write(end * outputs)
        for row in range(rows):
            for start in range(0, outputs, ROW_CHANNELS):
                in_place.read(row * taps)
                in_place.write(row * outputs + min(start + ROW_CHANNELS, outputs))
        assert product_gap(rows, taps, outputs, step, True) == copied.gap
        assert product_gap(rows, taps, outputs, 1, False) == in_place.gap


def geometry_of(around: Windows) -> Geometry:
    rows, columns = around.rows, around.columns
    return Geometry(
        height=rows.size,
        width=columns.size,
        depth=around.depth,
        output_height=rows.out,
        output_width=columns.out,
        outputs=around.channels,
        kernel=(rows.kernel, columns.kernel),
        dilation=(rows.dilation, columns.dilation),
        stride=(rows.stride, columns.stride),
        pad_top=rows.before,
        pad_left=columns.before,
    )


def test_dsp_convolutions_in_place() -> None:
    for seed in SEEDS:
        around = windows(seed)
        needed, claimed = by_windows(around, PIXELS), direct_gap(geometry_of(around))
        inside = all(
            along.before < along.kernel and along.kernel >= along.stride for along in (around.rows, around.columns)
        )
        assert claimed == needed if inside else claimed >= needed, around
        spread = windows(seed, dilated=True)
        assert direct_gap(geometry_of(spread)) >= by_windows(spread, PIXELS), spread


@pytest.mark.parametrize("band", [1, 3, 100])
def test_dsp_convolutions_by_bands(band: int) -> None:
    for seed in SEEDS:
        around = windows(seed, dilated=seed % 2 == 1)
        height = around.rows.out
        bands = [(first, min(first + band, height)) for first in range(0, height, band)]
        assert band_gap(geometry_of(around), band) == by_rows(around, bands, skip=True), around


def planes(around: Windows) -> Planes | None:
    rows, columns = around.rows, around.columns
    shapes = {
        "input": (1, rows.size, columns.size, around.depth),
        "output": (1, rows.out, columns.out, around.depth),
    }
    operator = DepthwiseConv2D(
        name="layer",
        inputs=("input",),
        output="output",
        kernel=(rows.kernel, columns.kernel),
        stride=(rows.stride, columns.stride),
        padding=Padding(rows.before, 0, columns.before, 0),
    )
    return planes_of(LayerView(ShapeGraph("layer", shapes, (operator,), ("input",), ("output",)), operator))


@pytest.mark.parametrize("strip", [1, 2, 4])
def test_dsp_depthwise_layers(strip: int) -> None:
    tried = 0
    for seed in SEEDS:
        around = windows(seed)
        around = Windows(around.rows, around.columns, around.depth, around.depth)
        found = planes(around)
        if found is None or found.transposed:
            continue
        tried += 1
        height = around.rows.out
        strips = [(first, min(first + strip, height)) for first in range(0, height, strip)]
        assert found.lead(strip) * around.depth >= by_rows(around, strips, skip=False), around
    assert tried > 20

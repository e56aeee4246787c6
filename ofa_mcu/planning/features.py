"""How often the loops of each C kernel turn for a layer: the numbers its instruction count is a weighted sum of.

No branch of the kernels depends on data, so the count of a layer is one weight per core and loop times these numbers.
They follow the loop structure of firmware/lib/ofa_kernels.
"""

from __future__ import annotations

from functools import lru_cache

from ofa_mcu.planning.layout import CHANNEL_BLOCK, layer_kernel
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, Operator, ShapeGraph

__all__ = ["FEATURES", "layer_features"]

_FILTER = ("calls", "pixels", "blocks", "channels")
"""Per layer, per output pixel, per output pixel and block of four channels, per output element."""

_DOT = ("quads", "singles", "blocks_with_quads", "blocks_with_singles")
"""Steps of four taps and of one tap of the dot product of a block, and how often it has any of them."""

_PADDING = ("padded_blocks", "padding_rows", "padding_runs", "padding_taps")
"""Blocks of windows that reach outside the input, rows of those, runs of taps outside, and those taps."""

FEATURES: dict[str, tuple[str, ...]] = {
    "ofa_pointwise": (*_FILTER, *_DOT),
    "ofa_conv2d": (*_FILTER, *_DOT, "rows", "window_rows", *_PADDING),
    "ofa_depthwise": (
        *("calls", "pixels", "full_blocks", "window_rows", "taps"),
        *("last_blocks", "last_channels", "last_window_rows", "last_taps"),
        "rows",
        *_PADDING,
    ),
    "ofa_fully_connected": ("calls", "blocks", "channels", *_DOT),
    "ofa_add": ("calls", "channels"),
    "ofa_mean": ("calls", "channels", "single_pixel_channels", "taps"),
}
"""Names of each kernel's numbers, in the order `layer_features` gives them."""


_Axis = tuple[int, int, int, int, int]  # size of the input, of the output, kernel, stride, padding before


def _spans(size: int, out: int, kernel: int, stride: int, before: int) -> tuple[tuple[int, int], ...]:
    """(first, last) tap inside the input at every output position along one axis."""
    starts = range(-before, out * stride - before, stride)
    return tuple((max(-start, 0), min(kernel, size - start)) for start in starts)


@lru_cache(maxsize=4096)
def _window(vertical: _Axis, horizontal: _Axis, depth: int) -> tuple[int, ...]:
    """Sums over all windows of a layer, see the names in `_convolution`."""
    _, out_height, kernel_height, _, _ = vertical
    _, out_width, kernel_width, _, _ = horizontal
    ys, xs = _spans(*vertical), _spans(*horizontal)
    rows = sum(last - first for first, last in ys)
    columns = sum(last - first for first, last in xs)
    quads = sum((last - first) * depth // 4 for first, last in xs)
    some_quads = sum((last - first) * depth >= 4 for first, last in xs)
    some_singles = sum((last - first) * depth % 4 > 0 for first, last in xs)
    inner_rows = sum(last - first == kernel_height for first, last in ys)
    inner_columns = sum(last - first == kernel_width for first, last in xs)
    padded = out_height * out_width - inner_rows * inner_columns
    padding_rows = rows * out_width - inner_rows * inner_columns * kernel_height
    # Runs of taps outside: before the first row inside, between rows where columns are missing, after the last.
    runs = 0
    for y_first, y_last in ys:
        for x_first, x_last in xs:
            runs += y_first > 0 or x_first > 0
            runs += (y_last - y_first - 1) * (x_last - x_first < kernel_width)
            runs += y_last < kernel_height or x_last < kernel_width
    taps = (out_height * out_width * kernel_height * kernel_width - rows * columns) * depth
    return (
        *(rows * quads, rows * (columns * depth - 4 * quads), rows * some_quads, rows * some_singles),
        *(rows * out_width, rows * columns),
        *(padded, padding_rows + padded, runs, taps),
    )


def _convolution(structure: ShapeGraph, operator: Conv2D | DepthwiseConv2D) -> tuple[float, ...]:
    _, height, width, depth = structure.shapes[operator.inputs[0]]
    _, out_height, out_width, channels = structure.shapes[operator.output]
    deep = isinstance(operator, Conv2D)
    pad = operator.padding
    rows = (height, out_height, operator.kernel[0], operator.stride[0], pad.top)
    columns = (width, out_width, operator.kernel[1], operator.stride[1], pad.left)
    quads, singles, some_quads, some_singles, window_rows, taps, *padding = _window(rows, columns, depth if deep else 1)
    pixels = out_height * out_width
    blocks = -(-channels // CHANNEL_BLOCK)
    padded = [blocks * value for value in padding]
    if deep:
        dot = (quads * blocks, singles * blocks, some_quads * blocks, some_singles * blocks)
        return (1, pixels, pixels * blocks, pixels * channels, *dot, out_height, window_rows * blocks, *padded)
    full, rest = divmod(channels, CHANNEL_BLOCK)
    whole = (pixels * full, window_rows * full, taps * full)
    last = ((blocks - full) * pixels, rest * pixels, rest * window_rows, rest * taps)
    return (1, pixels, *whole, *last, out_height, *padded)


def _matrix_product(pixels: int, taps: int, channels: int) -> tuple[float, ...]:
    blocks = pixels * -(-channels // CHANNEL_BLOCK)
    quads, singles = divmod(taps, 4)
    some = (blocks if quads else 0, blocks if singles else 0)
    return (1, pixels, blocks, pixels * channels, blocks * quads, blocks * singles, *some)


def layer_features(structure: ShapeGraph, operator: Operator) -> tuple[str, tuple[float, ...]]:
    """The layer's kernel and its numbers, as many as `FEATURES` names; OfaMcuError where no kernel runs the layer."""
    kernel = layer_kernel(structure, operator)
    source = structure.shapes[operator.inputs[0]]
    target = structure.shapes[operator.output]
    if kernel == "ofa_pointwise":
        return kernel, _matrix_product(target[1] * target[2], source[3], target[3])
    if kernel == "ofa_fully_connected":
        calls, _, *counts = _matrix_product(1, structure.bytes_of(operator.inputs[0]), target[-1])
        return kernel, (calls, *counts)
    if kernel == "ofa_add":
        return kernel, (1, structure.bytes_of(operator.output))
    if kernel == "ofa_mean":
        pixels, channels = source[1] * source[2], target[-1]
        # The mean of one pixel is scaled by about one, which takes the other branch of the scaling.
        return kernel, (1, *((channels, 0) if pixels > 1 else (0, channels)), pixels * channels)
    assert isinstance(operator, Conv2D | DepthwiseConv2D)
    return kernel, _convolution(structure, operator)

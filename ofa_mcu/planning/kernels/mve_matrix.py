"""Convolutions and fully connected layers on cores with M-profile vectors."""

from __future__ import annotations

from functools import cache, lru_cache
from math import prod

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.mve_dots import (
    DOTS_CODE,
    DOTS_FEATURES,
    MOST_HELD,
    QUAD,
    VECTOR,
    Dots,
    dots_features,
    mode_of,
)
from ofa_mcu.planning.kernels.mve_windows import BLOCK_FEATURES, BORDER_WINDOWS, ROW_FEATURES, Windows
from ofa_mcu.planning.kernels.portable_windows import Windows as Around
from ofa_mcu.planning.kernels.portable_windows import block_gap, conv_gap, windows_of
from ofa_mcu.space.shapes import Conv2D, FullyConnected, Padding

__all__ = ["MVE_CONV2D", "MVE_POINTWISE", "is_pointwise", "pixels_of"]

_POINTWISE_FEATURES = ("pointwise layer", "blocks", "copied vectors")
_POINTWISE_BYTES = 24
_CONV2D_BYTES = 36
_BLOCKS = (32, 8)
_WINDOWS = (16, 4)
_MOST = 0xFFFF


def is_pointwise(view: LayerView) -> bool:
    """Whether every pixel of the output needs one pixel of the input, the one at its place."""
    operator = view.operator
    if isinstance(operator, FullyConnected):
        return True
    return (
        isinstance(operator, Conv2D)
        and operator.kernel == (1, 1)
        and operator.stride == (1, 1)
        and operator.padding == Padding()
    )


def pixels_of(view: LayerView) -> int:
    """Pixels, or rows of a fully connected layer."""
    return prod(view.target[:-1])


def _pointwise_ways(view: LayerView) -> tuple[Way, ...]:
    if not is_pointwise(view):
        return ()
    pixels = pixels_of(view)
    return _pointwise(pixels, prod(view.source) // pixels, view.target[-1], mode_of(view))


@lru_cache(maxsize=4096)
def _pointwise(pixels: int, depth: int, outputs: int, mode: str) -> tuple[Way, ...]:
    if max(depth, outputs) > _MOST or pixels * max(depth, outputs) >= 1 << 31:
        return ()
    dots = Dots(depth, outputs)
    overread = dots.vectors * VECTOR - depth
    growth = outputs - depth

    def way(function: str, block: int = 0, gaps: tuple[int | None, int | None] = (None, None)) -> Way:
        blocks = -(-pixels // block) if block else 0
        last = pixels - (blocks - 1) * block
        copied = max(blocks - 1, 0) * -(-block * depth // VECTOR) + -(-last * depth // VECTOR) if block else 0
        return Way(
            kernel="ofa_mve_pointwise",
            variant=f"{function} {mode}" + (f", {block} at a time" if block else ""),
            counts=(1, blocks, copied, *dots.counts(function, _calls(pixels, block or pixels))),
            constant_bytes=dots.stream_bytes + _POINTWISE_BYTES,
            code=(Code("ofa_mve_pointwise"), Code(f"ofa_mve_{function}_{mode}")),
            scratch_bytes=-(-(block * depth + VECTOR) // 8) * 8 if block else 0,
            overread=overread if not block else -(last * depth) % VECTOR,
            forward_gap=gaps[0],
            backward_gap=gaps[1],
            features=_features(_POINTWISE_FEATURES, function, mode),
        )

    function = dots.function(mode, pixels)
    if function != "products":
        held = way(function, 0, (max(0, (pixels - 1) * growth), max(0, (pixels - 1) * growth)))
        return (way("outputs"), held) if dots.vectors == 1 and outputs >= QUAD else (held,)
    ways = [way("products")]
    for block in dict.fromkeys(min(size, pixels) for size in _BLOCKS):
        last = (pixels - 1) // block * block
        ways.append(way("products", block, (max(0, last * growth), max(0, (pixels - block) * growth))))
    return tuple(ways)


@cache
def _features(before: tuple[str, ...], function: str, mode: str) -> tuple[str, ...]:
    return before + dots_features(function, mode)


def _calls(pixels: int, block: int) -> tuple[tuple[int, int], ...]:
    """(number, pixels) of the calls for so many pixels, a block at a time."""
    whole, rest = divmod(pixels, block)
    return ((whole, block), (1, rest)) if rest else ((whole, block),)


def _conv2d_ways(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, Conv2D) or operator.dilation != (1, 1) or is_pointwise(view):
        return ()
    return _conv2d(windows_of(view), mode_of(view))


@lru_cache(maxsize=4096)
def _conv2d(around: Around, mode: str) -> tuple[Way, ...]:
    rows, columns = around.rows, around.columns
    kernel, before = (rows.kernel, columns.kernel), (rows.before, columns.before)
    source, target = (rows.size, columns.size, around.depth), (rows.out, columns.out)
    depth, outputs, stride = kernel[0] * kernel[1] * around.depth, around.channels, (rows.stride, columns.stride)
    if max(depth + VECTOR, *source, *target, outputs) > _MOST or max(*kernel, *stride, *before) > 255:
        return ()
    dots = Dots(depth, outputs)
    pixels = rows.out * columns.out
    function = "outputs" if dots.vectors == 1 and outputs >= QUAD else dots.function(mode, pixels)
    windows = Windows(kernel, stride, before, source, target)

    def way(block: int, dots: Dots, function: str) -> Way:
        """`block` windows at a time; 0: those inside the input where they lie."""
        numbers, names = (
            (windows.by_blocks(block, dots.vectors), BLOCK_FEATURES) if block else (windows.by_rows(), ROW_FEATURES)
        )
        calls = _calls(pixels, block) if block else windows.calls_by_rows()
        return Way(
            kernel="ofa_mve_conv2d",
            variant=f"{function} {mode}" + (f", {block} at a time" if block else ""),
            counts=(*numbers, *dots.counts(function, calls)),
            constant_bytes=dots.stream_bytes + _CONV2D_BYTES,
            code=(Code("ofa_mve_conv2d"), Code(f"ofa_mve_{function}_{mode}")),
            scratch_bytes=(block or BORDER_WINDOWS) * VECTOR * dots.vectors + 2 * VECTOR,
            overread=windows.row_vectors * VECTOR - kernel[1] * around.depth,
            forward_gap=block_gap(around, block) if block else conv_gap(around, 1),
            features=_features(names, function, mode),
        )

    ways = [way(block, dots, function) for block in dict.fromkeys(min(size, pixels) for size in _WINDOWS)]
    if windows.row_vectors == 1 and kernel[0] <= MOST_HELD:
        by_rows = Dots(kernel[0] * VECTOR, outputs)
        ways.insert(0, way(0, by_rows, by_rows.function(mode, pixels)))
    return tuple(ways)


# One for both kernels: the functions of dot products are theirs together, and so are the layers that tell their price.
_CODE_TERMS = dict.fromkeys(("ofa_mve_pointwise", "ofa_mve_conv2d", *DOTS_CODE), ("function",))
_FEATURES = (*_POINTWISE_FEATURES, *dict.fromkeys((*BLOCK_FEATURES, *ROW_FEATURES)), *DOTS_FEATURES)

MVE_POINTWISE = Kernel(
    name="ofa_mve_pointwise",
    flavour=Flavour.MVE,
    features=_FEATURES,
    ways=_pointwise_ways,
    code_terms=_CODE_TERMS,
)

MVE_CONV2D = Kernel(
    name="ofa_mve_conv2d",
    flavour=Flavour.MVE,
    features=_FEATURES,
    ways=_conv2d_ways,
    code_terms=_CODE_TERMS,
)

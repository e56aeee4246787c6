"""Depthwise convolutions on cores with M-profile vectors: windows of 3, 5 or 7 squared, sixteen channels at a time."""

from __future__ import annotations

from functools import cache, lru_cache

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.mve_depthwise import rows_gap
from ofa_mcu.planning.kernels.mve_dots import VECTOR, mode_of
from ofa_mcu.space.shapes import DepthwiseConv2D, Padding, Shape

__all__ = ["MVE_DEPTHWISE_BLOCKS", "block_bytes", "block_mode"]

_SIZES = (3, 5, 7)
_MODES = ("plain", "signed", "general", "wide")
_DESCRIPTOR_BYTES = 40
_MOST = 0xFFFF


def block_bytes(size: int) -> int:
    """Constants of sixteen channels."""
    return 4 * VECTOR + size * size * VECTOR + 4 * (VECTOR + 4)


def block_mode(view: LayerView) -> str:
    """The mode in which a layer runs: wide where there are weights of -128."""
    mode = mode_of(view)
    return "wide" if view.facts.wide_weights else mode if mode in _MODES else "general"


def _ways(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, DepthwiseConv2D) or operator.dilation != (1, 1):
        return ()
    size = operator.kernel[0]
    if size not in _SIZES or operator.kernel[1] != size or view.source[3] != view.target[3]:
        return ()
    gap, mode = rows_gap(view), block_mode(view)
    return _blocks(size, operator.stride, operator.padding, view.source, view.target, gap, mode)


@lru_cache(maxsize=4096)
def _blocks(
    size: int, stride: tuple[int, int], padding: Padding, source: Shape, target: Shape, gap: int | None, mode: str
) -> tuple[Way, ...]:
    height, width, channels = target[1:]
    if max(*source, *target) > _MOST or max(*stride, padding.top, padding.left, padding.right) > _MOST >> 8:
        return ()
    blocks = -(-channels // VECTOR)
    columns = padding.left + source[2] + padding.right
    rows = (height - 1) * stride[0] + size
    fed = max(min(source[1], rows - padding.top), 0)
    way = Way(
        kernel="ofa_mve_depthwise_blocks",
        variant=f"{size} {mode}",
        counts=(
            1,
            size * columns,
            blocks,
            blocks * fed,
            blocks * fed * source[2],
            blocks * (rows - fed),
            blocks * (rows - fed) * source[2],
            blocks * height,
            blocks * height * width,
        ),
        constant_bytes=blocks * block_bytes(size) + _DESCRIPTOR_BYTES,
        code=(Code(f"ofa_mve_depthwise_blocks_{size}_{mode}"),),
        scratch_bytes=-(-size * columns * VECTOR // 8) * 8,
        overread=blocks * VECTOR - channels,
        # Blocks of channels keep apart only where the tensors' distance is a number of pixels.
        forward_gap=gap if blocks == 1 else None,
        in_place=gap == 0,
        features=_features(size, mode),
    )
    return (way,)


_TERMS = ("layers", "cleared", "blocks", "fed rows", "fed pixels", "rows of padding", "pixels of padding", "rows")
_ALL = tuple((size, mode) for size in _SIZES for mode in _MODES)


@cache
def _features(size: int, mode: str) -> tuple[str, ...]:
    return (*(f"{size}: {term}" for term in _TERMS), f"{size} {mode}: pixels")


MVE_DEPTHWISE_BLOCKS = Kernel(
    name="ofa_mve_depthwise_blocks",
    flavour=Flavour.MVE,
    features=tuple(dict.fromkeys(feature for size, mode in _ALL for feature in _features(size, mode))),
    ways=_ways,
    code_terms={f"ofa_mve_depthwise_blocks_{size}_{mode}": ("function",) for size, mode in _ALL},
)

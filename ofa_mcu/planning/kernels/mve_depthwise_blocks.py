"""Depthwise convolutions on cores with M-profile vectors: windows of 3 x 3, sixteen channels at a time."""

from __future__ import annotations

from functools import lru_cache

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.mve_depthwise import rows_gap
from ofa_mcu.planning.kernels.mve_dots import VECTOR, mode_of
from ofa_mcu.space.shapes import DepthwiseConv2D, Padding, Shape

__all__ = ["BLOCK_BYTES", "MVE_DEPTHWISE_BLOCKS", "block_mode"]

_MODES = ("plain", "signed", "general")
_DESCRIPTOR_BYTES = 40
_MOST = 0xFFFF
BLOCK_BYTES = 4 * VECTOR + 9 * VECTOR + 4 * (VECTOR + 4)
"""Constants of sixteen channels."""


def block_mode(mode: str) -> str:
    """The mode in which layers of a mode run."""
    return mode if mode in _MODES else "general"


def _ways(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, DepthwiseConv2D) or operator.dilation != (1, 1) or operator.kernel != (3, 3):
        return ()
    if view.facts.wide_weights or view.source[3] != view.target[3]:
        return ()
    return _blocks(operator.stride, operator.padding, view.source, view.target, block_mode(mode_of(view)))


@lru_cache(maxsize=4096)
def _blocks(stride: tuple[int, int], padding: Padding, source: Shape, target: Shape, mode: str) -> tuple[Way, ...]:
    height, width, channels = target[1:]
    if max(*source, *target) > _MOST or max(stride) > _MOST >> 8:
        return ()
    blocks = -(-channels // VECTOR)
    columns = padding.left + source[2] + padding.right
    rows = (height - 1) * stride[0] + 3
    fed = max(min(source[1], rows - padding.top), 0)
    pixels = blocks * height * width
    gap = rows_gap((3, 3), stride, padding, source, target)
    way = Way(
        kernel="ofa_mve_depthwise_blocks",
        variant=mode,
        counts=(
            1,
            3 * columns,
            blocks,
            blocks * fed,
            blocks * fed * source[2],
            blocks * (rows - fed),
            blocks * (rows - fed) * source[2],
            blocks * height,
            pixels,
            *(pixels if mode == other else 0 for other in _MODES[1:]),
        ),
        constant_bytes=blocks * BLOCK_BYTES + _DESCRIPTOR_BYTES,
        code=(Code(f"ofa_mve_depthwise_blocks_{mode}"),),
        scratch_bytes=-(-3 * columns * VECTOR // 8) * 8,
        overread=blocks * VECTOR - channels,
        # Blocks of channels keep apart only where the tensors' distance is a number of pixels.
        forward_gap=gap if blocks == 1 else None,
        in_place=gap == 0,
    )
    return (way,)


MVE_DEPTHWISE_BLOCKS = Kernel(
    name="ofa_mve_depthwise_blocks",
    flavour=Flavour.MVE,
    features=(
        "layer",
        "cleared",
        "blocks",
        "fed_rows",
        "fed_pixels",
        "padded_rows",
        "padded_pixels",
        "rows",
        "pixels",
        *_MODES[1:],
    ),
    ways=_ways,
    code_terms={f"ofa_mve_depthwise_blocks_{mode}": ("function",) for mode in _MODES},
)

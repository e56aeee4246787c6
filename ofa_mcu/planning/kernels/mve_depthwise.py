"""Depthwise convolutions on cores with M-profile vectors: channel by channel, every window one contiguous vector."""

from __future__ import annotations

from functools import lru_cache

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.mve_dots import MODES, VECTOR, aligned, mode_of
from ofa_mcu.space.shapes import DepthwiseConv2D, Padding, Shape

__all__ = ["MVE_DEPTHWISE", "depthwise_kind", "rows_gap"]

_DESCRIPTOR_BYTES = 40
_MOST_CHANNELS = 0xFFFF // 7
_ALIGNMENT = 4


def depthwise_kind(kernel: tuple[int, int], stride: tuple[int, int], target: Shape) -> tuple[str, int]:
    """The function for windows of that size, and how many vectors of weights a channel has."""
    taps = kernel[0] * kernel[1]
    square = kernel[1] * (kernel[0] + 1) + kernel[0] + 1
    if stride == (1, 1) and square <= VECTOR and min(target[1:3]) >= 2:
        return "4", 1
    if taps + stride[1] * kernel[0] <= VECTOR:
        return "1", 1
    vectors = max(2, -(-taps // VECTOR))
    return ("2" if vectors == 2 else "n"), vectors


def _ways(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, DepthwiseConv2D) or operator.dilation != (1, 1):
        return ()
    return _depthwise(operator.kernel, operator.stride, operator.padding, view.source, view.target, mode_of(view))


@lru_cache(maxsize=4096)
def _depthwise(
    kernel: tuple[int, int], stride: tuple[int, int], padding: Padding, source: Shape, target: Shape, mode: str
) -> tuple[Way, ...]:
    height, width, channels = target[1:]
    if max(*source, *target) > _MOST_CHANNELS or max(*kernel, *stride, channels // source[3]) > 255:
        return ()
    kind, vectors = depthwise_kind(kernel, stride, target)
    tall, wide = (2, 2) if kind == "4" else (1, 4)
    pitch = kernel[0] + tall - 1
    step = stride[1] * pitch
    passes = -(-height // tall)
    padded_height = (height - 1) * stride[0] + kernel[0]
    padded_width = padding.left + source[2] + padding.right
    written = padded_height + (padded_width - 1) * pitch
    read = (height - 1) * stride[0] + (max(width, wide) - 1) * step + vectors * VECTOR
    fed = max(min(source[1], padded_height - padding.top), 0)
    padded = padded_height - fed
    feeds = passes + int(padding.top > 0) + int(padded_height - padding.top > fed)
    row_groups = (source[2] - 1) // 8
    groups = -(-width // wide)
    rests = int(width % wide > 0 and width > wide)
    quads = channels * passes * groups
    gap = rows_gap(kernel, stride, padding, source, target)
    way = Way(
        kernel="ofa_mve_depthwise",
        variant=f"channels {mode}",
        counts=(
            1,
            channels,
            channels * feeds,
            channels * fed,
            channels * padded,
            channels * fed * row_groups,
            channels * padded * row_groups,
            channels * passes,
            channels * passes * rests,
            *(quads if kind == other else 0 for other in "412n"),
            quads * max(vectors - 2, 0),
            *(quads if mode == other else 0 for other in MODES[1:]),
        ),
        constant_bytes=VECTOR + channels * (vectors * VECTOR + 8) + aligned(channels) + _DESCRIPTOR_BYTES,
        code=(Code("ofa_mve_depthwise_rows"), Code(f"ofa_mve_depthwise_{kind}_{mode}")),
        scratch_bytes=-(-max(written, read) // 8) * 8,
        # Channels keep apart only where the tensors' distance is a number of pixels.
        forward_gap=gap if _ALIGNMENT % channels == 0 else None,
        in_place=gap == 0,
    )
    return (way,)


def rows_gap(
    kernel: tuple[int, int], stride: tuple[int, int], padding: Padding, source: Shape, target: Shape
) -> int | None:
    """How far the input must start above the output so that no row is written over before it is in the ring."""
    if source[3] != target[3]:
        return None
    gap = 0
    for row in range(target[1]):
        first = row * stride[0] + kernel[0] - padding.top
        if first < source[1]:
            gap = max(gap, (row + 1) * target[2] - max(first, 0) * source[2])
    return gap * target[3]


_ONE = ("function",)

MVE_DEPTHWISE = Kernel(
    name="ofa_mve_depthwise",
    flavour=Flavour.MVE,
    features=(
        "layer",
        "channels",
        "feeds",
        "fed_rows",
        "padded_rows",
        "fed_groups",
        "padded_groups",
        "passes",
        "ends",
        "squares",
        "pairs",
        "quads",
        "deep_quads",
        "vectors",
        *MODES[1:],
    ),
    ways=_ways,
    code_terms=dict.fromkeys((f"ofa_mve_depthwise_{kind}_{mode}" for kind in "412n" for mode in MODES), _ONE)
    | {"ofa_mve_depthwise_rows": _ONE},
)

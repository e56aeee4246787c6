"""Depthwise convolutions on cores with M-profile vectors: channel by channel, every window one contiguous vector."""

from __future__ import annotations

from functools import lru_cache

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.mve_dots import MODES, VECTOR, aligned, mode_of
from ofa_mcu.space.shapes import DepthwiseConv2D, Padding, Shape

__all__ = ["MVE_DEPTHWISE", "depthwise_kind"]

_DESCRIPTOR_BYTES = 40
_MOST_CHANNELS = 0xFFFF // 7
_ALIGNMENT = 4


def depthwise_kind(kernel: tuple[int, int], stride: tuple[int, int]) -> tuple[str, int]:
    """The function for windows of that size, and how many vectors of weights a channel has."""
    taps = kernel[0] * kernel[1]
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
    kind, vectors = depthwise_kind(kernel, stride)
    step = stride[1] * kernel[0]
    padded_height = (height - 1) * stride[0] + kernel[0]
    padded_width = padding.left + source[2] + padding.right
    written = padded_height + (padded_width - 1) * kernel[0]
    read = (height - 1) * stride[0] + (max(width, 4) - 1) * step + vectors * VECTOR
    fed = min(source[1], padded_height - padding.top)
    groups = -(-width // 4)
    rests = int(width % 4 > 0 and width > 4)
    row_groups = -(-source[2] // 8)
    rows = channels * height
    pads = channels * (padded_height * (padding.left + padding.right) + (padded_height - fed) * source[2])
    way = Way(
        kernel="ofa_mve_depthwise",
        variant=f"channels {mode}",
        counts=(
            1,
            channels,
            channels * padded_height,
            channels * fed,
            channels * fed * row_groups,
            pads,
            rows,
            rows * rests,
            rows * groups if kind == "1" else 0,
            rows * groups if kind != "1" else 0,
            rows * groups if kind == "n" else 0,
            rows * groups * max(vectors - 2, 0),
            *(rows * groups if mode == other else 0 for other in MODES[1:]),
        ),
        constant_bytes=VECTOR + channels * (vectors * VECTOR + 8) + aligned(channels) + _DESCRIPTOR_BYTES,
        code=(Code(f"ofa_mve_depthwise_{kind}_{mode}"),),
        scratch_bytes=-(-max(written, read) // 8) * 8,
        # Channels keep apart only where the tensors' distance is a number of pixels.
        forward_gap=_gap(kernel, stride, padding, source, target) if _ALIGNMENT % channels == 0 else None,
    )
    return (way,)


def _gap(
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
        "padded_rows",
        "fed_rows",
        "fed_groups",
        "pads",
        "rows",
        "ends",
        "pairs",
        "quads",
        "deep_quads",
        "vectors",
        *MODES[1:],
    ),
    ways=_ways,
    code_terms=dict.fromkeys((f"ofa_mve_depthwise_{kind}_{mode}" for kind in "12n" for mode in MODES), _ONE),
)

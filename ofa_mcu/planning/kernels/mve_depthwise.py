"""Depthwise convolutions on cores with M-profile vectors: channel by channel, every window one contiguous vector."""

from __future__ import annotations

from functools import cache, lru_cache

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.mve_dots import MODES, VECTOR, aligned, mode_of
from ofa_mcu.planning.kernels.portable_windows import depthwise_gap, windows_of
from ofa_mcu.space.shapes import DepthwiseConv2D, Padding, Shape

__all__ = ["MVE_DEPTHWISE", "depthwise_kind", "rows_gap"]

_DESCRIPTOR_BYTES = 40
_MOST_CHANNELS = 0xFFFF // 7
_MOST_PADDED = 8  # columns, as lanes that clear them
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
    gap, mode = rows_gap(view), mode_of(view)
    return _depthwise(operator.kernel, operator.stride, operator.padding, view.source, view.target, gap, mode)


@lru_cache(maxsize=4096)
def _depthwise(
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: Padding,
    source: Shape,
    target: Shape,
    gap: int | None,
    mode: str,
) -> tuple[Way, ...]:
    height, width, channels = target[1:]
    if max(*source, *target) > _MOST_CHANNELS or max(*kernel, *stride, channels // source[3]) > 255:
        return ()
    kind, vectors = depthwise_kind(kernel, stride, target)
    tall, wide = (2, 2) if kind == "4" else (1, 4)
    pitch = kernel[0] + tall - 1
    if padding.top > pitch or padding.left + padding.right > _MOST_PADDED:
        return ()
    step = stride[1] * pitch
    passes = -(-height // tall)
    padded_height = (height - 1) * stride[0] + kernel[0]
    padded_width = padding.left + source[2] + padding.right
    written = padded_height + (padded_width - 1) * pitch
    read = (height - 1) * stride[0] + (max(width, wide) - 1) * step + vectors * VECTOR
    feeds = _feeds(kernel[0], stride[0], padding.top, source[1], height, tall)
    row_groups = (source[2] - 1) // 8
    groups = -(-width // wide)
    rests = int(width % wide > 0 and width > wide)
    quads = channels * passes * groups
    way = Way(
        kernel="ofa_mve_depthwise",
        variant=f"channels {kind} {mode}",
        counts=(
            *(channels * count for count in feeds),
            channels * feeds[1] * row_groups,
            channels * feeds[3] * row_groups,
            1,
            channels,
            channels * passes,
            channels * passes * rests,
            quads,
            *((quads * (vectors - 2),) if kind == "n" else ()),
        ),
        constant_bytes=VECTOR + channels * (vectors * VECTOR + 8) + aligned(channels) + _DESCRIPTOR_BYTES,
        code=(Code(f"ofa_mve_depthwise_{kind}_{mode}"),),
        scratch_bytes=-(-max(written, read) // 8) * 8,
        # Channels keep apart only where the tensors' distance is a number of pixels.
        forward_gap=gap if _ALIGNMENT % channels == 0 else None,
        in_place=gap == 0,
        features=_features(kind, mode),
    )
    return (way,)


def _feeds(kernel: int, stride: int, top: int, source: int, target: int, tall: int) -> tuple[int, int, int, int]:
    """Calls that feed rows of the input to the ring, these rows, calls that feed padding, its rows; of one channel."""
    calls = fed = 0
    padding_calls, padded = int(top > 0), top
    wanted, left = kernel + tall - 1 - top, target
    while left > 0:
        real = max(min(wanted, source - fed), 0)
        missing = max(wanted - real, 0)
        calls, fed = calls + (real > 0), fed + real
        padding_calls, padded = padding_calls + (missing > 0), padded + missing
        left -= tall
        wanted = min(left, tall) * stride
    return calls, fed, padding_calls, padded


def rows_gap(view: LayerView) -> int | None:
    """How far the input must start above the output so that no row is written over before it is in the ring.

    None where more than one channel is written for every one that is read.
    """
    return depthwise_gap(windows_of(view)) if view.source[3] == view.target[3] else None


_KINDS = "412n"
_FEEDS = ("feeds", "fed rows", "feeds of padding", "rows of padding", "fed groups", "groups of padding")
"""Calls that bring rows to the ring, their rows, groups of eight pixels of these beside the last one."""

_TERMS = ("layers", "channels", "passes", "ends", "products", "further vectors")
"""Of each kind of function, the products of each mode for themselves. Passes: rows of outputs of a channel, or pairs of
them; those with outputs beside whole products, which are four windows; vectors of these beyond the second.
"""


@cache
def _features(kind: str, mode: str) -> tuple[str, ...]:
    terms = _TERMS if kind == "n" else _TERMS[:-1]
    return (*_FEEDS, *(f"{kind} {mode}: {term}" if term == "products" else f"{kind}: {term}" for term in terms))


_ONE = ("function",)
_ALL = tuple((kind, mode) for kind in _KINDS for mode in MODES)

MVE_DEPTHWISE = Kernel(
    name="ofa_mve_depthwise",
    flavour=Flavour.MVE,
    features=tuple(dict.fromkeys(feature for kind, mode in _ALL for feature in _features(kind, mode))),
    ways=_ways,
    code_terms=dict.fromkeys((f"ofa_mve_depthwise_{kind}_{mode}" for kind, mode in _ALL), _ONE),
)

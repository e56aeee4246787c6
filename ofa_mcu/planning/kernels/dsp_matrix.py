"""Convolutions on cores with the DSP extension: two output channels of four pixels at a time.

Ways differ in the loop over the taps (unrolled, in a function for every number of taps and every rounding; looped, in
one for any number of taps; or shared, in one for all layers) and in where windows are read: from the input itself with
borders put together apart, or from a padded copy of some of its rows. A pointwise layer can add another tensor to its
codes before it stores them, or be run as windows of one pixel, so that it needs no driver of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ofa_mcu.planning.kernels.base import Code, Facts, Flavour, Kernel, LayerView, Rounding, Way
from ofa_mcu.planning.kernels.dsp_matrix_counts import (
    BLOCK_FEATURES,
    FAR_PAIRS,
    MOST_PAIRS,
    Block,
    band_counts,
    block_counts,
    direct_counts,
)
from ofa_mcu.planning.kernels.dsp_matrix_layout import (
    PIXELS,
    Geometry,
    band_gap,
    direct_gap,
    geometry,
    taps_of,
)
from ofa_mcu.space.shapes import Activation, Conv2D, ConvAdd, is_pointwise

__all__ = ["CONV", "DIRECT", "POINTWISE", "POINTWISE_ADD", "Plan", "has_single", "plan_of"]

_LIMIT = 65535
DIRECT = 0
_COPY_OVERREAD = 3  # rows are copied by words
_LAYER_BYTES = 20
_POINTS_BYTES = _LAYER_BYTES + 12
_SUM_BYTES = _POINTS_BYTES + 16
_WINDOW_BYTES = _LAYER_BYTES + 28


@dataclass(frozen=True)
class Plan:
    """A way in terms of its block and of `band`: output rows of a padded copy, or `DIRECT`."""

    shape: Geometry
    block: Block
    band: int = DIRECT


_LOOPS = ("unrolled", "looped", "shared", "shared+shifts")
"""What a block function is made for: one number of taps, any number, layers of any mode, and of any shift."""


def _block(shape: Geometry, facts: Facts, dead_zone: bool, loop: str, adds: bool) -> Block:
    own = facts.rounding is Rounding.PER_CHANNEL or loop == "shared+shifts"
    return Block(
        taps_of(shape, loop != "unrolled"),
        loop == "unrolled",
        shape.outputs % 2 == 1,
        dead_zone,
        facts.clamp_low,
        facts.clamp_high,
        None if own else facts.shift,
        shape.outputs if adds else 0,
        loop.startswith("shared"),
    )


def has_single(shape: Geometry) -> bool:
    """Whether a pointwise layer computes its last pixel alone, since blocks of four leave no other over."""
    return shape.pixels % PIXELS == 1


def _alone(shape: Geometry, adds: bool) -> int:
    """Pixels that are computed alone: with a sum all that blocks of four leave over."""
    return shape.pixels % PIXELS if adds or has_single(shape) else 0


def plan_of(view: LayerView, variant: str) -> Plan:
    """The plan of the way that `ways` called `variant`."""
    operator = view.operator
    assert isinstance(operator, Conv2D | ConvAdd)
    loop, _, place = variant.partition(" ")
    shape = geometry(operator, view.source, view.target)
    block = _block(shape, view.facts, view.dead_zone, loop, isinstance(operator, ConvAdd))
    if place == "direct" and is_pointwise(operator):
        shape = shape.in_a_row
    return Plan(shape, block, int(place.removeprefix("band ")) if place.startswith("band ") else DIRECT)


def _supported(view: LayerView) -> Conv2D | ConvAdd | None:
    operator, facts = view.operator, view.facts
    if not isinstance(operator, Conv2D | ConvAdd) or facts.rounding is Rounding.GENERAL or facts.wide_weights:
        return None
    numbers = (*view.source, *view.target, *operator.stride, operator.padding.top, operator.padding.left)
    if len(view.source) != 4 or view.source[0] != 1 or min(view.source) < 1 or max(numbers) > _LIMIT:
        return None
    if max(operator.kernel) > 255 or max(operator.dilation) > 255:
        return None
    return operator


def _blocks(shape: Geometry, facts: Facts, dead_zone: bool, adds: bool = False) -> Iterator[tuple[str, Block]]:
    for loop in _LOOPS:
        if loop == "shared" and facts.rounding is Rounding.PER_CHANNEL:
            continue
        block = _block(shape, facts, dead_zone, loop, adds)
        if block.unrolled:
            possible = block.taps.pairs <= MOST_PAIRS
        else:
            possible = block.taps.words <= _LIMIT and block.taps.column <= _LIMIT
        if possible:
            yield loop, block


_CODE_TERMS = {
    "dsp_matrix_unrolled": (
        *("functions", "words", "codes", "row_loops", "loops", "steps", "far_steps"),
        *("dead_zone", "clamps", "own_shifts", "odd"),
    ),
    "dsp_matrix_single": ("functions", "dead_zone", "clamps", "any_mode"),
    "dsp_matrix_looped": ("functions", "dead_zone", "clamps", "odd", "own_shifts", "merged"),
    "ofa_matrix_points": ("functions",),
    "ofa_matrix_direct": ("functions",),
    "ofa_matrix_band": ("functions",),
}
"""Of an unrolled function: words and codes gathered outside of loops, whether there is a loop over rows or over all
words, pairs of taps near and far from the stack pointer, whether codes have dead zones, how often they are clamped,
whether every channel has its shift, whether the number of channels is odd."""


def _code(block: Block, *library: str) -> tuple[Code, ...]:
    taps = block.taps
    flags = (float(block.dead_zone), float(block.clamps), float(block.odd))
    drivers = tuple(Code(name) for name in library)
    kind = "dsp_matrix_sum" if block.sums else "dsp_matrix"
    if not block.unrolled:
        literal = (0.0, 0.0, 0.0) if block.merged else flags
        return (Code(f"{kind}_looped", block.key, (1, *literal, block.shift is None, block.merged)), *drivers)
    words = taps.rows * taps.words if taps.unrolled_rows else taps.words * taps.unrolled_words
    near = min(taps.pairs, FAR_PAIRS)
    gather = (words, taps.runs * taps.left, taps.unrolled_words, not (taps.unrolled_rows or taps.unrolled_words))
    counts = (1, *gather, near, taps.pairs - near, flags[0], flags[1], block.shift is None, flags[2])
    return (Code(f"{kind}_unrolled", block.key, tuple(map(float, counts))), *drivers)


@lru_cache(4096)
def _points_ways(shape: Geometry, facts: Facts, dead_zone: bool, adds: bool) -> tuple[Way, ...]:
    alone = _alone(shape, adds)
    blocks = shape.pixels // PIXELS if alone else -(-shape.pixels // PIXELS)
    lead, tail = min(PIXELS, shape.pixels) if blocks else 1, 1 if alone else shape.pixels - PIXELS * (blocks - 1)
    grows = shape.outputs - shape.depth
    ways = []
    for loop, block in _blocks(shape, facts, dead_zone, adds):
        code = _code(block, "ofa_matrix_points")
        if alone:
            flags = (float(block.dead_zone), float(block.low + block.high), 0.0) if block.unrolled else (0.0, 0.0, 1.0)
            kind = "dsp_matrix_sum_single" if adds and block.unrolled else "dsp_matrix_single"
            single = Code(kind, ("ofa_dsp_matrix_single", block.single_key), (1, *flags))
            code = (*(code if blocks else code[1:]), single)
        pairs = alone * -(-shape.outputs // 2)
        counts = block_counts(block, shape.outputs, blocks)
        ways.append(
            Way(
                kernel=POINTWISE_ADD.name if adds else POINTWISE.name,
                variant=loop,
                counts=(1, *counts, alone * block.taps.pairs, pairs, pairs * block.taps.pairs),
                constant_bytes=(_SUM_BYTES if adds else _POINTS_BYTES) + 4 * block.stream_words(shape.outputs),
                code=code,
                scratch_bytes=block.wide_bytes,
                overread=block.taps.overread,
                forward_gap=max(0, (shape.pixels - tail) * grows),
                backward_gap=max(0, (shape.pixels - lead) * grows),
                in_place_second=adds,
            )
        )
    return tuple(ways)


def _bands(shape: Geometry) -> tuple[int, ...]:
    """Sizes of bands worth trying; none where windows stay inside the input and blocks fill its rows."""
    borders = shape.inside(0) != (0, shape.output_height) or shape.inside(1) != (0, shape.output_width)
    if not borders and (shape.output_width % PIXELS == 0 or shape.output_height == 1):
        return ()
    sizes = {1, min(4, shape.output_height), shape.output_height}
    return tuple(sorted(sizes))


@lru_cache(4096)
def _window_ways(shape: Geometry, facts: Facts, dead_zone: bool, in_a_row: bool) -> tuple[Way, ...]:
    ways = []
    for loop, block in _blocks(shape, facts, dead_zone):
        if block.unrolled and in_a_row:
            continue  # of use only for small code
        for band in (DIRECT, *(() if in_a_row else _bands(shape))):
            if band == DIRECT:
                counts, blocks = direct_counts(shape)
                scratch = (shape.patch_bytes + 3) & ~3 if counts[1] else 0
                gap, driver, place = direct_gap(shape), "ofa_matrix_direct", "direct"
            else:
                counts, blocks = band_counts(shape, band)
                scratch = (shape.band_rows(band) * shape.band_row + 4 + 3) & ~3
                gap, driver, place = band_gap(shape, band), "ofa_matrix_band", f"band {band}"
            ways.append(
                Way(
                    kernel="ofa_dsp_conv",
                    variant=f"{loop} {place}",
                    counts=(1, *counts, *block_counts(block, shape.outputs, blocks)),
                    constant_bytes=_WINDOW_BYTES + 4 * block.stream_words(shape.outputs),
                    code=_code(block, driver),
                    scratch_bytes=block.wide_bytes + scratch,
                    overread=max(block.taps.overread, _COPY_OVERREAD if scratch else 0),
                    forward_gap=gap,
                )
            )
    return tuple(ways)


def _pointwise(view: LayerView) -> tuple[Way, ...]:
    operator = _supported(view)
    if not isinstance(operator, Conv2D) or not is_pointwise(operator):
        return ()
    return _points_ways(geometry(operator, view.source, view.target), view.facts, view.dead_zone, False)


def _pointwise_add(view: LayerView) -> tuple[Way, ...]:
    operator = _supported(view)
    if not isinstance(operator, ConvAdd) or not is_pointwise(operator) or not view.facts.affine:
        return ()
    source, other = operator.inputs
    if operator.activation is not Activation.NONE or other in (source, *view.structure.constants):
        return ()
    return _points_ways(geometry(operator, view.source, view.target), view.facts, view.dead_zone, True)


def _windows(view: LayerView) -> tuple[Way, ...]:
    operator = _supported(view)
    if not isinstance(operator, Conv2D):
        return ()
    shape = geometry(operator, view.source, view.target)
    if is_pointwise(operator):
        if shape.pixels > _LIMIT:
            return ()
        shape = shape.in_a_row
    return _window_ways(shape, view.facts, view.dead_zone, is_pointwise(operator))


POINTWISE = Kernel(
    "ofa_dsp_pointwise",
    Flavour.DSP,
    ("calls", *BLOCK_FEATURES, "single_words", "single_pairs", "single_steps"),
    _pointwise,
    _CODE_TERMS,
)

POINTWISE_ADD = Kernel(
    "ofa_dsp_pointwise_add",
    Flavour.DSP,
    POINTWISE.features,
    _pointwise_add,
    {
        **{f"dsp_matrix_sum_{kind}": _CODE_TERMS[f"dsp_matrix_{kind}"] for kind in ("unrolled", "single", "looped")},
        "dsp_matrix_single": _CODE_TERMS["dsp_matrix_single"],
        "ofa_matrix_points": _CODE_TERMS["ofa_matrix_points"],
    },
)

CONV = Kernel(
    "ofa_dsp_conv",
    Flavour.DSP,
    ("calls", "rows", "patches", "padded_rows", "padded_words", "bands", *BLOCK_FEATURES),
    _windows,
    _CODE_TERMS,
)

"""Convolutions and matrix products in plain C: for every shape and every quantization, on any core.

Dense layers are dot products of four output channels at a time, over input rows read in place, copied one at a time, or
two at a time; convolutions gather their windows first. Copies let the output overwrite what was read.
"""

from __future__ import annotations

from math import prod

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Way
from ofa_mcu.planning.kernels.portable_depthwise import DEPTHWISE
from ofa_mcu.planning.kernels.portable_store import (
    STORE_FEATURES,
    STORE_KINDS,
    channel_constants,
    expected_store,
    named_counts,
    padded,
    store_counts,
)
from ofa_mcu.planning.kernels.portable_windows import (
    MOST_TAPS,
    ROW_CHANNELS,
    conv_gap,
    fits_descriptors,
    patches,
    product_gap,
    windows_of,
)
from ofa_mcu.space.shapes import Conv2D, FullyConnected, Padding

__all__ = [
    "CHANNEL_BLOCK",
    "CONV2D",
    "CONV_BYTES",
    "DEPTHWISE",
    "FULLY_CONNECTED",
    "KERNELS",
    "POINTWISE",
    "PRODUCT_BYTES",
]

CHANNEL_BLOCK = 4
"""Output channels whose weights lie side by side; the last block is filled up."""

_PAIR_CHANNELS = 8  # sums of each of two rows that become codes in one call

PRODUCT_BYTES, CONV_BYTES = 36, 56
"""Bytes of descriptors, with pointers of 32 bits."""

_DOTS = ("blocks", "quads", "singles")
_RAW_DOTS = tuple(f"raw_{name}" for name in _DOTS)
_PAIR_DOTS = ("pair_blocks", "pair_quads", "pair_singles")
_GATHERS = ("gathers", "gathered_quads", "gathered_singles")
_PAIR_GATHERS = ("alternate_gathers", "alternate_quads", "alternate_singles")

_PRODUCT = (
    *("calls", "rows_in_place", "summed_taps", *_RAW_DOTS),
    *("rows", *_GATHERS[1:], *_DOTS, "row_pairs", *_PAIR_GATHERS[1:], *_PAIR_DOTS, *STORE_FEATURES),
)
_CONV = (
    *("calls", "output_rows", "pixels", "pixel_pairs", "window_rows", "elements_apart", "fills", "filled_taps"),
    *(*_GATHERS, *_PAIR_GATHERS, *_DOTS, *_PAIR_DOTS, *STORE_FEATURES),
)


def _calls(channels: int, rows: int, pairs: int) -> int:
    """How often sums of single rows and of pairs become codes."""
    return rows * -(-channels // ROW_CHANNELS) + 2 * pairs * -(-channels // _PAIR_CHANNELS)


def _dots(names: tuple[str, ...], rows: int, blocks: int, taps: int) -> dict[str, int]:
    """Counts of dot products under the names."""
    each = rows * blocks
    return dict(zip(names, (each, each * (taps // 4), each * (taps % 4)), strict=True))


def _codes(*kinds: str) -> tuple[Code, ...]:
    return tuple(Code(kind) for kind in kinds)


_ROW = ("ofa_gather", "ofa_row", "ofa_dot4")
_ROW_PAIR = ("ofa_gather_alternate", "ofa_row_pair", "ofa_dot4_pair")


def _product(name: str, view: LayerView, rows: int, taps: int) -> tuple[Way, ...]:
    if taps > MOST_TAPS:
        return ()
    outputs = view.target[-1]
    blocks = -(-outputs // CHANNEL_BLOCK)
    store = f"ofa_store_{expected_store(view, taps)}"
    constant_bytes = PRODUCT_BYTES + padded(view.target[-1]) * taps + channel_constants(view)
    quads, singles = divmod(taps, 4)
    direct = {"rows_in_place": rows, "summed_taps": rows * taps}
    ways = [
        Way(
            name,
            "in place",
            named_counts(
                _PRODUCT,
                direct,
                _dots(_RAW_DOTS, rows, blocks, taps),
                store_counts(view, taps, _calls(outputs, rows, 0)),
            ),
            constant_bytes,
            _codes("ofa_product", "ofa_dot4_raw", store),
            forward_gap=product_gap(rows, taps, outputs, 1, False),
        )
    ]
    for step in (1, 2) if rows > 1 else (1,):
        pairs = rows // 2 if step == 2 else 0
        single = rows - 2 * pairs
        counts = {
            "rows": single,
            "gathered_quads": single * quads,
            "gathered_singles": single * singles,
            "row_pairs": pairs,
            "alternate_quads": 2 * pairs * quads,
            "alternate_singles": 2 * pairs * singles,
        }
        gap = product_gap(rows, taps, outputs, step, True)
        ways.append(
            Way(
                name,
                "pairs" if pairs else "copied",
                named_counts(
                    _PRODUCT,
                    counts,
                    _dots(_DOTS, single, blocks, taps),
                    _dots(_PAIR_DOTS, pairs, blocks, taps),
                    store_counts(view, taps, _calls(outputs, single, pairs)),
                ),
                constant_bytes,
                _codes(store, *_ROW, *(("ofa_product_pairs", *_ROW_PAIR) if pairs else ("ofa_product_copied",))),
                scratch_bytes=step * taps,
                forward_gap=gap,
                backward_gap=gap,
            )
        )
    return tuple(ways)


def _pointwise_ways(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, Conv2D) or operator.kernel != (1, 1) or operator.stride != (1, 1):
        return ()
    if operator.padding != Padding():
        return ()
    return _product("ofa_pointwise", view, prod(view.target[1:3]), view.source[3])


def _fully_connected_ways(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, FullyConnected):
        return ()
    rows = view.structure.rows_of(operator)
    return _product("ofa_fully_connected", view, rows, prod(view.source) // rows)


def _conv2d_ways(view: LayerView) -> tuple[Way, ...]:
    if not isinstance(view.operator, Conv2D):
        return ()
    windows = windows_of(view)
    rows, columns = windows.rows, windows.columns
    taps = rows.kernel * columns.kernel * windows.depth
    if taps > MOST_TAPS or not fits_descriptors(windows):
        return ()
    blocks = -(-windows.channels // CHANNEL_BLOCK)
    constant_bytes = CONV_BYTES + padded(view.target[-1]) * taps + channel_constants(view)
    ways = []
    for step in (1, 2) if columns.out > 1 else (1,):
        pairs = rows.out * (columns.out // 2) if step == 2 else 0
        single = rows.out * columns.out - 2 * pairs
        patch = patches(windows, pairs > 0)
        counts = {
            "output_rows": rows.out,
            "pixels": single,
            "pixel_pairs": pairs,
            "window_rows": patch.rows,
            "elements_apart": patch.apart,
            "fills": patch.fills,
            "filled_taps": patch.filled,
            "gathers": patch.plain.gathers,
            "gathered_quads": patch.plain.quads,
            "gathered_singles": patch.plain.singles,
            "alternate_gathers": patch.alternate.gathers,
            "alternate_quads": patch.alternate.quads,
            "alternate_singles": patch.alternate.singles,
        }
        common = (
            f"ofa_store_{expected_store(view, taps)}",
            "ofa_patch",
            "ofa_gather_constant",
            "ofa_gather_alternate",
            *_ROW,
        )
        ways.append(
            Way(
                "ofa_conv2d",
                "pairs" if pairs else "",
                named_counts(
                    _CONV,
                    counts,
                    _dots(_DOTS, single, blocks, taps),
                    _dots(_PAIR_DOTS, pairs, blocks, taps),
                    store_counts(view, taps, _calls(windows.channels, single, pairs)),
                ),
                constant_bytes,
                _codes(*common, *(("ofa_conv2d_pairs", *_ROW_PAIR[1:]) if pairs else ("ofa_conv2d",))),
                scratch_bytes=step * taps,
                forward_gap=conv_gap(windows, step),
            )
        )
    return tuple(ways)


_KINDS = (
    *("ofa_product", "ofa_product_copied", "ofa_product_pairs", "ofa_conv2d", "ofa_conv2d_pairs", "ofa_patch"),
    *("ofa_gather", "ofa_gather_alternate", "ofa_gather_constant", "ofa_row", "ofa_row_pair"),
    *("ofa_dot4", "ofa_dot4_raw", "ofa_dot4_pair"),
    *(f"ofa_store_{kind}" for kind in STORE_KINDS),
)
_TERMS = dict.fromkeys(_KINDS, ("bytes",))

POINTWISE = Kernel("ofa_pointwise", Flavour.PORTABLE, _PRODUCT, _pointwise_ways, _TERMS)
FULLY_CONNECTED = Kernel("ofa_fully_connected", Flavour.PORTABLE, _PRODUCT, _fully_connected_ways, _TERMS)
CONV2D = Kernel("ofa_conv2d", Flavour.PORTABLE, _CONV, _conv2d_ways, _TERMS)

KERNELS = (POINTWISE, FULLY_CONNECTED, CONV2D, DEPTHWISE)
"""Kernels of this family."""

"""Convolutions and matrix products in plain C: for every shape and every quantization, on any core.

Dense layers are dot products of four output channels at a time, over input rows read in place, copied one at a time, or
two at a time; convolutions gather their windows first. Copies let the output overwrite what was read.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Rounding, Way
from ofa_mcu.planning.kernels.portable_windows import (
    Windows,
    conv_gap,
    depthwise_gap,
    patches,
    product_gap,
    windows_of,
)
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, FullyConnected, Padding

__all__ = [
    "CHANNEL_BLOCK",
    "CONV2D",
    "CONV_BYTES",
    "DEPTHWISE",
    "DEPTHWISE_BYTES",
    "FULLY_CONNECTED",
    "KERNELS",
    "POINTWISE",
    "PRODUCT_BYTES",
    "WORDS",
    "pitch_of",
    "store_of",
    "sums_of",
]

CHANNEL_BLOCK = 4
"""Output channels whose weights lie side by side; the last block is filled up."""

WORDS = {"uniform": 3, "channels": 4, "general": 3}
"""Constants of an output channel, in 32-bit words, for each way to turn sums into codes."""

_ROW_CHANNELS, _PAIR_CHANNELS = 16, 8  # sums of a row, or of each of two, that become codes in one call
_FEW_TAPS = 32  # up to which another loop may be used
_MOST_TAPS = 32768  # with which sums stay in 32 bits whatever the order of their terms
_LARGEST_EXTENT = 65535
_MOST_SHORT_TAPS = 128  # with which sums of trained weights are expected to stay short

PRODUCT_BYTES, CONV_BYTES, DEPTHWISE_BYTES = 36, 56, 64
"""Descriptors with 32-bit pointers."""

_STORES = (
    *("stores", "uniform_outputs", "channels_outputs", "general_outputs"),
    *("uniform_short_outputs", "channels_short_outputs"),
)
_DOTS = ("blocks", "quads", "singles", "few_blocks", "few_quads", "few_singles")
_RAW_DOTS = tuple(f"raw_{name}" for name in _DOTS)
_PAIR_DOTS = ("pair_blocks", "pair_quads", "pair_singles")
_GATHERS = ("gathers", "gathered_quads", "gathered_singles")
_PAIR_GATHERS = ("alternate_gathers", "alternate_quads", "alternate_singles")

_PRODUCT = (
    *("calls", "rows_in_place", "summed_taps", *_RAW_DOTS),
    *("rows", *_GATHERS[1:], *_DOTS, "row_pairs", *_PAIR_GATHERS[1:], *_PAIR_DOTS, *_STORES),
)
_CONV = (
    *("calls", "output_rows", "pixels", "pixel_pairs", "window_rows", "fills", "filled_taps"),
    *(*_GATHERS, *_PAIR_GATHERS, *_DOTS, *_PAIR_DOTS, *_STORES),
)
_DEPTHWISE = (
    *("calls", "output_rows", "input_rows", "spread_channels", "spread_pairs", "fills", "filled_codes", "rows"),
    *("sweeps", "groups_3x3_1", "groups_3x3_2", "groups", "rows_any", "taps"),
    *("rows_5_1", "rows_5_2", "rows_7_1", "rows_7_2"),
    *_STORES,
)


def store_of(view: LayerView) -> str:
    """The way to turn sums into codes, as `WORDS` names it."""
    facts = view.facts
    if facts.rounding is Rounding.GENERAL:
        return "general"
    if facts.rounding is Rounding.PER_CHANNEL or view.dead_zone or facts.clamp_low or facts.clamp_high:
        return "channels"
    return "uniform"


def sums_of(windows: Windows) -> str:
    """The function that sums up the windows of a depthwise layer."""
    height, columns = windows.rows.kernel, windows.columns
    if columns.dilation == 1 and columns.stride in (1, 2):
        if (height, columns.kernel) == (3, 3):
            return f"ofa_depthwise_3x3_{columns.stride}"
        if columns.kernel in (5, 7):
            return f"ofa_depthwise_{columns.kernel}_{columns.stride}"
    return "ofa_depthwise_any"


def pitch_of(windows: Windows) -> int:
    """Columns that the windows of a depthwise layer pass, taken in groups of four."""
    columns = windows.columns
    return (-(-columns.out // 4) * 4 - 1) * columns.stride + columns.extent


def _fits(windows: Windows) -> bool:
    """Whether descriptors can hold every extent."""
    both = (windows.rows, windows.columns)
    extents = [value for axis in both for value in (axis.size, axis.out, axis.kernel, axis.stride, axis.dilation)]
    return max(*extents, windows.depth, windows.channels, pitch_of(windows)) <= _LARGEST_EXTENT


def _padded(count: int) -> int:
    return -(-count // 4) * 4


def _constants(view: LayerView, taps: int) -> int:
    channels = view.target[-1]
    return _padded(channels) * taps + 4 * channels * WORDS[store_of(view)]


def _expected_store(view: LayerView, taps: int) -> str:
    """The same, and whether sums are probably short, which the weights decide."""
    store = store_of(view)
    return f"{store}_short" if store != "general" and taps <= _MOST_SHORT_TAPS else store


def _stores(view: LayerView, taps: int, calls: int) -> dict[str, int]:
    return {"stores": calls, f"{_expected_store(view, taps)}_outputs": prod(view.target)}


def _calls(channels: int, rows: int, pairs: int) -> int:
    """How often sums of single rows and of pairs become codes."""
    return rows * -(-channels // _ROW_CHANNELS) + 2 * pairs * -(-channels // _PAIR_CHANNELS)


def _dots(names: tuple[str, ...], rows: int, blocks: int, taps: int) -> dict[str, int]:
    """Counts of dot products under the names, those for few taps last where there are six."""
    each = rows * blocks
    few = names[3:] if taps < _FEW_TAPS and len(names) > 3 else names[:3]
    return dict(zip(few, (each, each * (taps // 4), each * (taps % 4)), strict=True))


def _codes(*kinds: str) -> tuple[Code, ...]:
    return tuple(Code(kind) for kind in kinds)


def _store_code(view: LayerView, taps: int) -> str:
    return f"ofa_store_{_expected_store(view, taps)}"


def _counts(names: tuple[str, ...], *parts: Mapping[str, int]) -> tuple[float, ...]:
    found = {"calls": 1}
    for part in parts:
        found |= part
    return tuple([found.get(name, 0) for name in names])


_ROW = ("ofa_gather", "ofa_row", "ofa_dot4", "ofa_dot4_few")
_ROW_PAIR = ("ofa_gather_alternate", "ofa_row_pair", "ofa_dot4_pair")


def _product(name: str, view: LayerView, rows: int, taps: int) -> tuple[Way, ...]:
    if taps > _MOST_TAPS:
        return ()
    outputs = view.target[-1]
    blocks = -(-outputs // CHANNEL_BLOCK)
    store = _store_code(view, taps)
    constant_bytes = PRODUCT_BYTES + _constants(view, taps)
    quads, singles = divmod(taps, 4)
    direct = {"rows_in_place": rows, "summed_taps": rows * taps}
    ways = [
        Way(
            name,
            "in place",
            _counts(
                _PRODUCT, direct, _dots(_RAW_DOTS, rows, blocks, taps), _stores(view, taps, _calls(outputs, rows, 0))
            ),
            constant_bytes,
            _codes("ofa_product", "ofa_dot4_raw", "ofa_dot4_raw_few", store),
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
                _counts(
                    _PRODUCT,
                    counts,
                    _dots(_DOTS, single, blocks, taps),
                    _dots(_PAIR_DOTS, pairs, blocks, taps),
                    _stores(view, taps, _calls(outputs, single, pairs)),
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
    if taps > _MOST_TAPS or not _fits(windows):
        return ()
    blocks = -(-windows.channels // CHANNEL_BLOCK)
    constant_bytes = CONV_BYTES + _constants(view, taps)
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
            "fills": patch.fills,
            "filled_taps": patch.filled,
            "gathers": patch.plain.gathers,
            "gathered_quads": patch.plain.quads,
            "gathered_singles": patch.plain.singles,
            "alternate_gathers": patch.alternate.gathers,
            "alternate_quads": patch.alternate.quads,
            "alternate_singles": patch.alternate.singles,
        }
        common = (_store_code(view, taps), "ofa_patch", "ofa_gather_constant", "ofa_gather_alternate", *_ROW)
        ways.append(
            Way(
                "ofa_conv2d",
                "pairs" if pairs else "",
                _counts(
                    _CONV,
                    counts,
                    _dots(_DOTS, single, blocks, taps),
                    _dots(_PAIR_DOTS, pairs, blocks, taps),
                    _stores(view, taps, _calls(windows.channels, single, pairs)),
                ),
                constant_bytes,
                _codes(*common, *(("ofa_conv2d_pairs", *_ROW_PAIR[1:]) if pairs else ("ofa_conv2d",))),
                scratch_bytes=step * taps,
                forward_gap=conv_gap(windows, step),
            )
        )
    return tuple(ways)


def _depthwise_ways(view: LayerView) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, DepthwiseConv2D):
        return ()
    windows = windows_of(view)
    if windows.rows.kernel * windows.columns.kernel > _MOST_TAPS or not _fits(windows):
        return ()
    rows, columns, depth, channels = windows.rows, windows.columns, windows.depth, windows.channels
    pitch = pitch_of(windows)
    groups = -(-columns.out // 4)
    ring = rows.extent
    scratch = 4 * rows.kernel + 16 * groups + ring * depth * pitch
    read_to = (rows.out - 1) * rows.stride - rows.before + ring
    inside = min(read_to, rows.size)
    blank = rows.before + max(read_to - rows.size, 0)
    width = min(pitch - columns.before, columns.size)
    sweeps, area = rows.out * channels, rows.kernel * columns.kernel
    sums = sums_of(windows)
    each = sweeps * groups
    counts = {
        "output_rows": rows.out,
        "input_rows": inside,
        "spread_channels": inside * depth,
        "spread_pairs": inside * depth * (-(-width // 2)),
        "fills": blank + 1,
        "filled_codes": (blank + ring) * depth * pitch,
        "rows": rows.out * rows.kernel,
        "sweeps": sweeps,
    }
    kind = sums.removeprefix("ofa_depthwise_")
    if kind in ("3x3_1", "3x3_2"):
        counts[f"groups_{kind}"] = each
    else:
        counts |= {"groups": each, f"rows_{kind}": each * rows.kernel}
        if kind == "any":
            counts["taps"] = each * area
    constant_bytes = _padded(channels * area) + 4 * channels * WORDS[store_of(view)]
    return (
        Way(
            "ofa_depthwise",
            kind,
            _counts(_DEPTHWISE, counts, _stores(view, area, sweeps)),
            DEPTHWISE_BYTES + constant_bytes,
            _codes("ofa_depthwise", "ofa_gather_constant", sums, _store_code(view, area).replace("store", "spread")),
            scratch_bytes=scratch,
            forward_gap=depthwise_gap(windows),
        ),
    )


_STORE_KINDS = tuple(name.removesuffix("_outputs") for name in _STORES[1:])
_KINDS = (
    *("ofa_product", "ofa_product_copied", "ofa_product_pairs", "ofa_conv2d", "ofa_conv2d_pairs", "ofa_patch"),
    *("ofa_gather", "ofa_gather_alternate", "ofa_gather_constant", "ofa_row", "ofa_row_pair"),
    *("ofa_dot4", "ofa_dot4_few", "ofa_dot4_raw", "ofa_dot4_raw_few", "ofa_dot4_pair"),
    *(f"ofa_store_{kind}" for kind in _STORE_KINDS),
    *(f"ofa_spread_{kind}" for kind in _STORE_KINDS),
    *("ofa_depthwise", "ofa_depthwise_any", "ofa_depthwise_3x3_1", "ofa_depthwise_3x3_2"),
    *("ofa_depthwise_5_1", "ofa_depthwise_5_2", "ofa_depthwise_7_1", "ofa_depthwise_7_2"),
)
_TERMS = dict.fromkeys(_KINDS, ("bytes",))

POINTWISE = Kernel("ofa_pointwise", Flavour.PORTABLE, _PRODUCT, _pointwise_ways, _TERMS)
FULLY_CONNECTED = Kernel("ofa_fully_connected", Flavour.PORTABLE, _PRODUCT, _fully_connected_ways, _TERMS)
CONV2D = Kernel("ofa_conv2d", Flavour.PORTABLE, _CONV, _conv2d_ways, _TERMS)
DEPTHWISE = Kernel("ofa_depthwise", Flavour.PORTABLE, _DEPTHWISE, _depthwise_ways, _TERMS)

KERNELS = (POINTWISE, FULLY_CONNECTED, CONV2D, DEPTHWISE)
"""Kernels of this family."""

"""Depthwise convolutions in plain C: for every shape and every quantization, on any core.

Input rows are taken apart into rows of channels, with padding around them; then come sums of four outputs of a channel
at a time. A ring of the rows under the window is kept, of all channels or, with some more instructions, of a few at a
time. Whole planes of a few channels take the fewest instructions where maps are small.
"""

from __future__ import annotations

from dataclasses import dataclass

from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, LayerView, Way
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
    Windows,
    depthwise_gap,
    fits_descriptors,
    pitch_of,
    windows_of,
)
from ofa_mcu.space.shapes import DepthwiseConv2D

__all__ = ["DEPTHWISE", "DEPTHWISE_BYTES", "Design", "design_of", "sums_of"]

DEPTHWISE_BYTES = 64
"""Bytes of the descriptor, with pointers of 32 bits."""

_BLOCK = 4
"""Channels that are worked on together where not all are."""

_FEATURES = (
    *("calls", "blocks", "output_rows", "input_rows", "rows"),
    *("plane_blocks", "plane_input_rows", "planes", "plane_rows"),
    *("spread_channels", "spread_quads", "spread_singles", "fills", "filled_quads"),
    *("sweeps", "groups_3x3_1", "groups_3x3_2", "groups", "rows_any", "taps"),
    *("rows_5_1", "rows_5_2", "rows_7_1", "rows_7_2"),
    *STORE_FEATURES,
)


def sums_of(windows: Windows) -> str:
    """The function that sums up the windows of a depthwise layer."""
    height, columns = windows.rows.kernel, windows.columns
    if columns.dilation == 1 and columns.stride in (1, 2):
        if (height, columns.kernel) == (3, 3):
            return f"ofa_depthwise_3x3_{columns.stride}"
        if columns.kernel in (5, 7):
            return f"ofa_depthwise_{columns.kernel}_{columns.stride}"
    return "ofa_depthwise_any"


@dataclass(frozen=True)
class Design:
    """A layer run `block` input channels at a time, in a ring of rows or with all rows at once."""

    windows: Windows
    multiplier: int
    block: int
    whole: bool

    @property
    def function(self) -> str:
        """The function of the library."""
        return "ofa_depthwise_planes" if self.whole else "ofa_depthwise"

    @property
    def variant(self) -> str:
        """What `--explain` calls it."""
        kind = sums_of(self.windows).removeprefix("ofa_depthwise_")
        few = f" of {self.block} channels" if self.block < self.windows.depth else ""
        return f"{kind} planes{few}" if self.whole else f"{kind} ring{few}"

    @property
    def path(self) -> int:
        """Rows that the windows pass, padding included."""
        rows = self.windows.rows
        return (rows.out - 1) * rows.stride + rows.extent

    @property
    def scratch_bytes(self) -> int:
        """Row offsets, sums of a row of outputs, and the rows of a block."""
        rows, columns = self.windows.rows, self.windows.columns
        kept = self.path if self.whole else rows.extent
        return 4 * rows.kernel + 4 * padded(columns.out) + kept * self.block * pitch_of(self.windows)

    @property
    def forward_gap(self) -> int | None:
        """Of the way: planes leave nothing unread of the channels they write."""
        return 0 if self.whole else depthwise_gap(self.windows)

    def counts(self, view: LayerView) -> tuple[float, ...]:
        """Values of the kernel's features."""
        rows, columns, depth = self.windows.rows, self.windows.columns, self.windows.depth
        pitch, groups = pitch_of(self.windows), -(-columns.out // 4)
        blocks = -(-depth // self.block)
        inside = max(min(self.path - rows.before, rows.size), 0)
        width = max(min(pitch - columns.before, columns.size), 0)
        sweeps, area = rows.out * self.windows.channels, rows.kernel * columns.kernel
        each = sweeps * groups
        counts = {
            "spread_channels": inside * depth,
            "spread_quads": inside * depth * (width // 4),
            "spread_singles": inside * depth * (width % 4),
            "sweeps": sweeps,
        }
        if self.whole:
            counts |= {
                "plane_blocks": blocks,
                "plane_input_rows": blocks * inside,
                "planes": self.windows.channels,
                "plane_rows": sweeps,
                "fills": 1,
                "filled_quads": self.path * self.block * pitch // 4,
            }
        else:
            blank = self.path - inside
            counts |= {
                "blocks": blocks,
                "output_rows": blocks * rows.out,
                "input_rows": blocks * inside,
                "rows": blocks * rows.out * rows.kernel,
                "fills": blocks * blank + 1,
                "filled_quads": (blank * depth + rows.extent * self.block) * pitch // 4,
            }
        kind = sums_of(self.windows).removeprefix("ofa_depthwise_")
        if kind.startswith("3x3"):
            counts[f"groups_{kind}"] = each
        else:
            counts |= {"groups": each, f"rows_{kind}": each * rows.kernel}
            if kind == "any":
                counts["taps"] = each * area
        return named_counts(_FEATURES, counts, store_counts(view, area, sweeps))

    def way(self, view: LayerView) -> Way:
        """The way as the planner sees it."""
        area = self.windows.rows.kernel * self.windows.columns.kernel
        spread = f"ofa_spread_{expected_store(view, area)}"
        return Way(
            "ofa_depthwise",
            self.variant,
            self.counts(view),
            DEPTHWISE_BYTES + padded(self.windows.channels * area) + channel_constants(view),
            tuple(map(Code, (self.function, sums_of(self.windows), spread))),
            scratch_bytes=self.scratch_bytes,
            forward_gap=self.forward_gap,
        )


def _designs(view: LayerView) -> tuple[Design, ...]:
    operator = view.operator
    if not isinstance(operator, DepthwiseConv2D):
        return ()
    windows = windows_of(view)
    if windows.rows.kernel * windows.columns.kernel > MOST_TAPS or not fits_descriptors(windows):
        return ()
    depth, multiplier = windows.depth, operator.depth_multiplier
    designs = [Design(windows, multiplier, depth, False)]
    if depth <= _BLOCK or multiplier == 1:
        designs.append(Design(windows, multiplier, min(depth, _BLOCK), True))
    if depth > _BLOCK and multiplier == 1:
        designs.append(Design(windows, multiplier, _BLOCK, False))
    return tuple(designs)


def _ways(view: LayerView) -> tuple[Way, ...]:
    return tuple(design.way(view) for design in _designs(view))


def design_of(view: LayerView, way: Way) -> Design:
    """The design that the way of the layer stands for."""
    return next(design for design in _designs(view) if design.variant == way.variant)


_CODES = (
    *("ofa_depthwise", "ofa_depthwise_planes"),
    *("ofa_depthwise_any", "ofa_depthwise_3x3_1", "ofa_depthwise_3x3_2"),
    *("ofa_depthwise_5_1", "ofa_depthwise_5_2", "ofa_depthwise_7_1", "ofa_depthwise_7_2"),
    *(f"ofa_spread_{kind}" for kind in STORE_KINDS),
)

DEPTHWISE = Kernel("ofa_depthwise", Flavour.PORTABLE, _FEATURES, _ways, dict.fromkeys(_CODES, ("bytes",)))

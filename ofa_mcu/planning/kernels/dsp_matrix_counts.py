"""Blocks of the convolutions on DSP cores, and the numbers that their instructions grow with."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_mcu.planning.kernels.dsp_matrix_layout import PIXELS, Geometry, Taps

__all__ = ["BLOCK_FEATURES", "FAR_PAIRS", "MOST_PAIRS", "Block", "band_counts", "block_counts", "direct_counts"]

FAR_PAIRS = 60
"""Pairs of taps whose widened codes are in reach of the stack pointer."""

MOST_PAIRS = 72
"""Pairs of taps of unrolled functions: 1,152 bytes of stack."""


@dataclass(frozen=True)
class Block:
    """What a block function is made for: layers with equal blocks share one.

    `shift` is the shift of all channels, None where the stream holds one for each. Where `sums` is not
    0, codes become sums with those of another tensor, which are clamped, and it is the number of output channels.
    With `merged`, only where not `unrolled`, one function runs layers of all modes: odd, signed, clamped.
    """

    taps: Taps
    unrolled: bool
    odd: bool
    dead_zone: bool
    low: bool
    high: bool
    shift: int | None
    sums: int = 0
    merged: bool = False

    @property
    def key(self) -> tuple[bool | int | Taps | None, ...]:
        """What tells functions apart; the one of a loop takes any number of taps."""
        if self.merged:
            return (self.shift, self.sums > 0)
        flags = (self.odd, self.dead_zone, self.low, self.high, self.shift)
        return (self.taps, *flags, self.sums) if self.unrolled else (*flags, self.sums > 0)

    @property
    def single_key(self) -> tuple[bool, ...]:
        """What tells functions for a single pixel apart; beside loops there is one for all modes."""
        if not self.unrolled:
            return (False,)
        return (True, self.shift is None, self.dead_zone, self.low, self.high, self.sums > 0)

    @property
    def in_mode(self) -> bool:
        """Whether a merged function leaves its fastest path."""
        return self.merged and (self.dead_zone or self.low or self.high or self.odd or self.sums > 0)

    @property
    def signed(self) -> bool:
        """Whether the stream holds dead zones."""
        return self.in_mode if self.merged else self.dead_zone

    @property
    def clamps(self) -> int:
        """How often the text of the function clamps the codes of a channel."""
        return (self.low + self.high) * (1 + self.odd)

    @property
    def wide_bytes(self) -> int:
        """Scratch memory for the widened codes; unrolled functions have them on the stack."""
        return 0 if self.unrolled else 4 * PIXELS * self.taps.pairs

    def stream_words(self, outputs: int) -> int:
        """Words of weights, biases and scales."""
        return -(-outputs // 2) * (2 + self.taps.pairs) + outputs * (2 + self.signed + (self.shift is None))


BLOCK_FEATURES = (
    *("blocks", "words", "runs", "loop_words", "loop_runs", "left_codes", "odd_blocks", "odd_pairs", "clamps"),
    *("pairs", "dead_zones", "own_shifts", "steps", "far_steps"),
    *("loop_blocks", "loop_pairs", "loop_odd_blocks", "loop_dead_zones", "loop_own_shifts"),
    *("merged", "in_mode", "rounds", "loop_steps"),
)
"""Numbers of all blocks of four pixels: words and runs gathered without a loop over words and with one, codes left
over; blocks with a last channel alone and all pairs of these; pairs clamped; whole pairs, channels with a dead zone,
with shifts of their own, pairs of taps of pairs of channels near and far from the stack pointer. Of blocks in a loop
the same, pairs of merged functions, those of them that are in some mode, and turns."""


def block_counts(block: Block, outputs: int, blocks: int) -> tuple[float, ...]:
    """What `BLOCK_FEATURES` names."""
    taps = block.taps
    pairs, channels = blocks * -(-outputs // 2), blocks * outputs
    straight = block.unrolled and (taps.unrolled_rows or taps.unrolled_words)
    words, runs = blocks * taps.runs * taps.words, blocks * taps.runs
    gathered = (blocks, words, runs, 0, 0) if straight else (blocks, 0, 0, words, runs)
    clamped = pairs * (2 * (block.low or block.high) if block.merged else block.low + block.high)
    signed, own = channels * block.signed, channels * (block.shift is None)
    alone, whole = blocks * block.odd, blocks * (outputs // 2)
    own_store = pairs * (block.odd and not block.merged)
    if block.unrolled:
        near = min(taps.pairs, FAR_PAIRS)
        left = blocks * taps.runs * taps.left
        products = (pairs * near, pairs * (taps.pairs - near))
        return (*gathered, left, alone, own_store, clamped, whole, signed, own, *products, *(0,) * 9)
    modes = (pairs * block.merged, pairs * block.in_mode)
    looped = (blocks, whole, alone, signed, own, *modes, pairs * -(-(taps.pairs - 1) // 8), pairs * taps.pairs)
    return (*gathered, 0, 0, own_store, clamped, 0, 0, 0, 0, 0, *looped)


def _row_blocks(shape: Geometry) -> int:
    return -(-shape.output_width // PIXELS)


def direct_counts(shape: Geometry) -> tuple[tuple[float, ...], int]:
    """Rows, and of the windows put together: blocks, rows of them inside and outside the input, words of these."""
    top, bottom = shape.inside(0)
    first, last = shape.inside(1)
    per_row = _row_blocks(shape)
    inner = sum(first <= PIXELS * i and min(PIXELS * (i + 1), shape.output_width) <= last for i in range(per_row))
    patches = shape.output_height * per_row - (bottom - top) * inner
    words = patches * shape.kernel[0] * -(-(shape.patch_bytes - 4) // shape.kernel[0] // 8)
    return (shape.output_height, patches, patches * shape.kernel[0], words, 0), shape.output_height * per_row


def band_counts(shape: Geometry, band: int) -> tuple[tuple[float, ...], int]:
    """Rows of the output, no windows put together, padded rows, words copied, bands; and blocks."""
    rows, blocks, steps, moved = 0, 0, 0, 0
    kept = 0
    for first in range(0, shape.output_height, band):
        count = min(band, shape.output_height - first)
        rows += shape.band_rows(count) - kept
        moved += kept
        kept = max(0, shape.extent[0] - shape.stride[0])
        above = count // 4 if shape.output_width % PIXELS else 0
        blocks += above * shape.output_width + (count - 4 * above) * _row_blocks(shape)
        steps += 1
    words = (rows + moved) * -(-shape.band_row // 8)
    return (shape.output_height, 0, rows, words, steps), blocks

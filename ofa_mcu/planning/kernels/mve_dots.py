"""What all kernels for M-profile vectors have in common: their modes, and the vectors of their dot products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ofa_mcu.planning.kernels.base import LayerView, Rounding

__all__ = [
    "DOTS_CODE",
    "DOTS_FEATURES",
    "MODES",
    "MOST_HELD",
    "PAIR_MODES",
    "QUAD",
    "VECTOR",
    "Dots",
    "aligned",
    "mode_of",
]

VECTOR = 16
"""Codes in a vector."""

MODES = ("plain", "signed", "clamped", "general")
"""Plain: the clamp hides sums below zero and is int8's; signed: they survive; clamped: the clamp is tighter; general:
anything, shifts to the left and of zero included.
"""

PAIR_MODES = ("plain", "signed")
"""Those in which two pixels at a time are computed."""

QUAD = 4
"""Outputs computed at a time."""

MOST_HELD = 6
"""Vectors of a pixel that fit the registers."""

_IN_REGISTERS = 3
"""Vectors of two pixels that do."""
_MOST_PAIRED = 0xFFF0


def aligned(size: int) -> int:
    """The size rounded up to whole words."""
    return -(-size // 4) * 4


def mode_of(view: LayerView) -> str:
    """The mode that a layer's facts ask for."""
    facts = view.facts
    clamped = facts.clamp_low or facts.clamp_high
    if facts.rounding is Rounding.GENERAL or (clamped and view.dead_zone):
        return "general"
    if clamped:
        return "clamped"
    return "signed" if view.dead_zone else "plain"


@dataclass(frozen=True)
class Dots:
    """Products of inputs of `depth` codes with the weights of `outputs`, four outputs at a time."""

    depth: int
    outputs: int

    @property
    def vectors(self) -> int:
        """Vectors of one input."""
        return -(-self.depth // VECTOR)

    @property
    def quads(self) -> int:
        """Groups of four outputs; the last one starts early, so that it ends with the outputs."""
        return -(-self.outputs // QUAD)

    def function(self, mode: str, pixels: int) -> str:
        """The library's function for so many vectors that works in place, or the one that does not."""
        if self.vectors > MOST_HELD:
            return "products"
        paired = mode in PAIR_MODES and pixels > 1 and QUAD <= self.outputs <= _MOST_PAIRED
        return f"{'pairs' if paired else 'pixels'}_{self.vectors}"

    @property
    def stream_bytes(self) -> int:
        """Bytes of weights, biases, multipliers and shifts."""
        return self.quads * (self.vectors * QUAD * VECTOR + 9 * QUAD)

    def counts(self, function: str, calls: Sequence[tuple[int, int]], mode: str) -> tuple[float, ...]:
        """Numbers named by `DOTS_FEATURES`, for (number, pixels) of the function's calls."""
        number = sum([count for count, _ in calls])
        pixels = sum([count * size for count, size in calls])
        products = self.quads * pixels
        held, out, deep = function.startswith("pixels"), function == "outputs", function == "products"
        pairs = runs = 0
        if function.startswith("pairs"):
            pairs = sum([count * -(-size // 2) for count, size in calls])
            runs = sum([count * ((size > 1) + size % 2) for count, size in calls])
        quads = pairs * self.quads
        ends = self.outputs > QUAD and self.outputs % QUAD > 0
        return (
            number,
            held * pixels,
            held * pixels * self.vectors,
            held * pixels * ends,
            held * products,
            held * products * self.vectors,
            out * self.quads * number,
            out * products,
            deep * self.quads * number,
            deep * products,
            deep * products * (self.vectors - 1),
            (not out) * pixels * (self.outputs < QUAD),
            runs,
            pairs,
            pairs * self.vectors,
            pairs * self.vectors * (self.vectors > _IN_REGISTERS),
            pairs * ends,
            quads,
            quads * (self.vectors == _IN_REGISTERS),
            quads * self.vectors,
            quads * self.vectors * (self.vectors > _IN_REGISTERS),
            *((2 * quads if pairs else products) if mode == other else 0 for other in MODES[1:]),
        )


DOTS_FEATURES = (
    "calls",
    "pixels",
    "pixel_vectors",
    "pixel_ends",
    "pixel_quads",
    "pixel_products",
    "output_quads",
    "output_pixels",
    "deep_quads",
    "deep_pixels",
    "deep_products",
    "few_outputs",
    "pair_runs",
    "pairs",
    "pair_vectors",
    "pair_copies",
    "pair_ends",
    "pair_quads",
    "pair_quads_apart",
    "pair_products",
    "pair_copied_products",
    *MODES[1:],
)
"""Calls; of functions that hold a pixel: pixels, their vectors, outputs beside quads, quads, vectors of these; of the
one that holds weights, and of the one for deep pixels: quads, their pixels, vectors of these beyond the first; pixels
with less than four outputs; of functions for two pixels: loops, pairs, their vectors, those copied, outputs beside
quads, quads, those whose pixels are finished apart, vectors of these, those copied; quads of all pixels, by mode but
plain.
"""

DOTS_FUNCTIONS = (*(f"pixels_{vectors}" for vectors in range(1, MOST_HELD + 1)), "outputs", "products")

DOTS_CODE = (
    *(f"ofa_mve_{function}_{mode}" for function in DOTS_FUNCTIONS for mode in MODES),
    *(f"ofa_mve_pairs_{vectors}_{mode}" for vectors in range(1, MOST_HELD + 1) for mode in PAIR_MODES),
)
"""Library functions of dot products."""

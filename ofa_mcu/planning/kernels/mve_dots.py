"""What all kernels for M-profile vectors have in common: their modes, and the vectors of their dot products."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_mcu.planning.kernels.base import LayerView, Rounding

__all__ = ["DOTS_CODE", "DOTS_FEATURES", "MODES", "MOST_HELD", "QUAD", "VECTOR", "Dots", "aligned", "mode_of"]

VECTOR = 16
"""Codes in a vector."""

MODES = ("plain", "signed", "clamped", "general")
"""Plain: the clamp hides sums below zero and is int8's; signed: they survive; clamped: the clamp is tighter; general:
anything, shifts to the left and of zero included.
"""

QUAD = 4
"""Outputs computed at a time."""

MOST_HELD = 6
"""Vectors of a pixel that fit the registers."""


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

    @property
    def function(self) -> str:
        """The library's function for so many vectors that works in place, or the one that does not."""
        return f"pixels_{self.vectors}" if self.vectors <= MOST_HELD else "products"

    @property
    def stream_bytes(self) -> int:
        """Bytes of weights, biases, multipliers and shifts."""
        return self.quads * (self.vectors * QUAD * VECTOR + 9 * QUAD)

    def counts(self, function: str, pixels: int, calls: int, mode: str) -> tuple[float, ...]:
        """Numbers named by `DOTS_FEATURES`, for so many pixels in so many calls of the function."""
        products = self.quads * pixels
        held, out, deep = function.startswith("pixels"), function == "outputs", function == "products"
        return (
            calls,
            held * pixels,
            held * pixels * self.vectors,
            held * pixels * (self.outputs > QUAD and self.outputs % QUAD > 0),
            held * products,
            held * products * self.vectors,
            out * self.quads * calls,
            out * products,
            deep * self.quads * calls,
            deep * products,
            deep * products * (self.vectors - 1),
            (not out) * pixels * (self.outputs < QUAD),
            *(products if mode == other else 0 for other in MODES[1:]),
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
    *MODES[1:],
)
"""Calls; of functions that hold a pixel: pixels, their vectors, outputs beside quads, quads, vectors of these; of the
one that holds weights, and of the one for deep pixels: quads, their pixels, vectors of these beyond the first; pixels
with less than four outputs; quads of all pixels, by mode but plain.
"""

DOTS_FUNCTIONS = (*(f"pixels_{vectors}" for vectors in range(1, MOST_HELD + 1)), "outputs", "products")

DOTS_CODE = tuple(f"ofa_mve_{function}_{mode}" for function in DOTS_FUNCTIONS for mode in MODES)
"""Library functions of dot products."""

"""What all kernels for M-profile vectors have in common: their modes, and the vectors of their dot products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

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
    "dots_features",
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

_MOST_PAIRED = 0xFFF0


def aligned(size: int) -> int:
    """The size rounded up to whole words."""
    return -(-size // 4) * 4


def mode_of(view: LayerView) -> str:
    """The mode that a layer's facts ask for."""
    facts = view.facts
    clamped = facts.clamp_low or facts.clamp_high
    if facts.rounding is Rounding.GENERAL or not facts.scaled_down or (clamped and view.dead_zone):
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

    def counts(self, function: str, calls: Sequence[tuple[int, int]]) -> tuple[float, ...]:
        """Numbers named by `dots_features`, for (number, pixels) of the function's calls."""
        number = sum([count for count, _ in calls])
        pixels = sum([count * size for count, size in calls])
        ends = self.outputs > QUAD and self.outputs % QUAD > 0
        few = self.outputs < QUAD
        quads = self.quads
        if function == "outputs":
            return number, number * quads, pixels * quads
        if function == "products":
            products = pixels * quads
            return number, number * quads, products, products * (self.vectors - 1), few * pixels
        if function.startswith("pixels"):
            return number, pixels, pixels * ends, few * pixels, pixels * quads
        runs = sum([count * ((size > 1) + size % 2) for count, size in calls])
        pairs = sum([count * -(-size // 2) for count, size in calls])
        return number, runs, pairs, pairs * ends, pairs * quads


_TERMS = {
    "outputs": ("calls", "quads", "products"),
    "products": ("calls", "quads", "products", "further vectors", "pixels with few codes"),
    "pixels": ("calls", "pixels", "pixels with ends", "pixels with few codes", "products"),
    "pairs": ("calls", "runs", "pairs", "pairs with ends", "products"),
}
"""What the instructions of a function grow with: calls; groups of four outputs; pixels or pairs of them, those whose
last group starts early, those with less than four outputs; groups of all pixels, vectors of these beyond the first;
loops over pairs.
"""


@cache
def dots_features(function: str, mode: str) -> tuple[str, ...]:
    """Names of the numbers that the instructions of a function in a mode grow with."""
    return tuple(f"{function} {mode}: {term}" for term in _TERMS[function.split("_")[0]])


DOTS_FUNCTIONS = (*(f"pixels_{vectors}" for vectors in range(1, MOST_HELD + 1)), "outputs", "products")

_ALL = (
    *((function, mode) for function in DOTS_FUNCTIONS for mode in MODES),
    *((f"pairs_{vectors}", mode) for vectors in range(1, MOST_HELD + 1) for mode in PAIR_MODES),
)

DOTS_CODE = tuple(f"ofa_mve_{function}_{mode}" for function, mode in _ALL)
"""Library functions of dot products."""

DOTS_FEATURES = tuple(feature for function, mode in _ALL for feature in dots_features(function, mode))
"""Names of the numbers of all of them: each is compiled for itself."""

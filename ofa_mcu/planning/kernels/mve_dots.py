"""What all kernels for M-profile vectors have in common: their modes, and the vectors of their dot products."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_mcu.planning.kernels.base import LayerView, Rounding

__all__ = ["DOTS_CODE", "DOTS_FEATURES", "MODES", "QUAD", "VECTOR", "Dots", "aligned", "mode_of"]

VECTOR = 16
"""Codes in a vector."""

MODES = ("plain", "signed", "clamped", "general")
"""Plain: the clamp hides sums below zero and is int8's; signed: they survive; clamped: the clamp is tighter; general:
anything, shifts to the left and of zero included.
"""

QUAD = 4


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
    def constants(self) -> int:
        """Outputs that biases, multipliers and shifts are stored for."""
        return max(self.outputs, QUAD)

    @property
    def kind(self) -> str:
        """The function for so many vectors."""
        return "1" if self.vectors == 1 else "2" if self.vectors == 2 and self.outputs >= QUAD else "n"

    @property
    def constant_bytes(self) -> int:
        """Bytes of weights, biases, multipliers and shifts."""
        return self.quads * self.vectors * QUAD * VECTOR + 8 * self.constants + aligned(self.constants)

    def counts(self, pixels: int, calls: int, mode: str) -> tuple[float, ...]:
        """Numbers named by `DOTS_FEATURES`, for so many pixels in so many calls."""
        products = self.quads * pixels
        kind = self.kind
        return (
            calls,
            self.quads * calls,
            products if kind == "1" else 0,
            products if kind == "2" else 0,
            products if kind == "n" else 0,
            products * (self.vectors - 1) if kind == "n" else 0,
            *(products if mode == other else 0 for other in MODES[1:]),
        )


DOTS_FEATURES = ("calls", "starts", "products_1", "products_2", "products_n", "vectors", *MODES[1:])
"""Calls; starts of four outputs; their products with a pixel, by function; vectors of these beyond the first where any
number may be; products by mode but plain.
"""

DOTS_CODE = tuple(f"ofa_mve_dots_{kind}_{mode}" for kind in "12n" for mode in MODES)
"""Library functions of dot products."""

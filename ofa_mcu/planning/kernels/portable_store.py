"""How the kernels in plain C turn sums into codes, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from ofa_mcu.planning.kernels.base import LayerView, Rounding

__all__ = [
    "STORE_FEATURES",
    "STORE_KINDS",
    "WORDS",
    "channel_constants",
    "expected_store",
    "named_counts",
    "padded",
    "store_counts",
    "store_of",
]

WORDS = {"uniform": 3, "channels": 4, "general": 3}
"""Constants of an output channel, in 32-bit words, for each way to turn sums into codes."""

STORE_KINDS = ("uniform", "channels", "general", "uniform_short", "channels_short")
"""Functions that do it: those for short sums differ only on cores without long multiplications."""

STORE_FEATURES = ("stores", *(f"{kind}_outputs" for kind in STORE_KINDS))
"""Names of the numbers of `store_counts`."""

_MOST_SHORT_TAPS = 128  # with which sums of trained weights are expected to stay short


def store_of(view: LayerView) -> str:
    """The way to turn sums into codes, as `WORDS` names it."""
    facts = view.facts
    if facts.rounding is Rounding.GENERAL:
        return "general"
    if facts.rounding is Rounding.PER_CHANNEL or view.dead_zone or facts.clamp_low or facts.clamp_high:
        return "channels"
    return "uniform"


def expected_store(view: LayerView, taps: int) -> str:
    """The same, and whether sums are probably short, which the weights decide."""
    store = store_of(view)
    return f"{store}_short" if store != "general" and taps <= _MOST_SHORT_TAPS else store


def store_counts(view: LayerView, taps: int, calls: int) -> dict[str, int]:
    """Numbers of the calls and of the outputs."""
    return {"stores": calls, f"{expected_store(view, taps)}_outputs": prod(view.target)}


def padded(count: int) -> int:
    """The next multiple of four."""
    return -(-count // 4) * 4


def channel_constants(view: LayerView) -> int:
    """Bytes of the constants of all output channels."""
    return 4 * view.target[-1] * WORDS[store_of(view)]


def named_counts(names: tuple[str, ...], *parts: Mapping[str, int]) -> tuple[float, ...]:
    """Numbers in the order of the features `names`; there is one call, and what is not given is zero."""
    found = {"calls": 1}
    for part in parts:
        found |= part
    assert found.keys() <= set(names), found.keys() - set(names)
    return tuple([found.get(name, 0) for name in names])

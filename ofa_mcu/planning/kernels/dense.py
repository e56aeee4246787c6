"""Fully connected layers of one row with the DSP extension: four channels at a time, two weights to a halfword."""

from __future__ import annotations

from math import prod

from ofa_mcu.planning.kernels.base import Flavour, Kernel, LayerView, Rounding, Way
from ofa_mcu.planning.kernels.elementwise import library
from ofa_mcu.space.shapes import FullyConnected

__all__ = ["DENSE_KERNELS", "dense_blocks", "dense_quads"]

_LAYER_BYTES = 20
_FAST_SCALES, _GENERAL_SCALES = 16, 8  # bytes of a channel
_CHUNK = 128  # of quads, as in the C


def dense_quads(taps: int) -> int:
    """Steps of four inputs."""
    return -(-taps // 4)


def dense_blocks(channels: int) -> tuple[int, int]:
    """Blocks of four channels, and of two."""
    fours = (channels + 1) // 4
    return fours, int(channels > 4 * fours)


def _way(view: LayerView, *, fast: bool) -> tuple[Way, ...]:
    operator = view.operator
    if not isinstance(operator, FullyConnected) or view.structure.rows_of(operator) != 1 or view.facts.wide_weights:
        return ()
    if (view.facts.rounding is not Rounding.GENERAL) is not fast:
        return ()
    taps, channels = prod(view.source), view.target[-1]
    quads = dense_quads(taps)
    fours, twos = dense_blocks(channels)
    words = fours * (4 + 4 * quads) + twos * (2 + 2 * quads)
    name = "ofa_dsp_dense" if fast else "ofa_dsp_dense_general"
    if fast:
        counts: tuple[int, ...] = (1, fours, fours * (quads // 2), fours * (quads % 2), twos, twos * quads, channels)
    else:
        parts, last = divmod(quads, _CHUNK)
        pairs = parts * (_CHUNK // 2) + last // 2
        chunks = parts + (last > 0)
        counts = (1, fours, fours * chunks, fours * pairs, fours * (last % 2))
        counts += (twos, twos * chunks, twos * quads, channels)
    return (
        Way(
            kernel=name,
            variant="",
            counts=counts,
            constant_bytes=_LAYER_BYTES + 4 * words + channels * (_FAST_SCALES if fast else _GENERAL_SCALES),
            code=library(name),
            overread=-taps % 4,
        ),
    )


def _fast(view: LayerView) -> tuple[Way, ...]:
    return _way(view, fast=True)


def _general(view: LayerView) -> tuple[Way, ...]:
    return _way(view, fast=False)


_FUNCTION = ("functions",)

DENSE_KERNELS: tuple[Kernel, ...] = (
    Kernel(
        "ofa_dsp_dense",
        Flavour.DSP,
        ("calls", "blocks", "double_steps", "single_steps", "half_blocks", "half_steps", "channels"),
        _fast,
        {"ofa_dsp_dense": _FUNCTION},
    ),
    Kernel(
        "ofa_dsp_dense_general",
        Flavour.DSP,
        (
            *("calls", "blocks", "chunks", "double_steps", "single_steps"),
            *("half_blocks", "half_chunks", "half_steps", "channels"),
        ),
        _general,
        {"ofa_dsp_dense_general": _FUNCTION},
    ),
)
"""Fully connected layers on cores with the DSP extension."""

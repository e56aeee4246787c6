"""Waveforms to mel cepstra as bytes: integers throughout, equal to the C of firmware/lib/ofa_frontend byte for byte.

Every value is an integer below 2**53 held in float64, so that sums and products are exact and run at vector speed; a
right shift is a product with a power of two, rounded down.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from ofa_mcu.tasks.audio.tables import (
    BINS,
    COEFFICIENTS,
    FILTERS,
    HOP,
    LOG_BITS,
    LOG_CENTRE,
    LOG_FLOOR_BITS,
    LOG_INTERVAL_BITS,
    MEL_BITS,
    MEL_SHIFT,
    OUTPUT_SHIFT,
    POINTS,
    SPECTRUM_SHIFT,
    WINDOW,
    tables,
)

__all__ = ["features", "frames_of", "log_energies", "power_spectrum"]

Reals = NDArray[np.float64]

_COMPLEX = POINTS // 2
_BLOCK = 128  # frames; keeps the working set within a core's second-level cache


def features(clips: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Mel cepstra uint8 (N, T, 10, 1) of clips int16 (N, S) at 16 kHz; one second (S = 16,000) gives T = 49 columns."""
    frames = frames_of(clips)
    count, columns = frames.shape[:2]
    out = np.empty((count * columns, COEFFICIENTS), np.uint8)
    clips_per_block = max(1, _BLOCK // max(columns, 1))
    for begin in range(0, count, clips_per_block):
        part = frames[begin : begin + clips_per_block].reshape(-1, WINDOW)
        logs = log_energies(power_spectrum(part))
        out[begin * columns : begin * columns + len(part)] = _coefficients(logs)
    return out.reshape(count, columns, COEFFICIENTS, 1)


def frames_of(clips: NDArray[np.int16]) -> NDArray[np.int16]:
    """Views of the frames (N, T, 480) of clips (N, S): T = (S - 480) // 320 + 1, or 0."""
    if clips.shape[1] < WINDOW:
        return np.empty((len(clips), 0, WINDOW), np.int16)
    return sliding_window_view(clips, WINDOW, axis=1)[:, ::HOP]


@cache
def _digit_reversed() -> NDArray[np.int64]:
    """Which of 256 points comes to each place before the first stage: base-4 digits in reverse."""
    index = np.arange(_COMPLEX)
    return (index & 3) << 6 | (index >> 2 & 3) << 4 | (index >> 4 & 3) << 2 | index >> 6


@cache
def _window_rows() -> tuple[NDArray[np.int64], NDArray[np.int64], Reals]:
    """Places of the even and the odd samples among 256 complex points, and the window over 4 (480, 1)."""
    place = np.argsort(_digit_reversed())[: WINDOW // 2]
    return place, np.arange(0, WINDOW, 2), tables().window[:, None] / 4.0


@cache
def _stage_turns(span: int) -> list[tuple[Reals, Reals]]:
    """Cosines and sines (span, 1) of the three turned inputs of a stage, over 2**16."""
    step = _COMPLEX // (4 * span)
    turns = tables().twiddles / 2.0**16
    index = np.arange(span) * step
    return [(turns[q * index, :1].copy(), turns[q * index, 1:].copy()) for q in (1, 2, 3)]


def _turned(real: Reals, imaginary: Reals, turn: tuple[Reals, Reals]) -> tuple[Reals, Reals]:
    """(real + i imaginary) * exp(-i angle) / 4; each product is rounded down."""
    cosine, sine = turn
    right = np.floor(real * cosine)
    right += np.floor(imaginary * sine)
    up = np.floor(imaginary * cosine)
    up -= np.floor(real * sine)
    return right, up


def _butterflies(real: Reals, imaginary: Reals, span: int) -> None:
    """One stage of the radix-4 transform, decimation in time, in place on (256, F); a quarter of the sums."""
    shape = (_COMPLEX // (4 * span), 4, span, real.shape[1])
    re, im = real.reshape(shape), imaginary.reshape(shape)
    if span == 1:  # the window has divided by four
        (a, ai), (b, bi), (c, ci), (d, di) = ((re[:, q], im[:, q]) for q in range(4))
    else:
        a, ai = np.floor(re[:, 0] * 0.25), np.floor(im[:, 0] * 0.25)
        (b, bi), (c, ci), (d, di) = (_turned(re[:, q], im[:, q], _stage_turns(span)[q - 1]) for q in (1, 2, 3))
    even, even_i, odd, odd_i = a + c, ai + ci, b + d, bi + di
    gap, gap_i, turn, turn_i = a - c, ai - ci, b - d, bi - di
    np.add(even, odd, out=re[:, 0])
    np.add(even_i, odd_i, out=im[:, 0])
    np.subtract(even, odd, out=re[:, 2])
    np.subtract(even_i, odd_i, out=im[:, 2])
    np.add(gap, turn_i, out=re[:, 1])
    np.subtract(gap_i, turn, out=im[:, 1])
    np.subtract(gap, turn_i, out=re[:, 3])
    np.add(gap_i, turn, out=im[:, 3])


def power_spectrum(frames: NDArray[np.int16]) -> Reals:
    """Power of bins 1 .. 127 (127, F) of frames (F, 480)."""
    place, even, window = _window_rows()
    windowed = np.floor(frames.T * window)
    real, imaginary = np.zeros((2, _COMPLEX, len(frames)))
    real[place] = windowed[even]
    imaginary[place] = windowed[even + 1]
    for span in (1, 4, 16, 64):
        _butterflies(real, imaginary, span)
    # the transform of 512 real points from that of 256 complex ones
    a, ai = np.floor(real[1 : BINS + 1] * 0.25), np.floor(imaginary[1 : BINS + 1] * 0.25)
    b, bi = np.floor(real[: -BINS - 1 : -1] * 0.25), np.floor(imaginary[: -BINS - 1 : -1] * 0.25)
    split = tables().split / 2.0**16
    right, up = _turned(ai + bi, b - a, (split[:, :1], split[:, 1:]))
    right += np.floor((a + b) * 0.25)
    up += np.floor((ai - bi) * 0.25)
    right, up = np.floor(right * 2.0**-SPECTRUM_SHIFT), np.floor(up * 2.0**-SPECTRUM_SHIFT)
    return right * right + up * up


def log_energies(power: Reals) -> Reals:
    """Base-2 logarithms (40, F) of mel energies in steps of 1/256, less LOG_CENTRE, of powers (127, F)."""
    table = tables()
    whole = power.astype(np.int64)
    rising = whole * table.rising[:, None]
    falling = (whole << MEL_BITS) - rising
    energy = np.zeros((FILTERS, power.shape[1]), np.int64)
    first = 0
    for interval, last in enumerate(table.ends - 1):
        if first < last:
            if interval < FILTERS:
                energy[interval] += rising[first:last].sum(axis=0)
            if interval:
                energy[interval - 1] += falling[first:last].sum(axis=0)
        first = int(last)
    energy = (energy >> MEL_SHIFT) + (1 << LOG_FLOOR_BITS)
    fraction, exponent = np.frexp(energy.astype(np.float64))  # fraction in [0.5, 1), exact
    mantissa = np.floor(fraction * 2.0**17).astype(np.int64) - 2**16
    rest_bits = 16 - LOG_INTERVAL_BITS
    index, rest = mantissa >> rest_bits, mantissa & (2**rest_bits - 1)
    low = table.log2[index]
    log = low + (((table.log2[index + 1] - low) * rest) >> rest_bits)
    half = 1 << (14 - LOG_BITS)
    result = ((exponent.astype(np.int64) - 1) << LOG_BITS) + ((log + half) >> (15 - LOG_BITS)) - LOG_CENTRE
    return np.asarray(result, np.float64)


def _coefficients(logs: Reals) -> NDArray[np.uint8]:
    """The cosine transform as bytes (F, 10) of logarithms (40, F)."""
    table = tables()
    sums = logs.T @ table.cosines.T.astype(np.float64) + table.offsets
    return np.clip(np.floor(sums * 2.0**-OUTPUT_SHIFT), 0, 255).astype(np.uint8)

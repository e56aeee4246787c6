"""The integer tables of the audio front-end: the same numbers in the numpy reference and in the C for devices.

Sizes are those of MLPerf Tiny's keyword spotting (Banbury et al. 2021): 16 kHz, windows of 30 ms every 20 ms, a Fourier
transform of 512 points, 40 mel filters from 20 Hz to 4 kHz, the first 10 cepstral coefficients, 49 columns a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "BINS",
    "COEFFICIENTS",
    "COLUMNS",
    "FILTERS",
    "HOP",
    "LOG_BITS",
    "LOG_CENTRE",
    "LOG_FLOOR_BITS",
    "LOG_INTERVAL_BITS",
    "MEL_BITS",
    "MEL_SHIFT",
    "OUTPUT_SHIFT",
    "POINTS",
    "SAMPLE_RATE",
    "SPECTRUM_SHIFT",
    "WINDOW",
    "Tables",
    "tables",
]

SAMPLE_RATE = 16_000
WINDOW = 480
"""Samples of a frame."""
HOP = 320
"""Samples from one frame to the next."""
POINTS = 512
"""Of the Fourier transform."""
BINS = 127
"""Bins of the spectrum that are read: 1 .. 127, 31.25 Hz to 3,969 Hz."""
FILTERS = 40
COEFFICIENTS = 10
COLUMNS = 49
"""Frames of one second."""

SPECTRUM_SHIFT = 2
"""The spectrum is scaled to the transform / 2**(11 + SPECTRUM_SHIFT) of samples * Q15 window: below 2**26."""
MEL_BITS = 12
MEL_SHIFT = 9
"""Mel energies are shifted right by it before the logarithm."""
LOG_FLOOR_BITS = 14
"""2**LOG_FLOOR_BITS is added to every mel energy: what lies below is silence."""
LOG_BITS = 8
"""Fraction bits of log2 energies."""
LOG_INTERVAL_BITS = 6
"""log2 is interpolated linearly between 2**LOG_INTERVAL_BITS + 1 points."""
LOG_CENTRE = 32 << LOG_BITS
OUTPUT_SHIFT = 20

_LOWEST_HZ, _HIGHEST_HZ = 20.0, 4000.0
_LARGEST_LOG = 55 << LOG_BITS  # of an energy below 2**54

# A byte is 128 + (coefficient - centre) / step, of coefficients of octaves of power less 32. Chosen so that of training
# clips of Speech Commands, 0.05 % lie below and 0.05 % above the middle 250 bytes.
_CENTRES = (-132.6, 39.1, -2.1, -20.8, -22.2, -10.9, -9.6, -5.5, -8.8, -5.3)
_STEPS = (4.699, 1.461, 1.074, 0.834, 0.621, 0.505, 0.459, 0.421, 0.414, 0.358)


@dataclass(frozen=True, eq=False)
class Tables:
    """All tables, integers.

    window: Q15 (480,), periodic Hann. twiddles: cosine and sine of 2 pi k / 256 in Q14 (191, 2). split: those of
    2 pi k / 512 for k = 1 .. 127 (127, 2). rising: share of a bin in the filter it rises in, Q12 (127,); the rest
    belongs to the filter before. ends: for each interval between filter centres, one more than its last bin (41,).
    log2: log2(1 + i / 64) in Q15 (65,). cosines: rows of the cosine transform, scaled to bytes (10, 40). offsets: what
    is added to each sum before the shift (10,).
    """

    window: NDArray[np.int64]
    twiddles: NDArray[np.int64]
    split: NDArray[np.int64]
    rising: NDArray[np.int64]
    ends: NDArray[np.int64]
    log2: NDArray[np.int64]
    cosines: NDArray[np.int64]
    offsets: NDArray[np.int64]


def _rounded(values: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.floor(values + 0.5).astype(np.int64)


def _turns(points: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    angle = 2 * np.pi * indices / points
    return _rounded(np.stack([np.cos(angle), np.sin(angle)], axis=1) * 2**14)


def _mel(hertz: ArrayLike) -> NDArray[np.float64]:
    """HTK's mel scale, as TensorFlow's linear_to_mel_weight_matrix has it."""
    return np.asarray(1127.0 * np.log1p(np.asarray(hertz, np.float64) / 700.0))


def mel_positions() -> NDArray[np.float64]:
    """Where bins 1 .. 127 lie, in units of the distance between filter centres from the lowest edge on (127,)."""
    bins = _mel(np.arange(1, BINS + 1) * (SAMPLE_RATE / POINTS))
    low, high = _mel(_LOWEST_HZ), _mel(_HIGHEST_HZ)
    return np.asarray((bins - low) / (high - low) * (FILTERS + 1))


@cache
def tables() -> Tables:
    """The tables of the front-end; its sums of products stay below 2**31 with them, which is checked here."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    position = mel_positions()
    rows, columns = np.arange(COEFFICIENTS)[:, None], np.arange(FILTERS)[None]
    steps, centres = np.array(_STEPS), np.array(_CENTRES)
    scale = 2.0**OUTPUT_SHIFT / (steps * 2**LOG_BITS)
    cosines = _rounded(np.cos(np.pi * rows * (2 * columns + 1) / (2 * FILTERS)) * scale[:, None])
    # half a byte for rounding; a centre is a coefficient of logarithms less LOG_CENTRE
    offsets = _rounded((128.5 - centres / steps) * 2**OUTPUT_SHIFT)
    largest = np.abs(cosines).sum(axis=1) * max(_LARGEST_LOG - LOG_CENTRE, LOG_CENTRE - (LOG_FLOOR_BITS << LOG_BITS))
    assert int((largest + np.abs(offsets)).max()) < 2**31 and int(np.abs(cosines).max()) < 2**15
    return Tables(
        window=np.minimum(_rounded(hann * 2**15), 2**15 - 1),
        twiddles=_turns(POINTS // 2, np.arange(191)),
        split=_turns(POINTS, np.arange(1, BINS + 1)),
        rising=_rounded((position - np.floor(position)) * 2**MEL_BITS),
        ends=np.searchsorted(np.floor(position), np.arange(FILTERS + 1), side="right") + 1,
        log2=_rounded(np.log2(1 + np.arange(2**LOG_INTERVAL_BITS + 1) / 2**LOG_INTERVAL_BITS) * 2**15),
        cosines=cosines,
        offsets=offsets,
    )

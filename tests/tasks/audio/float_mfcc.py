"""The front-end in floating point, from the definition of each step: what fixed point is held against."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ofa_mcu.tasks.audio import tables as t

__all__ = ["cepstra"]

Reals = NDArray[np.float64]


def mel(hertz: ArrayLike) -> Reals:
    return np.asarray(2595.0 * np.log10(1.0 + np.asarray(hertz, np.float64) / 700.0))


def filters() -> Reals:
    """Triangles on the mel scale (257, 40), as in TensorFlow's linear_to_mel_weight_matrix."""
    bins = mel(np.arange(257) * 31.25)
    edges = np.linspace(mel(20.0), mel(4000.0), 42)
    up = (bins[:, None] - edges[:-2]) / (edges[1:-1] - edges[:-2])
    down = (edges[2:] - bins[:, None]) / (edges[2:] - edges[1:-1])
    triangles = np.maximum(0.0, np.minimum(up, down))
    triangles[0] = 0.0
    return np.asarray(triangles)


def cepstra(clips: NDArray[np.int16]) -> Reals:
    """Sums of the cosine transform (N, T, 10) of base-2 logarithms of mel energies, in the units of the fixed point."""
    starts = np.arange((clips.shape[1] - 480) // 320 + 1) * 320
    frames = clips[:, starts[:, None] + np.arange(480)].astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(480) / 480)
    spectrum = np.abs(np.fft.rfft(frames * window, 512)) ** 2
    # samples * Q15 window, over 2**(11 + SPECTRUM_SHIFT) in amplitude; mel weights in Q12, shifted right
    unit = 4.0 ** (15 - 11 - t.SPECTRUM_SHIFT) * 2.0 ** (t.MEL_BITS - t.MEL_SHIFT)
    logs = np.log2(spectrum @ filters() * unit + 2.0**t.LOG_FLOOR_BITS)
    row, column = np.arange(10)[:, None], np.arange(40)[None]
    return np.asarray((logs - 32.0) @ np.cos(np.pi * row * (2 * column + 1) / 80).T)

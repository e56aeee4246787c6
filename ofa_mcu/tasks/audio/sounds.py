"""Sound files of any kind as int16 mono at one rate and of one length."""

from __future__ import annotations

import io
from math import gcd
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError

__all__ = ["SUFFIXES", "WHAT", "Sound", "UnusableSound", "fitted", "read_sound"]

Sound = NDArray[np.int16]
SUFFIXES = frozenset({".wav", ".flac"})
WHAT = "sound files"
_LOWEST_RATE, _HIGHEST_RATE = 1_000, 768_000


class UnusableSound(Exception):
    """A sound file that must be left out; the message says why in a few words."""


def read_sound(source: Path | bytes, rate: int = 16_000) -> Sound:
    """Samples (S,) of a WAV or FLAC file (a path, or its bytes), channels averaged, resampled to `rate` hertz.

    Raises:
        UnusableSound: the file is unreadable, empty, or of an impossible rate.
        OfaMcuError: the library that reads sound is not installed.
    """
    try:
        import soundfile
    except (ImportError, OSError) as error:
        raise OfaMcuError(f"reading sound needs the package soundfile ({error}); pip install soundfile") from error
    try:
        # opened here: the library would refuse names that are no text in the locale's encoding
        stream = io.BytesIO(source if isinstance(source, bytes) else source.read_bytes())
        with soundfile.SoundFile(stream) as file:
            own_rate = int(file.samplerate)
            plain = file.channels == 1 and file.subtype in ("PCM_16", "PCM_S8", "PCM_U8") and own_rate == rate
            sound = file.read(dtype="int16" if plain else "float64", always_2d=False)
    except OSError as error:
        raise UnusableSound(f"unreadable: {error.strerror or error}") from error
    except (soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError) as error:
        raise UnusableSound("no readable sound") from error
    if not len(sound):
        raise UnusableSound("without a sample")
    if plain:
        return np.ascontiguousarray(sound)
    if not _LOWEST_RATE <= own_rate <= _HIGHEST_RATE:
        raise UnusableSound(f"with a rate of {own_rate} Hz")
    mono = sound if sound.ndim == 1 else sound.mean(axis=1)
    if not np.isfinite(mono).all():
        raise UnusableSound("with samples that are no numbers")
    if own_rate != rate:
        from scipy.signal import resample_poly

        common = gcd(own_rate, rate)
        mono = resample_poly(mono, rate // common, own_rate // common)
    return np.asarray(np.clip(np.rint(mono * 32768.0), -32768, 32767), np.int16)


def fitted(sound: Sound, length: int, *, centred: bool) -> Sound:
    """A sound of exactly `length` samples: with silence behind it (`centred`: around it), or its loudest stretch.

    The loudest stretch is the one of the largest energy, in steps of a hundredth of its length.
    """
    if len(sound) > length:
        energy = np.concatenate([[0.0], np.cumsum(sound.astype(np.float64) ** 2)])
        starts = np.arange(0, len(sound) - length + 1, max(length // 100, 1))
        start = int(starts[np.argmax(energy[starts + length] - energy[starts])])
        return sound[start : start + length]
    out = np.zeros(length, np.int16)
    before = (length - len(sound)) // 2 if centred else 0
    out[before : before + len(sound)] = sound
    return out

"""Random changes of waveforms that leave their label true: shift, speed, background noise, loudness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["AudioAugmentation", "augmented", "cuts", "synthetic_noise"]

Clips = NDArray[np.int16]
_Reals = NDArray[np.float32]
_QUIET = 1.0  # root mean square below which a clip counts as silent, in steps of int16


@dataclass(frozen=True)
class AudioAugmentation:
    """How far training clips are changed.

    `shift`: largest move in time, seconds, either way. `speed`: largest change of speed, as a share, either way, of
    half of the clips. `noisy`: share of the clips that get background noise, at a ratio of signal to noise drawn from
    `snr` (decibels). `gain`: range of loudness, decibels.
    """

    shift: float = 0.1
    speed: float = 0.1
    noisy: float = 0.8
    snr: tuple[float, float] = (0.0, 30.0)
    gain: tuple[float, float] = (-10.0, 6.0)


def augmented(
    clips: Clips, noises: Sequence[Clips], rng: np.random.Generator, how: AudioAugmentation, rate: int = 16_000
) -> Clips:
    """Changed copies of clips (N, S); without noises (recordings (M,), each at least S long) none is mixed in."""
    sound = _moved(clips, rng, how, rate)
    loudness = _rms(sound)
    if noises:
        noise = cuts(noises, len(clips), clips.shape[1], rng).astype(np.float32)
        ratio = rng.uniform(*how.snr, len(clips)).astype(np.float32)
        share = np.where(rng.random(len(clips)) < how.noisy, 10 ** (-ratio / 20), 0.0).astype(np.float32)
        noise *= (share * loudness / np.maximum(_rms(noise), _QUIET))[:, None]
        sound += noise
    sound *= (10 ** (rng.uniform(*how.gain, len(clips)) / 20)).astype(np.float32)[:, None]
    return _int16(sound)


def cuts(noises: Sequence[Clips], count: int, length: int, rng: np.random.Generator) -> Clips:
    """Random stretches (count, length) of recordings, each second of them as likely as any other."""
    choices = np.array([max(len(noise) - length + 1, 0) for noise in noises], np.float64)
    which = rng.choice(len(noises), count, p=choices / choices.sum())
    starts = (rng.random(count) * choices[which]).astype(np.int64)
    out = np.empty((count, length), np.int16)
    for row, index, start in zip(out, which, starts, strict=True):
        row[:] = noises[index][start : start + length]
    return out


def synthetic_noise(seconds: float = 10.0, rate: int = 16_000) -> list[Clips]:
    """White, pink and brown noise of middling loudness, always the same."""
    count = int(seconds * rate)
    rng = np.random.default_rng(0)
    frequency = np.maximum(np.fft.rfftfreq(count), 20.0 / rate)
    found = []
    for slope in (0.0, 0.5, 1.0):
        sound = np.fft.irfft(np.fft.rfft(rng.normal(size=count)) / frequency**slope, count)
        found.append(np.clip(np.rint(sound * (2000.0 / sound.std())), -32768, 32767).astype(np.int16))
    return found


def _moved(clips: Clips, rng: np.random.Generator, how: AudioAugmentation, rate: int) -> _Reals:
    """Clips shifted in time, half of them at another speed; what enters is silence."""
    count, length = clips.shape
    reach = min(round(how.shift * rate), length // 2)
    shifts: list[int] = rng.integers(-reach, reach + 1, count).tolist()
    speeds = np.asarray(1 + rng.uniform(-how.speed, how.speed, count))
    speeds[rng.random(count) >= 0.5] = 1.0
    out = np.zeros((count, length), np.float32)
    ramp = np.arange(length, dtype=np.float32) - length / 2
    for row, clip, shift, speed in zip(out, clips, shifts, speeds, strict=True):
        if speed != 1.0:
            position = ramp * np.float32(speed) + np.float32(length / 2 + shift)
            row[:] = _at(clip, position)
        elif shift >= 0:
            row[: length - shift] = clip[shift:]
        else:
            row[-shift:] = clip[:shift]
    return out


def _at(clip: Clips, position: _Reals) -> _Reals:
    """The clip read between its samples (linear interpolation); silence beyond its ends."""
    padded = np.zeros(len(clip) + 2, np.float32)
    padded[1:-1] = clip
    np.clip(position, -1, len(clip), out=position)
    index = np.floor(position).astype(np.int32)
    position -= index
    low = padded[index + 1]
    high = padded[np.minimum(index + 2, len(clip) + 1)]
    return np.asarray(low + (high - low) * position)


def _rms(sound: _Reals) -> _Reals:
    return np.asarray(np.sqrt(np.einsum("ns,ns->n", sound, sound) / sound.shape[1]), np.float32)


def _int16(sound: _Reals) -> Clips:
    np.rint(sound, out=sound)
    np.clip(sound, -32768, 32767, out=sound)
    return sound.astype(np.int16)

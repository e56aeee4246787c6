"""Windows of sensor data: cut from recordings, scaled to bytes in integers, and varied anew in every epoch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.tasks.scaling import Scaling
from ofa_mcu.tasks.task import Split

__all__ = ["Variation", "WindowPart", "Windows"]

_CHUNK = 1024  # windows at once
_STREAM = 3  # of the random numbers of a seed


@dataclass(frozen=True)
class Variation:
    """How far examples are varied in an epoch; every value is the largest, or the deviation of a normal distribution.

    `speed`: share by which a window runs faster or slower. `move`: steps it is moved in time. `gain`: share by which
    the signal grows or shrinks. `noise`: deviation of white noise, and `drift` of a constant, in steps of a byte.
    `turn`: deviation in degrees of a rotation of the sensor (three channels). `trim`: the classes whose examples are
    cut to a random part of at least half a window, the rest of the window being held: where recordings of some classes
    are shorter than a window and those of others are not, the held ends must not tell the classes apart.
    """

    speed: float = 0.0
    move: int = 0
    gain: float = 0.0
    noise: float = 0.0
    drift: float = 0.0
    turn: float = 0.0
    trim: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of `steps` readings in recordings `data` (rows, channels) laid one after another.

    Window i starts at row `start[i]` and sees rows `first[i]` to `last[i]`, both included; before and after them the
    outermost reading is held.
    """

    data: NDArray[np.float64]
    start: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    labels: NDArray[np.int64]
    steps: int

    def __len__(self) -> int:
        return len(self.labels)

    def chosen(self, which: NDArray[np.int64]) -> Windows:
        """Those of the given numbers."""
        start, first, last = self.start[which], self.first[which], self.last[which]
        return Windows(self.data, start, first, last, self.labels[which], self.steps)

    def readings(
        self,
        start: NDArray[np.floating] | None = None,
        rate: NDArray[np.floating] | None = None,
        first: NDArray[np.int64] | None = None,
        last: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float64]:
        """Windows (N, steps, channels), as they are or moved, at another rate, or seeing other rows; interpolated."""
        low, high = (self.first if first is None else first)[:, None], (self.last if last is None else last)[:, None]
        time = np.arange(self.steps)
        if start is None or rate is None:
            as_they_are: NDArray[np.float64] = self.data[(self.start[:, None] + time).clip(low, high)]
            return as_they_are
        position = np.clip(start[:, None] + rate[:, None] * time, low, high)
        before = np.floor(position).astype(np.int64)
        share = (position - before)[..., None]
        after = np.minimum(before + 1, high)
        between: NDArray[np.float64] = self.data[before] * (1 - share) + self.data[after] * share
        return between

    def split(self, scaling: Scaling) -> Split:
        """Inputs (N, 1, steps, channels) as they are."""
        parts = [self.chosen(part).readings() for part in _chunks(len(self))]
        return Split(_inputs(parts, scaling), self.labels)


@dataclass(frozen=True, eq=False)
class WindowPart:
    """A training part whose windows are varied anew in every epoch."""

    windows: Windows
    scaling: Scaling
    variation: Variation
    class_weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.windows)

    @cached_property
    def inputs(self) -> NDArray[np.uint8]:
        """Windows as they are, (N, 1, steps, channels)."""
        return self.windows.split(self.scaling).inputs

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels (N,)."""
        return self.windows.labels

    def first(self, count: int) -> Split:
        """The first windows, as they are."""
        return self.windows.chosen(np.arange(min(count, len(self)))).split(self.scaling)

    def epoch(self, seed: int, epoch: int) -> Split:
        """Windows varied by random numbers of (seed, epoch)."""
        rng = np.random.default_rng((seed, _STREAM, epoch))
        parts = [self._varied(self.windows.chosen(part), rng) for part in _chunks(len(self))]
        return Split(_inputs(parts, self.scaling), self.labels, self.class_weights)

    def _varied(self, windows: Windows, rng: np.random.Generator) -> NDArray[np.float64]:
        count, how = len(windows), self.variation
        first, last = windows.first, windows.last
        if how.trim:
            length = last - first + 1
            kept = np.minimum(length, np.round(windows.steps * rng.uniform(0.5, 1.0, count)).astype(np.int64))
            begin = first + np.floor(rng.random(count) * (length - kept + 1)).astype(np.int64)
            hit = np.isin(windows.labels, how.trim) & (rng.random(count) < 0.75)
            first, last = np.where(hit, begin, first), np.where(hit, begin + kept - 1, last)
        rate = np.exp(rng.uniform(-1, 1, count) * np.log1p(how.speed))
        moved = rng.integers(-how.move, how.move + 1, count)
        # about the middle of what it sees for a trimmed one, about its own middle else
        middle = np.where(first != windows.first, (first + last + 1) / 2, windows.start + windows.steps / 2)
        readings = windows.readings(middle - rate * windows.steps / 2 + moved, rate, first, last)
        if how.turn:
            readings = np.einsum("nij,ntj->nti", _rotations(rng, count, np.radians(how.turn)), readings)
        readings = readings * (1 + rng.uniform(-how.gain, how.gain, (count, 1, 1)))
        shape, step = readings.shape, self.scaling.step
        readings = readings + how.drift * step * rng.standard_normal((count, 1, shape[2]))
        varied: NDArray[np.float64] = readings + how.noise * step * rng.standard_normal(shape)
        return varied


def _chunks(count: int) -> list[NDArray[np.int64]]:
    return [np.arange(begin, min(begin + _CHUNK, count)) for begin in range(0, count, _CHUNK)]


def _inputs(parts: list[NDArray[np.float64]], scaling: Scaling) -> NDArray[np.uint8]:
    return np.concatenate([scaling.to_bytes(part)[:, None] for part in parts])


def _rotations(rng: np.random.Generator, count: int, deviation: float) -> NDArray[np.float64]:
    """Rotation matrices (count, 3, 3) about random axes by normally distributed angles (Rodrigues' formula)."""
    axis = rng.standard_normal((count, 3))
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    angle = deviation * rng.standard_normal(count)[:, None, None]
    x, y, z = axis.T
    zero = np.zeros(count)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(count, 3, 3)
    turned: NDArray[np.float64] = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return turned

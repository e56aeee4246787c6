"""From a sensor's reading to a byte, in integers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Scaling"]


@dataclass(frozen=True)
class Scaling:
    """byte = clamp((value * multiplier + offset) >> shift, 0, 255), in 64-bit integers, for every channel.

    `value` is the reading divided by the channel's `unit`, rounded to the nearest integer, half up; a device whose
    driver gives integers in that unit computes the very same byte.
    """

    unit: tuple[float, ...]
    multiplier: tuple[int, ...]
    offset: tuple[int, ...]
    shift: int

    @property
    def step(self) -> NDArray[np.float64]:
        """Readings (channels,) from one byte to the next."""
        step: NDArray[np.float64] = np.array(self.unit) * 2.0**self.shift / np.array(self.multiplier)
        return step

    def to_bytes(self, readings: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Bytes of readings (..., channels)."""
        values = np.floor(readings.astype(np.float64) / np.array(self.unit) + 0.5).astype(np.int64)
        scaled: NDArray[np.int64] = (values * np.array(self.multiplier) + np.array(self.offset)) >> self.shift
        return scaled.clip(0, 255).astype(np.uint8)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready object; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Scaling:
        """The scaling written by `to_json`.

        Raises:
            KeyError, TypeError, ValueError: it was not.
        """
        columns = (
            tuple(map(float, value["unit"])),
            tuple(map(int, value["multiplier"])),
            tuple(map(int, value["offset"])),
        )
        return cls(*columns, int(value["shift"]))

"""The value types of a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["Dataset", "Split", "Task"]


@dataclass(frozen=True, eq=False)
class Split:
    """Images uint8 (N, H, W, C) at native resolution and labels int64 (N,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Train, validation and test parts, disjoint."""

    train: Split
    validation: Split
    test: Split


@dataclass(frozen=True)
class Task:
    """A learning task: how to get its data and what its classes are called.

    `native_resolution` is in pixels (square), `flip` says whether a mirrored image is still a valid example,
    `shift` is the largest random translation in training, in pixels at native resolution.
    """

    name: str
    labels: tuple[str, ...]
    native_resolution: int
    channels: int
    flip: bool
    shift: int
    load: Callable[[Path | None], Dataset]
    licence: str

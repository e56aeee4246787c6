"""The value types of a task."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.tasks.scaling import Scaling

__all__ = ["CALIBRATION_IMAGES", "Augmentation", "Dataset", "Split", "Task", "TrainingPart", "digest_of"]

CALIBRATION_IMAGES = 1024
"""Training examples, the first, that set statistics and ranges of a network."""


class TrainingPart(Protocol):
    """Training examples that may change from epoch to epoch.

    They are in no particular order: the first thousand stand for all when a network is calibrated.
    """

    @property
    def inputs(self) -> NDArray[np.uint8]:
        """Examples as they are (N, H, W, C), not augmented: what calibration sees."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Their labels (N,)."""

    @property
    def class_weights(self) -> NDArray[np.float32] | None:
        """Weight of each class in the loss (classes,); None: all alike."""

    def __len__(self) -> int:
        """Number of examples, the same in every epoch."""

    def first(self, count: int) -> Split:
        """The first examples as they are, all where there are fewer, without weights of classes.

        Cheaper than `inputs` where those are made.
        """

    def epoch(self, seed: int, epoch: int) -> TrainingPart:
        """The examples of an epoch (from 0), by seed and epoch alone, so that a resumed run sees the same.

        The part itself where they never change.
        """


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs uint8 (N, H, W, C) at native size, labels int64 (N,) and weights of the classes in the loss (classes,).

    Whatever an input is (pixels, features of sound, samples of a sensor), it is a byte, and a network reads byte / 255.
    """

    inputs: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Split:
        """The first examples."""
        return Split(self.inputs[:count], self.labels[:count])

    def epoch(self, seed: int, epoch: int) -> Split:
        """Itself: plain data is the same in every epoch."""
        return self


def digest_of(*parts: TrainingPart) -> str:
    """Of the examples in these parts, as they are, and of their labels."""
    digest = hashlib.sha256()
    for part in parts:
        for values in (part.inputs, part.labels):
            digest.update(f"{values.dtype}{values.shape}".encode() + values.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Dataset:
    """Train, validation and test parts, disjoint; `apart` holds examples by name that are tested on their own.

    `scaling` says how the readings of sensors became bytes; None where inputs are pixels or features.
    """

    train: TrainingPart
    validation: Split
    test: Split
    apart: Mapping[str, Split] = field(default_factory=dict)
    scaling: Scaling | None = None


@dataclass(frozen=True)
class Augmentation:
    """Random changes of every training example in every batch, all of which leave its label true.

    `flip`: mirrored left to right, every second time. `shift`: moved by at most so many native rows and columns;
    what enters has the byte `fill` (the same as a random crop of the padded input). `cutout`: a square of that many
    native rows and columns, its centre anywhere, is set to `fill` (DeVries & Taylor 2017); 0: none.
    """

    flip: bool = False
    shift: tuple[int, int] = (0, 0)
    cutout: int = 0
    fill: int = 0


@dataclass(frozen=True)
class Task:
    """A learning task: how to get its data, what its classes are called, and the shape (H, W, C) of an example.

    `name` is what the user wrote, options included, so that it says all there is to know beside the data's folder.
    """

    name: str
    labels: tuple[str, ...]
    shape: tuple[int, int, int]
    load: Callable[[Path | None], Dataset]
    licence: str
    augmentation: Augmentation = Augmentation()

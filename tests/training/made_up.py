"""A task of four classes and a few hundred images: which quarter of the picture is bright."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ofa_mcu.tasks.task import Augmentation, Dataset, Split, Task
from ofa_mcu.training.recipe import Recipe

__all__ = ["DATA", "QUARTERS", "RECIPE", "quarters"]


def quarters(count: int, seed: int) -> Split:
    """Noisy 12x12 images whose label is the number of the bright quarter."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, (count, 12, 12, 1), dtype=np.uint8)
    labels = rng.integers(0, 4, count)
    for image, label in zip(images, labels, strict=True):
        row, column = divmod(int(label), 2)
        image[6 * row : 6 * row + 6, 6 * column : 6 * column + 6] += 100
    return Split(images, labels.astype(np.int64))


DATA = Dataset(quarters(256, 0), quarters(64, 1), quarters(64, 2))


def _load(_: Path | None) -> Dataset:
    return DATA


QUARTERS = Task("quarters", ("a", "b", "c", "d"), (12, 12, 1), _load, "none", Augmentation(shift=(1, 1)))

RECIPE = Recipe(epochs=5, batch=32, peak_rate=0.05, students=2, seed=3)
"""40 steps; the warm-up ends at step 8 at the latest."""

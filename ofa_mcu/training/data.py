"""Batches of a task at every resolution of a space; which images and which augmentation follow from the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ofa_mcu.tasks.resample import resample
from ofa_mcu.tasks.task import Split, Task

__all__ = ["Batch", "ImageSet", "TrainingStream"]


def _to_float(images: Tensor) -> Tensor:
    """Network input for byte images: code * scale with zero point -128, that is byte / 255."""
    return images.to(torch.float32) / 255.0


class ImageSet:
    """A split, resampled once per resolution and kept as bytes (N, C, r, r)."""

    def __init__(self, split: Split, resolutions: Sequence[int]) -> None:
        self.labels = torch.from_numpy(split.labels.copy())
        self._images = {
            r: torch.from_numpy(resample(split.images, r).transpose(0, 3, 1, 2).copy()) for r in resolutions
        }

    def __len__(self) -> int:
        return len(self.labels)

    def bytes_at(self, resolution: int) -> Tensor:
        """Images uint8 (N, C, r, r)."""
        return self._images[resolution]

    def floats_at(self, resolution: int, indices: Tensor | slice = slice(None)) -> Tensor:
        """Network inputs float32 (n, C, r, r)."""
        return _to_float(self._images[resolution][indices])


@dataclass
class Batch:
    """Labels (B,) and the same augmented images at any resolution."""

    labels: Tensor
    _source: ImageSet
    _indices: Tensor
    _flip: Tensor
    _shift: Tensor  # (B, 2) in units of the native pixel
    _native: int

    def at(self, resolution: int) -> Tensor:
        """Augmented network inputs float32 (B, C, r, r)."""
        images = self._source.bytes_at(resolution)[self._indices]
        images = torch.where(self._flip[:, None, None, None], images.flip(3), images)
        shift = torch.round(self._shift * (resolution / self._native)).to(torch.int64)
        reach = int(self._shift.abs().max()) if len(shift) else 0
        if reach:
            images = F.pad(images, (reach, reach, reach, reach))
            span = torch.arange(resolution) + reach
            rows, columns = span + shift[:, :1], span + shift[:, 1:]
            batch = torch.arange(len(images))[:, None, None]
            images = images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        return _to_float(images.contiguous())

    def share(self, rank: int, world: int) -> Batch:
        """Every `world`th example from `rank` on: what one of `world` processes computes."""
        part = slice(rank, None, world)
        return replace(
            self,
            labels=self.labels[part],
            _indices=self._indices[part],
            _flip=self._flip[part],
            _shift=self._shift[part],
        )


class TrainingStream:
    """Endless augmented batches; batch `step` is a function of (seed, step) alone."""

    def __init__(self, task: Task, images: ImageSet, batch: int, seed: int) -> None:
        self._task, self._images, self._batch, self._seed = task, images, batch, seed
        self.steps_per_epoch = len(images) // batch
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng((self._seed, 0, epoch)).permutation(len(self._images))
            self._epoch, self._order = epoch, torch.from_numpy(order)
        indices = self._order[position * self._batch : (position + 1) * self._batch]
        rng = np.random.default_rng((self._seed, 1, step))
        flip = rng.random(self._batch) < (0.5 if self._task.flip else 0.0)
        shift = rng.integers(-self._task.shift, self._task.shift + 1, (self._batch, 2))
        return Batch(
            self._images.labels[indices],
            self._images,
            indices,
            torch.from_numpy(flip),
            torch.from_numpy(shift),
            self._task.native_resolution,
        )

"""Batches of a task at every size of a space; which examples and which augmentation follow from the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ofa_mcu.tasks.resample import Size, resample, resolution_of
from ofa_mcu.tasks.task import Augmentation, Task, TrainingPart

__all__ = ["Batch", "ImageSet", "TrainingStream"]


def _to_float(inputs: Tensor) -> Tensor:
    """Network input for bytes: code * scale with zero point -128, that is byte / 255."""
    return inputs.to(torch.float32) / 255.0


class ImageSet:
    """Examples, resampled once per size and kept as bytes (N, C, H, W) under their `resolution_of` the size."""

    def __init__(self, part: TrainingPart, sizes: Sequence[Size]) -> None:
        self._part, self._sizes = part, tuple(sizes)
        self.labels = torch.from_numpy(part.labels.copy())
        self.class_weights = None if part.class_weights is None else torch.from_numpy(part.class_weights.copy())
        self.native = part.inputs.shape[1:3]
        self._inputs = {
            resolution_of(size): torch.from_numpy(resample(part.inputs, size).transpose(0, 3, 1, 2).copy())
            for size in self._sizes
        }

    def __len__(self) -> int:
        return len(self.labels)

    def bytes_at(self, resolution: int) -> Tensor:
        """Examples uint8 (N, C, H, W)."""
        return self._inputs[resolution]

    def floats_at(self, resolution: int, indices: Tensor | slice = slice(None)) -> Tensor:
        """Network inputs float32 (n, C, H, W)."""
        return _to_float(self._inputs[resolution][indices])

    def epoch(self, seed: int, epoch: int) -> ImageSet:
        """The examples of an epoch; this very set where they never change."""
        examples = self._part.epoch(seed, epoch)
        return self if examples is self._part else ImageSet(examples, self._sizes)


@dataclass
class Batch:
    """Labels (B,), weights of the classes in the loss, and the same augmented examples at any resolution."""

    labels: Tensor
    class_weights: Tensor | None
    _source: ImageSet
    _indices: Tensor
    _flip: Tensor
    _shift: Tensor  # (B, 2) native rows and columns
    _hole: Tensor  # (B, 2) first row and column of what is cut out, native
    _augmentation: Augmentation
    weight_of_share: float | None = None

    def at(self, resolution: int) -> Tensor:
        """Augmented network inputs float32 (B, C, H, W)."""
        examples = self._source.bytes_at(resolution)[self._indices]
        height, width = examples.shape[2:]
        scale = torch.tensor([height / self._source.native[0], width / self._source.native[1]], dtype=torch.float64)
        examples = torch.where(self._flip[:, None, None, None], examples.flip(3), examples)
        shift = torch.round(self._shift * scale).to(torch.int64)
        reach = int(shift.abs().max()) if len(shift) else 0
        if reach:
            examples = F.pad(examples, (reach, reach, reach, reach), value=self._augmentation.fill)
            rows = torch.arange(height) + reach + shift[:, :1]
            columns = torch.arange(width) + reach + shift[:, 1:]
            batch = torch.arange(len(examples))[:, None, None]
            moved = examples.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
            examples = moved.permute(0, 3, 1, 2)
        if self._augmentation.cutout:
            first = torch.round(self._hole * scale)
            last = torch.round((self._hole + self._augmentation.cutout) * scale)
            rows, columns = torch.arange(height), torch.arange(width)
            hit_rows = (rows >= first[:, :1]) & (rows < last[:, :1])
            hit_columns = (columns >= first[:, 1:]) & (columns < last[:, 1:])
            hit = (hit_rows[:, :, None] & hit_columns[:, None, :])[:, None]
            examples = examples.masked_fill(hit, self._augmentation.fill)
        return _to_float(examples.contiguous())

    def share(self, rank: int, world: int) -> Batch:
        """Every `world`th example from `rank` on: what one of `world` processes computes.

        `weight_of_share` is an equal share of the whole batch's class weights, so that the mean of all processes'
        losses is the loss of the whole batch.
        """
        part = slice(rank, None, world)
        weights = self.class_weights
        return replace(
            self,
            labels=self.labels[part],
            _indices=self._indices[part],
            _flip=self._flip[part],
            _shift=self._shift[part],
            _hole=self._hole[part],
            weight_of_share=None if weights is None else float(weights[self.labels].sum()) / world,
        )


class TrainingStream:
    """Endless augmented batches; batch `step` is a function of (seed, step) alone."""

    def __init__(self, task: Task, examples: ImageSet, batch: int, seed: int) -> None:
        self._augmentation, self._examples, self._batch, self._seed = task.augmentation, examples, batch, seed
        self.steps_per_epoch = len(examples) // batch
        self._epoch, self._order, self._shown = -1, torch.empty(0, dtype=torch.int64), examples

    def batch(self, step: int) -> Batch:
        """The batch of a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            order = np.random.default_rng((self._seed, 0, epoch)).permutation(len(self._examples))
            self._epoch, self._order = epoch, torch.from_numpy(order)
            self._shown = self._examples.epoch(self._seed, epoch)
        indices = self._order[position * self._batch : (position + 1) * self._batch]
        augmentation, rng = self._augmentation, np.random.default_rng((self._seed, 1, step))
        flip = rng.random(self._batch) < (0.5 if augmentation.flip else 0.0)
        reach = np.array(augmentation.shift)
        shift = rng.integers(-reach, reach + 1, (self._batch, 2))
        centre = rng.integers((0, 0), self._examples.native, (self._batch, 2))
        return Batch(
            self._shown.labels[indices],
            self._shown.class_weights,
            self._shown,
            indices,
            torch.from_numpy(flip),
            torch.from_numpy(shift),
            torch.from_numpy(centre - augmentation.cutout // 2),
            augmentation,
        )

"""What the training loop needs of the thing that learns, and what all of these share."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ofa_mcu.training.data import Batch, ImageSet
from ofa_mcu.training.ranks import Ranks
from ofa_mcu.training.recipe import Recipe

__all__ = ["TRAINED", "Common", "Learner", "clear_momentum", "soft_loss"]

TRAINED = 3
"""Multiply-accumulates of forward and backward pass, in forward passes."""


class Learner(Protocol):
    """What the training loop needs of the thing that learns."""

    module: nn.Module
    cooling: tuple[int, int] | None
    macs: int

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step."""

    def backward(self, batch: Batch, step: int) -> float:
        """Accumulate gradients of one step; the loss to show."""

    def before_step(self, step: int, steps: int, optimizer: torch.optim.Optimizer) -> str | None:
        """Change what is learned between steps; a message where something changed."""

    def validate(self, train: ImageSet, held_out: ImageSet) -> dict[str, float]:
        """Accuracies (0..1) to show, by name."""

    def probe(self, epoch: int, train: ImageSet, held_out: ImageSet) -> list[float]:
        """Accuracies of the probe subnets after an epoch (from 1); empty where none are due."""

    def after_epoch(self, step: int, steps: int, probes: list[float]) -> str | None:
        """Take note of the probes; a message where the run is to end early."""

    def rankings(self) -> dict[str, list[dict[str, Any]]]:
        """Histories of channel ranking and subnet ranking, JSON-ready; empty where nothing is ranked."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the weights."""

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""


def clear_momentum(optimizer: torch.optim.Optimizer) -> None:
    """Forget the optimizer's averages: the weights they belong to have moved."""
    optimizer.state.clear()


class Common:
    """Rate, early end, and the count of what was computed; `macs` is what this process multiplied."""

    def __init__(self, recipe: Recipe, ranks: Ranks) -> None:
        self._recipe, self._ranks = recipe, ranks
        self.cooling: tuple[int, int] | None = None  # first step of the falling rate, and the step at which all ends
        self.macs = 0

    def rate(self, step: int, steps: int) -> float:
        """The recipe's rate; where the run ends early, a line from there to the floor."""
        if self.cooling is None or self.cooling[1] == self.cooling[0]:
            return self._recipe.rate(step, steps)
        begin, end = self.cooling
        first, floor = self._recipe.rate(begin, steps), self._recipe.floor_share * self._recipe.peak_rate
        return floor + (first - floor) * (end - step) / (end - begin)

    def _inputs(self, batch: Batch, resolution: int) -> Tensor:
        return batch.at(resolution).to(self._ranks.device, non_blocking=True)

    def _label_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Cross entropy on the labels; mean over this process' share of the batch."""
        labels = batch.labels.to(logits.device)
        if batch.class_weights is None:
            return F.cross_entropy(logits.float(), labels)
        weights = batch.class_weights.to(logits.device)
        if batch.weight_of_share is None:
            return F.cross_entropy(logits.float(), labels, weights)
        return F.cross_entropy(logits.float(), labels, weights, reduction="sum") / batch.weight_of_share

    def probe(self, epoch: int, train: ImageSet, held_out: ImageSet) -> list[float]:
        """One network has no ranking."""
        return []

    def after_epoch(self, step: int, steps: int, probes: list[float]) -> str | None:
        """Nothing to note."""
        return None

    def rankings(self) -> dict[str, list[dict[str, Any]]]:
        """Nothing is ranked."""
        return {}

    def before_step(self, step: int, steps: int, optimizer: torch.optim.Optimizer) -> str | None:
        """Nothing changes between steps."""
        return None

    def state(self) -> dict[str, Any]:
        """Early end and count."""
        return {"cooling": list(self.cooling) if self.cooling else None, "macs": self.macs}

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""
        self.cooling = tuple(state["cooling"]) if state["cooling"] else None
        self.macs = state["macs"]


def soft_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Cross entropy on a teacher's predictions."""
    return F.cross_entropy(logits.float(), target)

"""What a training step does: for a supernet, or for one network alone (the comparison)."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ofa_mcu.space.shapes import ShapeGraph
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.supernet.network import PlainNetwork, Supernet, extract
from ofa_mcu.supernet.sorting import sort_channels
from ofa_mcu.tasks.resample import resolution_of
from ofa_mcu.training.calibrate import CALIBRATION_IMAGES, accuracy, recalibrate
from ofa_mcu.training.data import Batch, ImageSet
from ofa_mcu.training.early_bird import EarlyBird
from ofa_mcu.training.recipe import Recipe

__all__ = ["Learner", "PlainLearner", "SupernetLearner"]


class Learner(Protocol):
    """What the training loop needs of the thing that learns."""

    module: nn.Module

    def backward(self, batch: Batch, step: int) -> float:
        """Accumulate gradients of one step; the loss to show."""

    def before_step(self, step: int, steps: int, optimizer: torch.optim.Optimizer) -> str | None:
        """Change what is learned between steps; a message where something changed."""

    def validate(self, train: ImageSet, held_out: ImageSet) -> dict[str, float]:
        """Accuracies (0..1) to show, by name."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the weights."""

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""


def _clear_momentum(optimizer: torch.optim.Optimizer) -> None:
    optimizer.state.clear()


class SupernetLearner:
    """Warm-up of the largest network, then the sandwich rule with in-place distillation (BigNAS, Yu et al. 2020)."""

    def __init__(self, space: SearchSpace, recipe: Recipe) -> None:
        self.module = Supernet(space, recipe.seed)
        self._space, self._recipe = space, recipe
        self._early_bird = EarlyBird()
        self._warm = False  # warm-up over, channels sorted
        self._warm_step = -1

    def before_step(self, step: int, steps: int, optimizer: torch.optim.Optimizer) -> str | None:
        """At ten ticks an epoch of the warm-up: ask the early-bird test; sort once it is over."""
        if self._warm:
            return None
        tick = max(1, steps // self._recipe.epochs // 10)
        if step == 0 or step % tick:
            return None
        settled = self._early_bird.settled(self.module)
        least, most = self._recipe.warmup_least * steps, self._recipe.warmup_share * steps
        if step < least or (not settled and step < most):
            return None
        sort_channels(self.module)
        _clear_momentum(optimizer)  # momentum would still be in the old channel order
        self._warm, self._warm_step = True, step
        why = "channel ranking settled" if settled else "share of the budget used up"
        return f"warm-up ended at step {step} ({why}, distance {self._early_bird.distance:.3f}); channels sorted"

    def backward(self, batch: Batch, step: int) -> float:
        """Largest net on the labels; smallest and random ones on its predictions."""
        space, net = self._space, self.module
        teacher = net(batch.at(space.largest.resolution), space.largest)
        loss = F.cross_entropy(teacher, batch.labels, batch.class_weights)
        loss.backward()
        if self._warm:
            target = F.softmax(teacher.detach(), 1)
            rng = np.random.default_rng((self._recipe.seed, 2, step))
            for subnet in (space.smallest, *space.sample_balanced(rng, self._recipe.students)):
                logits = net(batch.at(subnet.resolution), subnet)
                F.cross_entropy(logits, target).backward()
        return float(loss.detach())

    def validate(self, train: ImageSet, held_out: ImageSet) -> dict[str, float]:
        """Accuracy of the largest and the smallest network, recalibrated."""
        result = {}
        for name, subnet in (("max", self._space.largest), ("min", self._space.smallest)):
            network = extract(self.module, subnet)
            recalibrate(network, train.floats_at(subnet.resolution, slice(0, CALIBRATION_IMAGES)))
            result[name] = accuracy(network, held_out)
        return result

    def state(self) -> dict[str, Any]:
        """Phase and early-bird history."""
        return {"warm": self._warm, "warm_step": self._warm_step, "early_bird": self._early_bird.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""
        self._warm, self._warm_step = state["warm"], state["warm_step"]
        self._early_bird.restore(state["early_bird"])


class PlainLearner:
    """One network trained alone on the labels: the yardstick for a supernet's subnets."""

    def __init__(self, graph: ShapeGraph, recipe: Recipe) -> None:
        self.module = PlainNetwork(graph, recipe.seed)
        _, height, width, _ = graph.shapes[graph.inputs[0]]
        self._resolution = resolution_of((height, width))

    def before_step(self, step: int, steps: int, optimizer: torch.optim.Optimizer) -> str | None:
        """Nothing changes between steps."""
        return None

    def backward(self, batch: Batch, step: int) -> float:
        """Cross entropy on the labels."""
        self.module.train()
        loss = F.cross_entropy(self.module(batch.at(self._resolution)), batch.labels, batch.class_weights)
        loss.backward()
        return float(loss.detach())

    def validate(self, train: ImageSet, held_out: ImageSet) -> dict[str, float]:
        """Accuracy with the statistics recalibrated, as for a subnet."""
        inputs: Tensor = train.floats_at(self._resolution, slice(0, CALIBRATION_IMAGES))
        kept = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
        recalibrate(self.module, inputs)
        result = {"net": accuracy(self.module, held_out)}
        for name, buffer in self.module.named_buffers():
            buffer.copy_(kept[name])
        return result

    def state(self) -> dict[str, Any]:
        """Nothing beside the weights."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to undo."""

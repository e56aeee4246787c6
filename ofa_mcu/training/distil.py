"""A short training of one subnet on labels and on the predictions of its supernet's largest network."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from ofa_mcu.supernet.network import PlainNetwork
from ofa_mcu.tasks.resample import resolution_of
from ofa_mcu.training.data import Batch
from ofa_mcu.training.learner import soft_loss
from ofa_mcu.training.learners import PlainLearner
from ofa_mcu.training.ranks import ALONE, Ranks
from ofa_mcu.training.recipe import Recipe

__all__ = ["DistilledLearner"]

_SOFT = 0.5  # share of the teacher in the loss (Hinton et al. 2015)


class DistilledLearner(PlainLearner):
    """`network`, changed in place, taught by `teacher`, whose statistics are calibrated and stay as they are."""

    def __init__(self, network: PlainNetwork, teacher: PlainNetwork, recipe: Recipe, ranks: Ranks = ALONE) -> None:
        super().__init__(network.graph, recipe, ranks, network)
        self._teacher = teacher.to(ranks.device).eval()
        _, height, width, _ = teacher.graph.shapes[teacher.graph.inputs[0]]
        self._teacher_resolution = resolution_of((height, width))

    def backward(self, batch: Batch, step: int) -> float:
        """Half cross entropy on the labels, half on the teacher's predictions."""
        self.macs += len(batch.labels) * self._teacher.graph.macs
        with torch.no_grad(), self._ranks.precision():
            target = F.softmax(self._teacher(self._inputs(batch, self._teacher_resolution)).float(), 1)
        logits = self._logits(batch)
        loss = (1 - _SOFT) * self._label_loss(logits, batch) + _SOFT * soft_loss(logits, target)
        loss.backward()
        return float(loss.detach())

"""Progressive shrinking (Once-for-All, Cai et al. 2020): the largest network first, then elastic kernel, depth, width.

Each phase adds a dimension to those before it; the input resolution is elastic in all but the first. Subnets learn from
the labels and from the predictions of the largest network as it was at the end of the first phase. Channels are sorted
before the phase that narrows layers. For comparison: the sandwich rule is the default.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ofa_mcu.space.space import SearchSpace
from ofa_mcu.supernet.network import Supernet
from ofa_mcu.training.data import Batch
from ofa_mcu.training.learner import clear_momentum, soft_loss
from ofa_mcu.training.learners import ElasticLearner
from ofa_mcu.training.ranks import ALONE, Ranks
from ofa_mcu.training.recipe import Recipe

__all__ = ["PHASES", "ProgressiveLearner", "phase_space"]

PHASES = ("full", "kernel", "depth", "width")
_BEGINS = (0.0, 0.3, 0.5, 0.75)  # share of the steps: 180, 125, 150 and 150 epochs of the paper's runs
_SUBNETS = (0, 1, 2, 4)  # a step, as in the paper
_PEAKS = (1.0, 0.375, 0.1, 0.1)  # learning rates relative to the first phase: 2.6, 0.96 and 0.24 there


def phase_space(space: SearchSpace, phase: int) -> SearchSpace:
    """The part of `space` that a phase trains: what is not yet elastic has its largest value."""
    stages = tuple(
        replace(
            stage,
            kernels=stage.kernels if phase >= 1 else (max(stage.kernels),),
            depths=stage.depths if phase >= 2 else (max(stage.depths),),
            expands=stage.expands if phase >= 3 else (max(stage.expands),),
        )
        for stage in space.stages
    )
    return replace(space, widths=space.widths if phase >= 3 else (max(space.widths),), stages=stages)


class ProgressiveLearner(ElasticLearner):
    """The four phases, each with a learning rate that falls to the floor."""

    def __init__(self, space: SearchSpace, recipe: Recipe, ranks: Ranks = ALONE) -> None:
        super().__init__(space, recipe, ranks)
        self._phase = 0
        self._teacher: Supernet | None = None
        self._spaces = [phase_space(space, phase) for phase in range(len(PHASES))]

    def rate(self, step: int, steps: int) -> float:
        """A rise and a cosine in the first phase, a cosine in each of the others."""
        if self.cooling is not None:
            return super().rate(step, steps)
        begin, end = self._begin(self._phase, steps), self._begin(self._phase + 1, steps)
        if self._phase == 0:
            return self._recipe.rate(step, max(1, end))
        floor, peak = self._recipe.floor_share * self._recipe.peak_rate, _PEAKS[self._phase] * self._recipe.peak_rate
        return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * (step - begin) / max(1, end - begin)))

    @staticmethod
    def _begin(phase: int, steps: int) -> int:
        return steps if phase == len(PHASES) else round(_BEGINS[phase] * steps)

    def before_step(self, step: int, steps: int, optimizer: torch.optim.Optimizer) -> str | None:
        """Enter the next phase when its time has come."""
        self._channels_settled(step, max(1, steps // self._recipe.epochs // 10, steps // 100))
        due = max(p for p in range(len(PHASES)) if self._begin(p, steps) <= step)
        if due == self._phase:
            return None
        if self._teacher is None:
            self._teacher = self._copy(self.module.state_dict())
        self._phase, self.elastic = due, True
        if due == len(PHASES) - 1:
            self._sort(optimizer)
        else:
            clear_momentum(optimizer)
        return f"phase {due} of progressive shrinking begins at step {step}: elastic {', '.join(PHASES[1 : due + 1])}"

    def _copy(self, weights: dict[str, torch.Tensor]) -> Supernet:
        teacher = Supernet(self._space)
        teacher.batch_norm = self._ranks.batch_norm
        teacher.load_state_dict(weights)
        return teacher.to(self._ranks.device).requires_grad_(False)

    def backward(self, batch: Batch, step: int) -> float:
        """The largest network on the labels, or subnets of the phase on labels and teacher."""
        if self._teacher is None:
            loss = self._label_loss(self._run(batch, self._space.largest), batch)
            loss.backward()
            return float(loss.detach())
        largest, target = self._space.largest, None
        if self._recipe.distillation:
            self.macs += len(batch.labels) * self._macs_of(largest)
            with torch.no_grad(), self._ranks.precision():
                target = F.softmax(self._teacher(self._inputs(batch, largest.resolution), largest).float(), 1)
        rng = np.random.default_rng((self._recipe.seed, 2, step))
        space = self._at_one_resolution(self._spaces[self._phase], step)
        subnets = space.sample_balanced(rng, _SUBNETS[self._phase])
        total = 0.0
        for subnet in subnets:
            logits = self._run(batch, subnet)
            loss = self._label_loss(logits, batch)
            total += float(loss.detach())
            if target is not None:
                loss = loss + soft_loss(logits, target)
            loss.backward()
        return total / len(subnets)

    def state(self) -> dict[str, Any]:
        """Phase and teacher."""
        teacher = dict(self._teacher.state_dict()) if self._teacher is not None else None
        return {**super().state(), "phase": self._phase, "teacher": teacher}

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""
        super().restore(state)
        self._phase = state["phase"]
        self._teacher = self._copy(state["teacher"]) if state["teacher"] is not None else None

"""What a training step does: for a supernet by the sandwich rule, and for one network alone."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.shapes import ShapeGraph
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.network import PlainNetwork, Supernet, extract
from ofa_mcu.supernet.sorting import sort_channels
from ofa_mcu.tasks.resample import resolution_of
from ofa_mcu.tasks.task import CALIBRATION_IMAGES
from ofa_mcu.training.calibrate import accuracy, recalibrate
from ofa_mcu.training.data import Batch, ImageSet
from ofa_mcu.training.early_bird import EarlyBird
from ofa_mcu.training.learner import TRAINED, Common, clear_momentum, soft_loss
from ofa_mcu.training.rankings import SubnetRanking, probe_accuracies, probe_subnets, ticks_of
from ofa_mcu.training.ranks import ALONE, Ranks
from ofa_mcu.training.recipe import Recipe

__all__ = ["ElasticLearner", "PlainLearner", "SupernetLearner"]

_COOL_DOWN = 0.2  # of the steps so far, where a run ends early


class ElasticLearner(Common):
    """What every way to train a supernet shares: the weights, the two rankings, validation of both corners."""

    def __init__(self, space: SearchSpace, recipe: Recipe, ranks: Ranks = ALONE) -> None:
        super().__init__(recipe, ranks)
        self.module = Supernet(space, recipe.seed)
        self.module.batch_norm = ranks.batch_norm
        self.module.to(ranks.device)
        self._space = space
        self._macs_of = lru_cache(maxsize=4096)(lambda subnet: shape_graph(space, subnet).macs)
        self._early_bird = EarlyBird()
        self._distances: list[dict[str, Any]] = []
        self._subnet_ranking = SubnetRanking()
        self._probes = probe_subnets(space, recipe.seed)
        self.elastic = False  # whether smaller networks are trained, too

    def _run(self, batch: Batch, subnet: Subnet, passes: int = TRAINED) -> Tensor:
        """Logits of a subnet at its resolution."""
        self.macs += passes * len(batch.labels) * self._macs_of(subnet)
        with self._ranks.precision():
            return self.module(self._inputs(batch, subnet.resolution), subnet)

    def _at_one_resolution(self, space: SearchSpace, step: int) -> SearchSpace:
        """The part of a space that this step's batch trains: all its networks see one resolution, drawn uniformly.

        Where the largest network saw only the highest and the smallest only the lowest, the weights that they share
        would answer to their own resolution alone, and those between to none.
        """
        drawn = np.random.default_rng((self._recipe.seed, 4, step)).choice(space.resolutions)
        return replace(space, resolutions=(int(drawn),))

    def _channels_settled(self, step: int, tick: int) -> bool | None:
        """The early-bird test at every tick; None between them."""
        if step == 0 or step % tick:
            return None
        settled = self._early_bird.settled(self.module)
        if len(self._early_bird.history) > 1:
            self._distances.append({"step": step, "distance": round(self._early_bird.distance, 5)})
        return settled

    def _sort(self, optimizer: torch.optim.Optimizer) -> None:
        sort_channels(self.module)
        clear_momentum(optimizer)  # momentum would still be in the old channel order
        self._early_bird.forget()

    def validate(self, train: ImageSet, held_out: ImageSet) -> dict[str, float]:
        """Accuracy of the largest and the smallest network, recalibrated."""
        result = {}
        for name, subnet in (("max", self._space.largest), ("min", self._space.smallest)):
            network = extract(self.module, subnet)
            recalibrate(network, train.floats_at(subnet.resolution, slice(0, CALIBRATION_IMAGES)))
            result[name] = accuracy(network, held_out)
        return result

    def probe(self, epoch: int, train: ImageSet, held_out: ImageSet) -> list[float]:
        """Accuracies of the 16 probe subnets, at most 20 times a run, once smaller networks are trained."""
        if not self.elastic or epoch not in ticks_of(self._recipe.epochs):
            return []
        return probe_accuracies(self.module, self._probes, train, held_out)

    def after_epoch(self, step: int, steps: int, probes: list[float]) -> str | None:
        """Note the probes; begin the last stretch where the ranking of subnets has settled and the recipe says so."""
        if not probes:
            return None
        self._subnet_ranking.note(step, probes)
        wanted = self._recipe.stop_tau
        if wanted is None or self.cooling is not None or step >= steps or not self._subnet_ranking.settled(wanted):
            return None
        self.cooling = step, min(steps, step + max(1, round(_COOL_DOWN * step)))
        tau = self._subnet_ranking.history[-1]["tau"]
        return f"subnet ranking settled at step {step} (Kendall tau {tau:.3f}); training ends at step {self.cooling[1]}"

    def rankings(self) -> dict[str, list[dict[str, Any]]]:
        """Mask distances of the channels, Kendall's tau of the probes."""
        return {"channels": self._distances, "subnets": self._subnet_ranking.history}

    def state(self) -> dict[str, Any]:
        """Phase and histories."""
        return {
            **super().state(),
            "elastic": self.elastic,
            "early_bird": self._early_bird.state(),
            "distances": list(self._distances),
            "subnets": list(self._subnet_ranking.history),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""
        super().restore(state)
        self.elastic = state["elastic"]
        self._early_bird.restore(state["early_bird"])
        self._distances, self._subnet_ranking.history = list(state["distances"]), list(state["subnets"])


class SupernetLearner(ElasticLearner):
    """Warm-up of the largest network, then the sandwich rule with in-place distillation (BigNAS, Yu et al. 2020)."""

    def __init__(self, space: SearchSpace, recipe: Recipe, ranks: Ranks = ALONE) -> None:
        super().__init__(space, recipe, ranks)
        self.elastic = not recipe.warmup

    def before_step(self, step: int, steps: int, optimizer: torch.optim.Optimizer) -> str | None:
        """At ten ticks an epoch of the warm-up: ask the early-bird test; sort once it is over."""
        tick = max(1, steps // self._recipe.epochs // 10)
        if self.elastic:
            self._channels_settled(step, max(tick, steps // 100))
            return None
        settled = self._channels_settled(step, tick)
        if settled is None:
            return None
        least, most = self._recipe.warmup_least * steps, self._recipe.warmup_share * steps
        if step < least or (not settled and step < most):
            return None
        distance = self._early_bird.distance
        self._sort(optimizer)
        self.elastic = True
        why = "channel ranking settled" if settled else "share of the budget used up"
        return f"warm-up ended at step {step} ({why}, distance {distance:.3f}); channels sorted"

    def backward(self, batch: Batch, step: int) -> float:
        """Largest net on the labels; smallest and random ones on its predictions, or on the labels as well."""
        space = self._at_one_resolution(self._space, step)
        teacher = self._run(batch, space.largest)
        loss = self._label_loss(teacher, batch)
        loss.backward()
        if self.elastic:
            target = F.softmax(teacher.detach().float(), 1)
            rng = np.random.default_rng((self._recipe.seed, 2, step))
            for subnet in (space.smallest, *space.sample_balanced(rng, self._recipe.students)):
                logits = self._run(batch, subnet)
                student = soft_loss(logits, target) if self._recipe.distillation else self._label_loss(logits, batch)
                student.backward()
        return float(loss.detach())


class PlainLearner(Common):
    """One network trained alone on the labels: the yardstick for a supernet's subnets.

    It starts from `network` where one is given, else from the recipe's seed.
    """

    def __init__(
        self, graph: ShapeGraph, recipe: Recipe, ranks: Ranks = ALONE, network: PlainNetwork | None = None
    ) -> None:
        super().__init__(recipe, ranks)
        self.module = network or PlainNetwork(graph, recipe.seed)
        self.module.batch_norm = ranks.batch_norm
        self.module.to(ranks.device)
        self._graph = graph
        _, height, width, _ = graph.shapes[graph.inputs[0]]
        self._resolution = resolution_of((height, width))

    def _logits(self, batch: Batch) -> Tensor:
        self.module.train()
        self.macs += TRAINED * len(batch.labels) * self._graph.macs
        with self._ranks.precision():
            return self.module(self._inputs(batch, self._resolution))

    def backward(self, batch: Batch, step: int) -> float:
        """Cross entropy on the labels."""
        loss = self._label_loss(self._logits(batch), batch)
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

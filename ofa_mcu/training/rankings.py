"""How the ranking of channels and that of subnets settle while a supernet trains.

Channels: the mask distance of the early-bird test. Subnets: Kendall's tau between the accuracies of 16 probe subnets
at two ticks; once the newest order agrees with each of the four before, more training changes no search's answer much,
and the run may end early (`Recipe.stop_tau`), with a last stretch in which the learning rate falls to its floor.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.stats import kendalltau

from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.network import Supernet, extract
from ofa_mcu.training.calibrate import accuracy, recalibrate
from ofa_mcu.training.data import ImageSet

__all__ = ["PROBES", "SubnetRanking", "probe_accuracies", "probe_subnets", "ticks_of"]

PROBES = 16
_KEEP = 5
_TICKS = 20  # a run
_CALIBRATION, _HELD_OUT = 512, 2000


def ticks_of(epochs: int) -> list[int]:
    """Epochs (from 1) after which the probes are measured: at most 20 a run, the last included."""
    every = -(-epochs // _TICKS)
    return [epoch for epoch in range(1, epochs + 1) if epoch % every == 0 or epoch == epochs]


def probe_subnets(space: SearchSpace, seed: int) -> list[Subnet]:
    """The corners and a balanced sample: 16 subnets that stay the same through the run."""
    return [space.largest, space.smallest, *space.sample_balanced(np.random.default_rng((seed, 3)), PROBES - 2)]


def probe_accuracies(supernet: Supernet, probes: list[Subnet], train: ImageSet, held_out: ImageSet) -> list[float]:
    """Accuracy (0..1) of each probe on at most 2,000 held-out examples, recalibrated on 512."""
    found = []
    for subnet in probes:
        network = extract(supernet, subnet)
        recalibrate(network, train.floats_at(subnet.resolution, slice(0, _CALIBRATION)))
        found.append(round(accuracy(network, held_out, most=_HELD_OUT), 5))
    return found


def _tau(first: list[float], second: list[float]) -> float:
    """Kendall's tau-b of two lists of accuracies; 0 where one of them ranks nothing."""
    value = float(kendalltau(first, second).statistic)
    return value if np.isfinite(value) else 0.0


@dataclass
class SubnetRanking:
    """Accuracies of the probes at every tick: dicts of step, accuracies, and least tau to the four ticks before."""

    history: list[dict[str, Any]] = field(default_factory=list)

    def note(self, step: int, accuracies: list[float]) -> None:
        """Record a tick."""
        before = [tick["accuracies"] for tick in self.history[-(_KEEP - 1) :]]
        tau = round(min(_tau(accuracies, older) for older in before), 4) if before else None
        self.history.append({"step": step, "tau": tau, "accuracies": accuracies})

    def settled(self, tau: float) -> bool:
        """Whether the newest ranking agrees with each of the four before it."""
        newest = self.history[-1]["tau"] if self.history else None
        return len(self.history) >= _KEEP and newest is not None and newest >= tau

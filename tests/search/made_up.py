"""Accuracies of subnets by formula, so that a search needs no trained weights."""

from __future__ import annotations

import math

import numpy as np

from ofa_mcu.search.predictor import Label, Predictor, fit_predictor
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import Subnet

__all__ = ["labels_of", "predictor_of", "true_accuracy"]


def true_accuracy(space: SearchSpace, subnet: Subnet) -> float:
    """Grows with MACs, and with larger kernels beyond what they cost."""
    macs = shape_graph(space, subnet).macs
    kernels = sum(block.kernel == 5 for blocks in subnet.stages for block in blocks)
    return 0.7 + 0.05 * math.log10(macs / 1e4) + 0.01 * kernels


def labels_of(space: SearchSpace, count: int, noise: float = 0.0, seed: int = 0) -> list[Label]:
    """Distinct subnets, measured with a little noise."""
    rng = np.random.default_rng(seed)
    subnets = list(dict.fromkeys(space.sample_balanced(rng, 4 * count)))[:count]
    return [Label(subnet, true_accuracy(space, subnet) + noise * rng.standard_normal()) for subnet in subnets]


def predictor_of(space: SearchSpace) -> Predictor:
    """A predictor fitted to the formula."""
    return fit_predictor(space, labels_of(space, 120))

"""Supernets with nothing left at its initial value, as training would leave them."""

from __future__ import annotations

import torch

from ofa_mcu.space.space import SearchSpace
from ofa_mcu.supernet.network import Supernet
from tests.space.spaces import TINY

__all__ = ["lively_supernet"]


def lively_supernet(seed: int, space: SearchSpace = TINY) -> Supernet:
    """A supernet whose batch norms have scales of both signs and shifts."""
    supernet = Supernet(space, seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for gamma in supernet.weights.gamma.values():
            gamma.copy_(torch.randn(gamma.shape, generator=generator))
        for beta in supernet.weights.beta.values():
            beta.copy_(0.5 * torch.randn(beta.shape, generator=generator))
    return supernet

"""Trains TINY's supernet on the quarters in the folder given, its weights spoilt once, a checkpoint after every step.

For a process of its own, so that a test can kill it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from ofa_mcu.training import loop
from ofa_mcu.training.learners import SupernetLearner
from tests.space.spaces import TINY
from tests.training.made_up import DATA, QUARTERS, RECIPE

STRIKE = 30


class Struck(SupernetLearner):
    """Its weights are hit by noise before step 30, as by a fault of the memory."""

    def before_step(self, step: int, steps: int, optimizer: torch.optim.Optimizer) -> str | None:
        if step == STRIKE:
            generator = torch.Generator().manual_seed(0)
            with torch.no_grad():
                for weight in self.module.parameters():
                    weight += 3 * torch.randn(weight.shape, generator=generator)
        return super().before_step(step, steps, optimizer)


def train_quarters(folder: Path) -> None:
    """The whole run; silent."""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    torch.set_num_threads(1)
    loop._CHECKPOINT_SECONDS = 0.0
    learner = Struck(TINY, RECIPE)
    loop.fit(learner, QUARTERS, DATA, TINY.resolutions, RECIPE, folder, "supernet")

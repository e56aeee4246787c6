"""Trains TINY's supernet on the quarters in the folder given, keeping a checkpoint of every step.

A program of its own, so that a test can kill it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from ofa_mcu.training import loop
from ofa_mcu.training.learners import SupernetLearner
from tests.space.spaces import TINY
from tests.training.made_up import DATA, QUARTERS, RECIPE


def main() -> None:
    torch.set_num_threads(1)
    loop._CHECKPOINT_SECONDS = 0.0
    learner = SupernetLearner(TINY, RECIPE)
    loop.fit(learner, QUARTERS, DATA, TINY.resolutions, RECIPE, Path(sys.argv[1]), "supernet")


if __name__ == "__main__":
    main()

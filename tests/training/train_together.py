"""`python -m ofa_mcu.training` with the quarters among its tasks; every process leaves its weights beside the run.

For torchrun: a program of its own.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ofa_mcu.space.presets import SPACES
from ofa_mcu.tasks.options import fixed
from ofa_mcu.tasks.registry import TASKS
from ofa_mcu.tasks.task import Dataset, Split
from ofa_mcu.training import __main__, supernet_run
from ofa_mcu.training.learners import ElasticLearner
from tests.space.spaces import TINY
from tests.training.made_up import DATA, QUARTERS

WEIGHTS = np.array([0.5, 1.0, 2.0, 4.0], np.float32)
_DATA = Dataset(Split(DATA.train.inputs, DATA.train.labels, WEIGHTS), DATA.validation, DATA.test)
WEIGHTED = fixed(dataclasses.replace(QUARTERS, load=lambda _: _DATA))
"""The quarters with unequal weights of the classes, as a task of the command line."""


def main() -> None:
    TASKS["quarters"], SPACES["quarters"] = WEIGHTED, TINY
    made: list[ElasticLearner] = []
    elastic_learner = supernet_run.elastic_learner

    def kept(*arguments: Any) -> ElasticLearner:
        made.append(elastic_learner(*arguments))
        return made[-1]

    supernet_run.elastic_learner = kept  # type: ignore[assignment]
    __main__.main()
    folder = Path(sys.argv[sys.argv.index("--out") + 1])
    torch.save(made[0].module.state_dict(), folder / f"rank{os.environ.get('RANK', '0')}.pt")


if __name__ == "__main__":
    main()

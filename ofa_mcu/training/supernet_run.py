"""Training a supernet from start to file: what `ofa-mcu train` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ofa_mcu.space.presets import space_for
from ofa_mcu.supernet.store import save_supernet
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.training.learners import SupernetLearner
from ofa_mcu.training.loop import fit, use_threads
from ofa_mcu.training.recipe import Recipe

__all__ = ["train_supernet"]

SUPERNET_FILE = "supernet.npz"


def train_supernet(task_name: str, recipe: Recipe, folder: Path, data_dir: Path | None, threads: int | None) -> Path:
    """Train (or resume) the supernet of a task in `folder`; the path of the finished supernet file."""
    task = task_named(task_name, data_dir)
    space = space_for(task.name, task.shape, len(task.labels))
    data = task.load(data_dir)
    used = use_threads(threads)
    learner = SupernetLearner(space, recipe)
    last = fit(learner, task, data, space.sizes, recipe, folder, "supernet")
    meta: dict[str, Any] = {
        "task": task.name,
        "licence_of_data": task.licence,
        "recipe": recipe.to_json(),
        "threads": used,
        "trained": last,
    }
    path = folder / SUPERNET_FILE
    save_supernet(path, learner.module, meta)
    return path

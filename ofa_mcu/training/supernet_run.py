"""Training a supernet from start to file: what `ofa-mcu train` does."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from ofa_mcu.errors import UsageError
from ofa_mcu.ledger import Entry, read_ledger, record
from ofa_mcu.space.presets import space_of
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.supernet.store import load_supernet, save_supernet
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.training.curves import plot_curves
from ofa_mcu.training.early_bird import THRESHOLD
from ofa_mcu.training.learners import SupernetLearner
from ofa_mcu.training.loop import fit, use_threads
from ofa_mcu.training.progressive import ProgressiveLearner
from ofa_mcu.training.ranks import ALONE, Ranks
from ofa_mcu.training.recipe import Recipe

__all__ = ["SUPERNET_FILE", "elastic_learner", "train_supernet"]

SUPERNET_FILE = "supernet.npz"


def elastic_learner(space: SearchSpace, recipe: Recipe, ranks: Ranks = ALONE) -> SupernetLearner | ProgressiveLearner:
    """What trains a supernet by the recipe's method.

    Raises:
        UsageError: the method trains no supernet.
    """
    match recipe.method:
        case "sandwich":
            return SupernetLearner(space, recipe, ranks)
        case "progressive":
            return ProgressiveLearner(space, recipe, ranks)
    raise UsageError(f"method '{recipe.method}' trains one network, no supernet")


def _named(space: SearchSpace) -> str:
    """What tells a space from others, so that no run is resumed with another one."""
    return f" of space {zlib.crc32(json.dumps(space.to_json()).encode()):08x}"


def _begin_with(learner: SupernetLearner | ProgressiveLearner, start: Path) -> str:
    """Give the learner the weights of a trained supernet: all its networks learn from the first step.

    Returns:
        What tells these weights from others.
    """
    if not isinstance(learner, SupernetLearner):
        raise UsageError(f"progressive shrinking begins from nothing: {start} goes with --method sandwich")
    known, _ = load_supernet(start)
    if known.space != learner.module.space:
        raise UsageError(f"the supernet in {start} is one of another space; begin with one of this task and space")
    learner.module.load_state_dict(known.state_dict())
    learner.elastic = True
    return f" from weights {zlib.crc32(start.read_bytes()):08x}"


def _record_start(folder: Path, start: Path) -> None:
    """What the weights cost that a run began with, as their folder's ledger has it: a stage of this run, too."""
    known = [entry for entry in read_ledger(start.parent) if entry.stage in ("supernet", "start")]
    if not known:
        return
    entry = Entry(
        "start",
        round(sum(e.wall_seconds for e in known), 3),
        round(sum(e.device_seconds for e in known), 3),
        round(sum(e.kwh for e in known if e.kwh is not None), 9),
        known[0].basis,
        {part: round(sum(e.parts.get(part, 0.0) for e in known), 9) for part in known[0].parts},
    )
    record(folder, entry, running=True)


def train_supernet(
    task_name: str,
    recipe: Recipe,
    folder: Path,
    data_dir: Path | None,
    threads: int | None,
    ranks: Ranks = ALONE,
    space_file: Path | None = None,
    start: Path | None = None,
) -> Path:
    """Train (or resume) the supernet of a task in `folder`; the path of the finished supernet file.

    Its space is that in `space_file`, else the task's own. It begins with the weights in `start` where there is one.
    """
    task = task_named(task_name, data_dir)
    space = space_of(task.name, task.shape, len(task.labels), space_file)
    data = task.load(data_dir)
    used = use_threads(threads)
    learner = elastic_learner(space, recipe, ranks)
    label = f"supernet{_named(space) if space_file else ''}"
    if start is not None:
        label += _begin_with(learner, start)
    last = fit(learner, task, data, space.sizes, recipe, folder, label, ranks)
    meta: dict[str, Any] = {
        "task": task.name,
        "licence_of_data": task.licence,
        "recipe": recipe.to_json(),
        "threads": used,
        "processes": ranks.world,
        "device": ranks.device.type,
        "trained": last,
    }
    path = folder / SUPERNET_FILE
    if ranks.first:
        save_supernet(path, learner.module, meta)
        if start is not None:
            _record_start(folder, start)
        plot_curves(folder, THRESHOLD, recipe.stop_tau)
    return path

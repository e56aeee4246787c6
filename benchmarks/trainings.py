"""What benchmarks of training share: networks and supernets in folders that resume, right answers with intervals."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from ofa_mcu.files import write_json
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.network import PlainNetwork, Supernet, extract
from ofa_mcu.supernet.plain_store import load_network
from ofa_mcu.supernet.store import load_supernet
from ofa_mcu.tasks.resample import resolution_of
from ofa_mcu.tasks.task import Dataset, Split, TrainingPart
from ofa_mcu.training.calibrate import calibration_inputs, recalibrate
from ofa_mcu.training.data import ImageSet
from ofa_mcu.training.plain_run import PlainRun, train_plain
from ofa_mcu.training.recipe import Recipe
from ofa_mcu.training.supernet_run import train_supernet

__all__ = [
    "Right",
    "add_recipe",
    "alone",
    "interval",
    "last_line",
    "percent",
    "recipe_of",
    "right_answers",
    "shared",
    "spread",
    "store",
    "supernet",
    "tasks_of",
    "verdict",
]

RESULTS = Path(__file__).parent / "results"
Right = NDArray[np.bool_]
"""Which test examples were answered rightly (examples,), or (seeds, examples)."""
_DRAWS = 4000


def add_recipe(parser: argparse.ArgumentParser) -> None:
    """Options of the recipe, the data and the folder of the runs; `recipe_of` reads them."""
    parser.add_argument("--task", default="fashion-mnist")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the runs; what is there is not trained again"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folds", type=int, help="test every fold of the task (gestures: of its persons) in turn")
    parser.add_argument("--threads", type=int, default=1)
    for name in ("epochs", "batch", "students"):
        parser.add_argument(f"--{name}", type=int, default=getattr(Recipe, name))
    parser.add_argument("--rate", dest="peak_rate", type=float, default=Recipe.peak_rate)
    parser.add_argument("--weight-decay", type=float, default=Recipe.weight_decay)


def recipe_of(options: argparse.Namespace) -> Recipe:
    """The recipe that the options name."""
    given = {field.name: getattr(options, field.name) for field in fields(Recipe) if hasattr(options, field.name)}
    return Recipe(**given)


def tasks_of(options: argparse.Namespace) -> list[str]:
    """The task, or the task of each fold."""
    if options.folds is None:
        return [options.task]
    return [f"{options.task}:fold={fold},folds={options.folds}" for fold in range(options.folds)]


def spread(space: SearchSpace, count: int, seed: int = 0) -> list[Subnet]:
    """`count` subnets at equal steps of log(MACs), the corners included; the inner ones from a seeded sample."""
    sample = space.sample_balanced(np.random.default_rng(seed), 400)
    macs = [math.log(shape_graph(space, s).macs) for s in sample]
    low, high = (math.log(shape_graph(space, s).macs) for s in (space.smallest, space.largest))
    targets = [low + (high - low) * i / (count - 1) for i in range(1, count - 1)]
    inner = [sample[int(np.argmin([abs(m - target) for m in macs]))] for target in targets]
    return [space.smallest, *inner, space.largest]


def right_answers(network: PlainNetwork, data: Dataset) -> Right:
    """Which test examples the network answers rightly, statistics recalibrated on training examples (examples,)."""
    _, height, width, _ = network.graph.shapes["input"]
    size, resolution = (height, width), resolution_of((height, width))
    recalibrate(network, calibration_inputs(data.train, size))
    network.eval()
    test = ImageSet(data.test, (size,))
    with torch.no_grad():
        parts = [network(test.floats_at(resolution, slice(i, i + 250))) for i in range(0, len(test), 250)]
    return (torch.cat(parts).argmax(1) == test.labels).numpy()


def supernet(task: str, recipe: Recipe, folder: Path, data_dir: Path | None, threads: int) -> Supernet:
    """The trained supernet in the folder."""
    return load_supernet(train_supernet(task, recipe, folder, data_dir, threads))[0]


class _Kept:
    """Training examples that change with every epoch, made once for all networks that train with the same seed."""

    _epochs: ClassVar[dict[tuple[str, int, int], TrainingPart]] = {}

    def __init__(self, task: str, part: TrainingPart) -> None:
        self._task, self._part = task, part
        self.inputs, self.labels, self.class_weights = part.inputs, part.labels, part.class_weights

    def __len__(self) -> int:
        return len(self._part)

    def first(self, count: int) -> Split:
        """As of the part."""
        return self._part.first(count)

    def epoch(self, seed: int, epoch: int) -> TrainingPart:
        """As of the part."""
        key = self._task, seed, epoch
        if key not in self._epochs:
            if any(known[:2] != key[:2] for known in self._epochs):
                self._epochs.clear()
            made = self._part.epoch(seed, epoch)
            self._epochs[key] = self if made is self._part else made
        return self._epochs[key]


def alone(run: PlainRun, recipe: Recipe, folder: Path, threads: int) -> PlainNetwork:
    """The network in the folder, trained alone on the labels."""
    if not isinstance(run.data.train, Split):
        run.data = replace(run.data, train=_Kept(run.task.name, run.data.train))
    return load_network(train_plain(run, replace(recipe, method="plain"), folder, threads))[0]


def shared(net: Supernet, subnet: Subnet, data: Dataset) -> Right:
    """Which test examples a subnet answers rightly as it is cut out of the supernet (examples,)."""
    return right_answers(extract(net, subnet), data)


def interval(values: NDArray[np.float64]) -> list[float]:
    """95 % interval of the mean of values (seeds, examples): a bootstrap that draws seeds and examples anew."""
    rng = np.random.default_rng(0)
    seeds, examples = values.shape
    means = [
        values[rng.integers(0, seeds, seeds)].mean(0)[rng.integers(0, examples, examples)].mean() for _ in range(_DRAWS)
    ]
    return [float(bound) for bound in np.percentile(means, [2.5, 97.5])]


def verdict(bounds: Sequence[float], above: str, below: str) -> str:
    """What a difference with this interval says: one that holds 0 is a tie."""
    low, high = bounds
    return "tie" if low <= 0 <= high else above if low > 0 else below


def last_line(folder: Path) -> dict[str, Any]:
    """The last line of a run's log."""
    line: dict[str, Any] = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    return line


def percent(values: Iterable[float]) -> str:
    """Shares as percentages, with two digits."""
    return " .. ".join(f"{100 * value:.2f}" for value in values)


def store(name: str, key: str, result: dict[str, Any], columns: Sequence[str]) -> None:
    """Print the rows' columns and keep the result under the key in the benchmark's file."""
    path = RESULTS / f"{name}.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, known | {key: result})
    lines = [columns, *([_cell(row.get(column)) for column in columns] for row in result["rows"])]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def _cell(value: Any) -> str:
    match value:
        case float():
            return f"{value:.4f}"
        case [float(), float()]:
            return percent(value)
        case int():
            return f"{value:,}"
    return "" if value is None else str(value)

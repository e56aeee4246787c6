"""What each part of the supernet's recipe is worth: supernets trained without it, for as many multiply-accumulates.

Every variant trains for so many epochs that it spends what the whole recipe spends (counted as `log.jsonl` does; a
short run of a tenth of the epochs tells its pace). The score is the mean test accuracy of twelve subnets at equal steps
of log(MACs), statistics recalibrated, over all seeds; its difference to the whole recipe has a 95 % interval, and one
that holds 0 is a tie. Resumable.

    python -m benchmarks.recipe_parts --task keywords --seeds 0 1 2 --epochs 45 --out runs/parts
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import trainings
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.training.recipe import Recipe

SUBNETS = 12
VARIANTS: dict[str, dict[str, Any]] = {
    "whole recipe": {},
    "no warm-up": {"warmup": False},
    "warm-up of a fifth, no early-bird test": {"warmup_least": Recipe.warmup_share},
    "labels, no distillation": {"distillation": False},
    "one random subnet a step": {"students": 1},
    "progressive shrinking": {"method": "progressive"},
}


def main() -> None:
    """Train what is missing, then print and store the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    trainings.add_recipe(parser)
    options = parser.parse_args()
    data = task_named(options.task, options.data_dir).load(options.data_dir)
    scores: dict[str, list[trainings.Right]] = {name: [] for name in VARIANTS}
    spent: dict[str, list[float]] = {name: [] for name in VARIANTS}
    epochs: dict[str, int] = {}

    def train(recipe: Recipe, folder: Path) -> trainings.Supernet:
        return trainings.supernet(options.task, recipe, folder, options.data_dir, options.threads)

    for seed in options.seeds:
        options.seed = seed
        recipe = trainings.recipe_of(options)
        for name, changes in VARIANTS.items():
            folder = options.out / options.task / name.replace(" ", "-") / f"seed-{seed}"
            variant = replace(recipe, **changes)
            if name != "whole recipe":
                if name not in epochs:
                    short = folder.parent / "pace"
                    train(replace(variant, epochs=max(5, options.epochs // 10)), short)
                    line = trainings.last_line(short)
                    pace = line["tera_macs"] / line["epoch"]
                    epochs[name] = round(spent["whole recipe"][0] / pace)
                variant = replace(variant, epochs=epochs[name])
            net = train(variant, folder)
            spent[name].append(trainings.last_line(folder)["tera_macs"])
            answers = [trainings.shared(net, subnet, data) for subnet in trainings.spread(net.space, SUBNETS)]
            scores[name].append(np.mean(answers, axis=0))
    rows = []
    whole = np.stack(scores["whole recipe"])
    for name in VARIANTS:
        found = np.stack(scores[name])
        low, high = trainings.interval(found - whole)
        rows.append(
            {
                "recipe": name,
                "epochs": epochs.get(name, options.epochs),
                "tera_macs": float(np.mean(spent[name])),
                "accuracy": float(found.mean()),
                "accuracy_interval": trainings.interval(found),
                "difference": float((found - whole).mean()),
                "difference_interval": [low, high],
                "verdict": trainings.verdict([low, high], "better", "worse"),
            }
        )
    result = {"seeds": options.seeds, "subnets": SUBNETS, "test_examples": int(whole.shape[1]), "rows": rows}
    columns = ("recipe", "epochs", "tera_macs", "accuracy", "difference", "difference_interval", "verdict")
    trainings.store("recipe_parts", options.task, result, columns)


if __name__ == "__main__":
    main()

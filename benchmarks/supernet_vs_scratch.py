"""Subnets spread over a space: cut out of the supernet, and trained alone for as many epochs.

They lie at equal steps of log(MACs) from the smallest to the largest network. A subnet cut out of the supernet gets its
batch-norm statistics recalibrated and no other training; the yardstick is the same network trained alone with the
supernet's recipe. Both are trained for every seed (and fold) and answers are pooled; gaps have 95 % intervals, and one
that holds 0 is a tie. Resumable; a finished run of `ofa-mcu train` serves as OUT/TASK/seed-0/supernet. With
`--supernet` a trained one is taken as it is; `--supernet-epochs` is for you to say, so that the table does.

    python -m benchmarks.supernet_vs_scratch --task keywords --subnets 6 --seeds 0 1 2 --epochs 90 --out runs/scratch
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import trainings
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.store import load_supernet
from ofa_mcu.training.plain_run import PlainRun

_RECIPE = ("epochs", "batch", "peak_rate", "weight_decay", "students")


def main() -> None:
    """Train what is missing, then print and store the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    trainings.add_recipe(parser)
    parser.add_argument("--subnets", type=int, default=4)
    parser.add_argument("--nets", nargs="+", type=Subnet.parse, help="these subnets, not any spread over the space")
    parser.add_argument("--supernet", type=Path, help="of the one seed, trained already")
    parser.add_argument("--supernet-epochs", type=int, help="that it was trained for, in all (default: --epochs)")
    options = parser.parse_args()
    if options.supernet is not None and (len(options.seeds) > 1 or options.folds is not None):
        parser.error("--supernet is one supernet: of one seed, without folds")
    rows: dict[str, dict[str, Any]] = {}
    answers: dict[str, dict[str, list[trainings.Right]]] = {}
    for seed in options.seeds:
        options.seed = seed
        recipe = trainings.recipe_of(options)
        pooled: dict[str, dict[str, list[trainings.Right]]] = {}
        for task in trainings.tasks_of(options):
            folder = options.out / task.replace(":", "-") / f"seed-{seed}"
            if options.supernet is not None:
                net = load_supernet(options.supernet)[0]
            else:
                net = trainings.supernet(task, recipe, folder / "supernet", options.data_dir, options.threads)
            for subnet in options.nets or trainings.spread(net.space, options.subnets):
                run = PlainRun(task, str(subnet), options.data_dir)
                lone = trainings.alone(run, recipe, folder / str(subnet), options.threads)
                found = pooled.setdefault(str(subnet), {"alone": [], "supernet": []})
                found["alone"].append(trainings.right_answers(lone, run.data))
                found["supernet"].append(trainings.shared(net, subnet, run.data))
                rows[str(subnet)] = {"macs": run.graph.macs, "parameters": run.graph.parameters}
        for name, found in pooled.items():
            for kind, parts in found.items():
                answers.setdefault(name, {}).setdefault(kind, []).append(np.concatenate(parts))
    table, gaps = [], []
    for name, row in rows.items():
        lone, cut = (np.stack(answers[name][kind]).astype(np.float64) for kind in ("alone", "supernet"))
        gaps.append(lone - cut)
        low, high = trainings.interval(lone - cut)
        table.append(
            {
                "subnet": name,
                **row,
                "alone": float(lone.mean()),
                "supernet": float(cut.mean()),
                "gap": float((lone - cut).mean()),
                "gap_interval": [low, high],
                "verdict": trainings.verdict([low, high], "alone", "supernet"),
            }
        )
    mean = np.mean(gaps, axis=0)
    result = {
        "recipe": {name: getattr(options, name) for name in _RECIPE},
        "supernet_epochs": options.supernet_epochs or options.epochs,
        "seeds": options.seeds,
        "folds": options.folds,
        "test_examples": mean.shape[1],
        "mean_gap": float(mean.mean()),
        "mean_gap_interval": trainings.interval(mean),
        "rows": table,
    }
    columns = ("subnet", "macs", "parameters", "alone", "supernet", "gap", "gap_interval", "verdict")
    trainings.store("supernet_vs_scratch", options.task, result, columns)
    print(
        f"mean gap {100 * result['mean_gap']:.2f} points ({trainings.percent(result['mean_gap_interval'])}); "
        f"alone {options.epochs} epochs, the supernet {result['supernet_epochs']}"
    )


if __name__ == "__main__":
    main()

"""What stopping early saves and costs: epochs, kWh, accuracy; early-bird tickets and the end of a supernet's training.

A ticket drawn early (`--early-bird P`) against the same drawn at the end of the dense training (`--late-ticket`), and a
supernet that ends once the ranking of its subnets has settled (`--stop-ranking`) against one that trains to the end;
its accuracy is the mean of six subnets at equal steps of log(MACs). All seeds pooled, differences with 95 % intervals.
Resumable.

    python -m benchmarks.early_bird --task keywords --seeds 0 1 2 --epochs 45 --out runs/early
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import trainings
from ofa_mcu.supernet.plain_store import NETWORK_FILE, load_network
from ofa_mcu.training.plain_run import PlainRun, train_ticket
from ofa_mcu.training.recipe import Recipe

SUBNETS = 6


def ticket(run: PlainRun, recipe: Recipe, folder: Path, threads: int, share: float, late: bool) -> dict[str, Any]:
    """Epochs, kWh and right answers of a network and its ticket."""
    summary = train_ticket(run, recipe, folder, threads, share, late)
    network = load_network(folder / NETWORK_FILE)[0]
    return {
        "epochs": summary["epochs_dense"] + recipe.epochs,
        "kwh": summary["kwh_dense"] + summary["kwh_slim"],
        "macs": summary["macs"],
        "right": trainings.right_answers(network, run.data),
    }


def whole(run: PlainRun, recipe: Recipe, folder: Path, data_dir: Path | None, threads: int) -> dict[str, Any]:
    """Epochs, kWh and right answers of a supernet."""
    net = trainings.supernet(run.task.name, recipe, folder, data_dir, threads)
    line = trainings.last_line(folder)
    right = [trainings.shared(net, subnet, run.data) for subnet in trainings.spread(net.space, SUBNETS)]
    return {
        "epochs": recipe.epochs * line["step"] / line["steps"],
        "kwh": line["kwh"],
        "right": np.mean(right, axis=0),
    }


def compared(name: str, early: list[dict[str, Any]], late: list[dict[str, Any]]) -> dict[str, Any]:
    """A row of the table."""
    means = {key: [float(np.mean([one[key] for one in kind])) for kind in (early, late)] for key in ("epochs", "kwh")}
    first, second = (np.stack([one["right"] for one in kind]).astype(np.float64) for kind in (early, late))
    return {
        "what": name,
        "epochs": means["epochs"][0],
        "epochs_late": means["epochs"][1],
        "epochs_saved": means["epochs"][1] - means["epochs"][0],
        "kwh": means["kwh"][0],
        "kwh_late": means["kwh"][1],
        "kwh_saved": means["kwh"][1] - means["kwh"][0],
        "accuracy": float(first.mean()),
        "accuracy_late": float(second.mean()),
        "lost": float((second - first).mean()),
        "lost_interval": trainings.interval(second - first),
    }


def main() -> None:
    """Train what is missing, then print and store the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    trainings.add_recipe(parser)
    parser.add_argument("--percent", type=float, nargs="+", default=[30.0, 50.0])
    parser.add_argument("--tau", type=float, default=0.9, help="ranking at which the supernet ends")
    options = parser.parse_args()
    run = PlainRun(options.task, None, options.data_dir)
    pairs: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
    for seed in options.seeds:
        options.seed = seed
        recipe = trainings.recipe_of(options)
        folder = options.out / options.task / f"seed-{seed}"
        for share in options.percent:
            both = pairs.setdefault(f"ticket without {share:g} % of the channels", ([], []))
            for late, found in zip((False, True), both, strict=True):
                name = f"ticket-{share:g}-{'late' if late else 'early'}"
                plain = replace(recipe, method="plain")
                found.append(ticket(run, plain, folder / name, options.threads, share, late))
        both = pairs.setdefault(f"supernet until Kendall tau {options.tau:g}", ([], []))
        for tau, found in zip((options.tau, None), both, strict=True):
            stopped = replace(recipe, stop_tau=tau)
            place = folder / f"supernet-{'late' if tau is None else 'early'}"
            found.append(whole(run, stopped, place, options.data_dir, options.threads))
    rows = [compared(name, early, late) for name, (early, late) in pairs.items()]
    result = {"epochs": options.epochs, "seeds": options.seeds, "rows": rows}
    columns = ("what", "epochs", "epochs_saved", "kwh", "kwh_saved", "accuracy", "accuracy_late", "lost_interval")
    trainings.store("early_bird", options.task, result, columns)


if __name__ == "__main__":
    main()

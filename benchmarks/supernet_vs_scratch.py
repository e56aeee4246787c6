"""Four subnets spread over the space: cut out of the supernet, and trained alone for as many epochs.

The four lie at equal steps of log(MACs) from the smallest to the largest network. A subnet cut out of the supernet
gets its batch-norm statistics recalibrated and no other training; the yardstick is the same network trained alone
with the supernet's recipe. Training is resumable; about 60 CPU minutes for the shipped supernet.

    python benchmarks/supernet_vs_scratch.py --supernet FILE --out FOLDER
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from ofa_mcu.files import write_json
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import space_named
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.network import PlainNetwork, extract
from ofa_mcu.supernet.store import load_supernet
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.tasks.resample import resolution_of
from ofa_mcu.tasks.task import Split, TrainingPart
from ofa_mcu.training.calibrate import CALIBRATION_IMAGES, accuracy, recalibrate
from ofa_mcu.training.data import ImageSet
from ofa_mcu.training.learners import PlainLearner
from ofa_mcu.training.loop import fit
from ofa_mcu.training.recipe import Recipe

RESULTS = Path(__file__).parent / "results" / "supernet_vs_scratch.json"


def spread(space: SearchSpace, count: int = 4, seed: int = 0) -> list[Subnet]:
    """`count` subnets at equal steps of log(MACs), the corners included; the inner ones from a seeded sample."""
    sample = space.sample_balanced(np.random.default_rng(seed), 400)
    macs = [math.log(shape_graph(space, s).macs) for s in sample]
    low, high = (math.log(shape_graph(space, s).macs) for s in (space.smallest, space.largest))
    targets = [low + (high - low) * i / (count - 1) for i in range(1, count - 1)]
    inner = [sample[int(np.argmin([abs(m - target) for m in macs]))] for target in targets]
    return [space.smallest, *inner, space.largest]


def test_accuracy(network: PlainNetwork, train: TrainingPart, test: Split) -> float:
    """Accuracy on the test images with statistics recalibrated on training images."""
    _, height, width, _ = network.graph.shapes["input"]
    first = Split(train.inputs[:CALIBRATION_IMAGES], train.labels[:CALIBRATION_IMAGES])
    recalibrate(network, ImageSet(first, ((height, width),)).floats_at(resolution_of((height, width))))
    return accuracy(network, ImageSet(test, ((height, width),)))


def main() -> None:
    """Train what is missing, then print and store the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="fashion-mnist")
    parser.add_argument("--supernet", type=Path, help="supernet file; without it only the lone networks are trained")
    parser.add_argument("--out", type=Path, required=True, help="folder of the lone networks' runs")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    task, space = task_named(options.task), space_named(options.task)
    data = task.load(None)
    recipe = replace(Recipe(), epochs=options.epochs)
    supernet = load_supernet(options.supernet)[0] if options.supernet else None
    rows = []
    for subnet in spread(space):
        graph = shape_graph(space, subnet)
        learner = PlainLearner(graph, recipe)
        sizes = (space.input_size(subnet.resolution),)
        fit(learner, task, data, sizes, recipe, options.out / str(subnet), f"alone {subnet}")
        if supernet is None:
            continue
        alone = test_accuracy(learner.module, data.train, data.test)
        shared = test_accuracy(extract(supernet, subnet), data.train, data.test)
        rows.append(
            {
                "subnet": str(subnet),
                "macs": graph.macs,
                "parameters": graph.parameters,
                "alone": alone,
                "supernet": shared,
            }
        )
    if not rows:
        return
    print(f"{'subnet':<40} {'MACs':>9} {'alone %':>8} {'supernet %':>10} {'gap':>6}")
    for row in rows:
        gap = 100 * (row["alone"] - row["supernet"])
        print(
            f"{row['subnet']:<40} {row['macs']:>9} {100 * row['alone']:8.2f} {100 * row['supernet']:10.2f} {gap:6.2f}"
        )
    mean_gap = 100 * sum(row["alone"] - row["supernet"] for row in rows) / len(rows)
    print(f"mean gap {mean_gap:.2f} points; both trained {options.epochs} epochs")
    write_json(RESULTS, {"epochs": options.epochs, "rows": rows, "mean_gap_points": mean_gap})


if __name__ == "__main__":
    main()

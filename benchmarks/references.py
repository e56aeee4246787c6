"""The shipped supernets against MLPerf Tiny's reference networks, which our trainer trains here on the same data.

The references: DS-CNN (Zhang et al. 2017) for keywords, ResNet8 (Banbury et al. 2021) for CIFAR-10, for every seed. The
supernet's epochs are for you to say (`--supernet-epochs`), so that the table does. Its subnets are chosen on validation
examples, int8, without further training: the best of those with no more multiply-accumulates than the reference, of
those with at most half of its instructions, and of those with at most half of its instructions and SRAM; with
`--finetune EPOCHS` the latter once more, trained on as `search --finetune` does. All are compiled by us for Cortex-M7
and counted on the emulator; accuracies are int8 on test examples, differences have 95 % intervals, and one that holds 0
is a tie. Resumable.

    python -m benchmarks.references --task keywords --seeds 0 1 2 --epochs 90 --out runs/references
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import trainings
from benchmarks.compiler import roomy
from ofa_mcu.devices.model_build import compile_model, model_files, try_on_twin, write_model_project
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.planning.compile import CompileOptions
from ofa_mcu.quantization.evaluate import Evaluator, Specialised
from ofa_mcu.quantization.fast import int8_right
from ofa_mcu.quantization.ptq import recalibrate_and_quantize
from ofa_mcu.quantization.refine import Refinement, refine
from ofa_mcu.search.archive import Archive
from ofa_mcu.search.nsga import evolved
from ofa_mcu.search.recommend import Source
from ofa_mcu.search.tables import Costs, CostTables
from ofa_mcu.space.lowering import GraphBuilder
from ofa_mcu.space.presets import SPACES
from ofa_mcu.space.shapes import Activation, ShapeGraph
from ofa_mcu.tasks.resample import to_codes
from ofa_mcu.tasks.task import Dataset
from ofa_mcu.training.calibrate import calibration_inputs, one_thread_each
from ofa_mcu.training.learners import PlainLearner
from ofa_mcu.training.loop import fit, use_threads
from ofa_mcu.training.recipe import Recipe

CORE = "cortex-m7"
_HALF = "supernet, half of the instructions and SRAM"
_TRIED = 16
"""Subnets, the best by prediction, that are measured on validation examples."""


def ds_cnn() -> ShapeGraph:
    """A convolution of 10x4 with stride 2, and four separable blocks of 64 channels."""
    net = GraphBuilder((1, 49, 10, 1))
    x = net.conv("stem", "input", 64, (10, 4), (2, 2), Activation.RELU6)
    for block in range(1, 5):
        y = net.depthwise(f"block{block}.depthwise", x, (3, 3), (1, 1))
        x = net.pointwise(f"block{block}.pointwise", y, 64, Activation.RELU6)
    return net.graph("ds_cnn", net.dense("logits", net.mean("pool", x), SPACES["keywords"].classes))


def resnet8() -> ShapeGraph:
    """Three residual stacks of 16, 32 and 64 channels; the last two halve the map, their shortcuts are 1x1."""
    net = GraphBuilder((1, 32, 32, 3))
    x = net.conv("stem", "input", 16, (3, 3), (1, 1), Activation.RELU)
    for stack, (channels, stride) in enumerate(((16, 1), (32, 2), (64, 2)), 1):
        strides = stride, stride
        y = net.conv(f"stack{stack}.first", x, channels, (3, 3), strides, Activation.RELU)
        y = net.conv(f"stack{stack}.second", y, channels, (3, 3), (1, 1), Activation.NONE)
        if stride > 1:
            x = net.conv(f"stack{stack}.shortcut", x, channels, (1, 1), strides, Activation.NONE)
        x = net.add(f"stack{stack}.sum", x, y, Activation.RELU)
    return net.graph("resnet8", net.dense("logits", net.mean("pool", x), 10))


REFERENCES: dict[str, tuple[str, Callable[[], ShapeGraph]]] = {
    "keywords": ("DS-CNN", ds_cnn),
    "cifar10": ("ResNet8", resnet8),
}


def trained(graph: ShapeGraph, source: Source, data: Dataset, recipe: Recipe, folder: Path) -> Int8Graph:
    """The network trained alone (or found in the folder), int8."""
    learner = PlainLearner(graph, recipe)
    _, height, width, _ = graph.shapes["input"]
    size = height, width
    fit(learner, source.task, data, (size,), recipe, folder, f"plain {graph.name}")
    inputs = calibration_inputs(data.train, size)
    with one_thread_each():
        return recalibrate_and_quantize(learner.module, inputs)


def right_answers(graph: Int8Graph, data: Dataset) -> trainings.Right:
    """Which test examples the int8 network answers rightly (examples,)."""
    return int8_right(graph, to_codes(data.test.inputs), data.test.labels)


def measured(graph: Int8Graph, max_sram: int | None = None) -> dict[str, Any]:
    """MACs, parameters, and what the compiled network takes; instructions are those of the emulator."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        path.write_bytes(write_tflite(graph))
        made = compile_model(path, roomy(CORE), CompileOptions(max_sram=max_sram))
        project = write_model_project(made, Path(folder) / "project", model_files(made))
        trial = try_on_twin(made, project)
        trial.check()
    counted = trial.measurement.instructions
    assert counted is not None  # an emulator counts
    return {
        "macs": graph.structure.macs,
        "parameters": graph.structure.parameters,
        "instructions": counted.median,
        "sram_bytes": made.cost.sram_bytes,
        "arena_bytes": made.compiled.plan.memory.arena_bytes,
        "flash_bytes": made.cost.flash_bytes,
    }


def best(
    source: Source, evaluator: Evaluator, within: Callable[[Costs], NDArray[np.bool_]], max_sram: int | None
) -> Specialised | None:
    """The subnet within bounds that is best on validation examples, of those that prediction puts first."""
    profile = roomy(CORE)
    archive = evolved(Archive(source.predictor, profile), None, 0, lambda text: None)
    costs = CostTables(source.predictor.space, profile)(archive.genes, max_sram)
    numbers = np.flatnonzero(within(costs))
    first = numbers[np.argsort(archive.objectives[numbers, 0], kind="stable")][:_TRIED]
    subnets = [archive.genome.decode(genes) for genes in archive.genes[first].tolist()]
    scored = evaluator.specialise_and_score(subnets, "validation")
    return max(scored, key=lambda pair: pair[1])[0] if scored else None


def main() -> None:
    """Train what is missing, then print and store the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    trainings.add_recipe(parser)
    parser.add_argument("--supernet-epochs", type=int, help="that it was trained for, in all (default: --epochs)")
    parser.add_argument("--finetune", type=int, default=0, help="epochs that the half as costly subnet is trained on")
    options = parser.parse_args()
    use_threads(options.threads)
    name, structure = REFERENCES[options.task]
    source = Source(options.task, None, options.data_dir)
    evaluator = source.evaluator
    data = evaluator.data
    nets = []
    for seed in options.seeds:
        options.seed = seed
        recipe = replace(trainings.recipe_of(options), method="plain")
        nets.append(trained(structure(), source, data, recipe, options.out / options.task / f"{name}-{seed}"))
    known = np.stack([right_answers(net, data) for net in nets]).astype(np.float64)
    cost = measured(nets[0])
    half, sram = cost["instructions"] / 2, cost["sram_bytes"] // 2
    bounds: dict[str, Callable[[Costs], NDArray[np.bool_]]] = {
        "supernet, as many MACs": lambda costs: costs.macs <= cost["macs"],
        "supernet, half of the instructions": lambda costs: costs.instructions <= half,
        _HALF: lambda costs: (costs.instructions <= half) & (costs.sram_bytes <= sram),
    }
    rows = [{"net": name, "subnet": None, **cost, "accuracy": float(known.mean()), "difference": 0.0}]
    rows[0]["accuracy_interval"] = trainings.interval(known)
    rooms = {label: sram if label.startswith(_HALF) else None for label in bounds}
    picks = {label: best(source, evaluator, within, rooms[label]) for label, within in bounds.items()}
    halved = picks[_HALF]
    if options.finetune and halved is not None:
        folder = options.out / options.task / f"{halved.subnet}-finetune-{options.finetune}"
        wanted = Refinement(options.finetune, seed=options.seeds[0], weight_decay=source.weight_decay)
        tuned, summary = refine(halved, evaluator, source.task, wanted, folder, print)
        better = summary["kept"] != "supernet"  # on validation examples
        picks[f"{_HALF}, fine-tuned" + ("" if better else ": no better, so as it was")] = tuned
    for label, pick in picks.items():
        if pick is None:
            rows.append({"net": label, "subnet": "none"})
            continue
        right = right_answers(pick.graph, data).astype(np.float64)
        low, high = trainings.interval(right - known)
        rows.append(
            {
                "net": label,
                "subnet": str(pick.subnet),
                **measured(pick.graph, sram if label.startswith(_HALF) else None),
                "accuracy": float(right.mean()),
                "accuracy_interval": trainings.interval(right[None]),
                "difference": float((right - known).mean()),
                "difference_interval": [low, high],
                "verdict": trainings.verdict([low, high], "better", "worse"),
            }
        )
    result = {"core": CORE, "epochs": options.epochs, "finetune_epochs": options.finetune, "seeds": options.seeds}
    result |= {"supernet_epochs": options.supernet_epochs or options.epochs, "weight_decay": options.weight_decay}
    result["rows"] = rows
    result["test_examples"] = known.shape[1]
    columns = ("net", "subnet", "macs", "instructions", "sram_bytes", "accuracy", "difference_interval", "verdict")
    trainings.store("references", options.task, result, columns)


if __name__ == "__main__":
    main()

"""A chosen subnet, trained a little further: fine-tuned, then trained on its int8 grid; the best stage is kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_mcu.graph.ir import Quantization
from ofa_mcu.quantization.evaluate import Evaluator, Specialised
from ofa_mcu.quantization.ptq import quantize_with, recalibrate_and_quantize, tensor_quantizations
from ofa_mcu.quantization.qat import QatLearner
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.plain_store import load_network, save_network
from ofa_mcu.tasks.task import Task
from ofa_mcu.training.calibrate import one_thread_each
from ofa_mcu.training.distil import DistilledLearner
from ofa_mcu.training.loop import fit
from ofa_mcu.training.recipe import Recipe

__all__ = ["Refinement", "load_refined", "refine", "save_refined"]

_QAT_SHARE = 0.1
"""Of the learning rate, on the int8 grid."""


@dataclass(frozen=True)
class Refinement:
    """Epochs of fine-tuning and of quantization-aware training; with 0 of a kind there is none.

    `weight_decay` is best the supernet's own: with less of it a network learns examples by heart that it did not know.
    """

    finetune: int = 0
    qat: int = 0
    batch: int = 128
    seed: int = 0
    rate: float = 0.05
    weight_decay: float = Recipe.weight_decay

    def __bool__(self) -> bool:
        return bool(self.finetune or self.qat)

    def recipe(self, epochs: int, batch: int, rate: float, seed: int) -> Recipe:
        """Of one of the two trainings."""
        return Recipe(epochs, batch, rate, seed=seed, method="plain", weight_decay=self.weight_decay)


def refine(
    pick: Specialised,
    evaluator: Evaluator,
    task: Task,
    wanted: Refinement,
    folder: Path,
    report: Callable[[str], None] = lambda text: None,
    fits: Callable[[Specialised], bool] = lambda net: True,
) -> tuple[Specialised, dict[str, Any]]:
    """The pick after its training, or as it was where that scored better on validation examples; and the scores.

    A trained network that does not fit is not kept: the code of a layer depends on its weights.

    Args:
        pick: a subnet cut from the evaluator's supernet.
        evaluator: gives data, calibration, and the largest network, which teaches.
        task: what is learned.
        wanted: how long.
        folder: gets a folder for each of the two trainings.
        report: told what is going on.
        fits: whether a trained network is within what was asked for.
    """
    space = evaluator.supernet.space
    resolution = pick.subnet.resolution
    sizes = tuple({space.input_size(r) for r in (resolution, space.largest.resolution)})
    teacher = evaluator.float_network(space.largest)
    inputs = evaluator.calibration(resolution)
    found = {"supernet": (pick, evaluator.int8_accuracy(pick.graph, "validation"))}
    batch = min(wanted.batch, len(evaluator.data.train))
    network = copy.deepcopy(pick.network)
    if wanted.finetune:
        report(f"fine-tuning {pick.subnet} for {wanted.finetune} epochs")
        recipe = wanted.recipe(wanted.finetune, batch, wanted.rate, wanted.seed)
        learner = DistilledLearner(network, teacher, recipe)
        fit(learner, task, evaluator.data, sizes, recipe, folder / "finetune", f"finetune {pick.subnet}")
        with one_thread_each():
            graph = recalibrate_and_quantize(network, inputs)
        tuned = Specialised(pick.subnet, copy.deepcopy(network), graph)
        found["finetune"] = tuned, evaluator.int8_accuracy(graph, "validation")
    if wanted.qat:
        report(f"training {pick.subnet} on its int8 grid for {wanted.qat} epochs")
        recipe = wanted.recipe(wanted.qat, batch, wanted.rate * _QAT_SHARE, wanted.seed + 1)
        with one_thread_each():
            tensors = tensor_quantizations(network, inputs)
        fit(
            QatLearner(network, teacher, tensors, recipe),
            task,
            evaluator.data,
            sizes,
            recipe,
            folder / "qat",
            f"qat {pick.subnet}",
        )
        graph = quantize_with(network, tensors)
        found["qat"] = Specialised(pick.subnet, network, graph), evaluator.int8_accuracy(graph, "validation")
    over = [stage for stage, (net, _) in found.items() if net is not pick and not fits(net)]
    kept = max((stage for stage in found if stage not in over), key=lambda stage: found[stage][1])  # earliest of equals
    scores = {stage: round(score, 5) for stage, (_, score) in found.items()}
    summary = {
        "finetune_epochs": wanted.finetune,
        "qat_epochs": wanted.qat,
        "accuracy_int8_validation": scores,
        "over_bounds": over,
        "kept": kept,
    }
    return found[kept][0], summary


def load_refined(path: Path) -> Specialised:
    """The network that `save_refined` kept, with its int8 graph."""
    network, header = load_network(path)
    tensors = {name: Quantization(*pair) for name, pair in header["tensors"].items()}
    return Specialised(Subnet.parse(header["subnet"]), network, quantize_with(network, tensors))


def save_refined(path: Path, pick: Specialised, evaluator: Evaluator, summary: dict[str, Any]) -> None:
    """Keep a network that its supernet no longer gives: weights, statistics, and the quantization of its tensors."""
    tensors = {name: [q.scale, q.zero_point] for name, q in pick.graph.quantization.items()}
    save_network(path, pick.network, evaluator.supernet.space, pick.subnet, {"tensors": tensors, "refined": summary})

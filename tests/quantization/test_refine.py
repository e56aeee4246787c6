"""Further training of a pick: on the very grid of the export, exact in every byte, and kept only where it helps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph import reference
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import verify
from ofa_mcu.quantization.evaluate import Evaluator, Specialised
from ofa_mcu.quantization.ptq import quantize_with, tensor_quantizations
from ofa_mcu.quantization.qat import FakeQuantization, QatLearner, weight_codes
from ofa_mcu.quantization.refine import Refinement, load_refined, refine, save_refined
from ofa_mcu.space.shapes import FullyConnected
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.network import PlainNetwork, parameter_key
from ofa_mcu.training.data import ImageSet, TrainingStream
from ofa_mcu.training.learners import SupernetLearner
from ofa_mcu.training.recipe import Recipe
from tests.space.spaces import TINY
from tests.training.made_up import DATA, QUARTERS

SUBNET = Subnet.parse("r12-w1-k5e3.k3e2-k3e4")
RECIPE = Recipe(1, 32, 0.01, seed=1, method="plain")


@pytest.fixture(scope="module")
def evaluator() -> Evaluator:
    """Of a supernet trained for 60 steps."""
    learner = SupernetLearner(TINY, Recipe(batch=32, students=1, warmup=False))
    stream = TrainingStream(QUARTERS, ImageSet(DATA.train, TINY.resolutions), 32, 0)
    optimizer = torch.optim.SGD(learner.module.parameters(), lr=0.05, momentum=0.9)
    for step in range(60):
        optimizer.zero_grad()
        learner.backward(stream.batch(step), step)
        optimizer.step()
    return Evaluator(learner.module, DATA)


@pytest.fixture(scope="module")
def trained(evaluator: Evaluator) -> tuple[PlainNetwork, QatLearner, dict]:
    """A subnet after 40 steps on its grid."""
    network = evaluator.float_network(SUBNET)
    tensors = tensor_quantizations(network, evaluator.calibration(12))
    learner = QatLearner(network, evaluator.float_network(TINY.largest), tensors, RECIPE)
    stream = TrainingStream(QUARTERS, ImageSet(DATA.train, TINY.resolutions), 32, 0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for step in range(40):
        optimizer.zero_grad()
        losses.append(learner.backward(stream.batch(step), step))
        optimizer.step()
    assert sum(losses[-10:]) < sum(losses[:10])  # it does learn
    return network, learner, tensors


def test_the_codes_trained_on_are_the_codes_exported(trained: tuple) -> None:
    network, _, tensors = trained
    graph = quantize_with(network, tensors)
    assert graph.quantization == tensors
    for op in graph.structure.operators:
        if graph.structure.weight_shape(op) is None:
            continue
        weight = network.weights.weight[parameter_key(op.name)]
        codes, _ = weight_codes(weight, isinstance(op, FullyConnected))
        exported = graph.parameters[op.name].weights.astype(np.float64)
        if exported.ndim == 4:
            exported = exported.transpose(3, 0, 1, 2) if exported.shape[0] == 1 and codes.shape[1] == 1 else exported
            exported = exported.transpose(0, 3, 1, 2) if codes.shape != exported.shape else exported
        alive = np.abs(exported.reshape(len(exported), -1)).max(1) > 0  # gamma zero leaves a constant channel
        assert alive.mean() > 0.5, op.name
        assert np.array_equal(np.abs(exported[alive]), codes.abs().numpy()[alive]), op.name
        assert float(codes.abs().max()) == 127


def test_the_simulation_answers_as_the_exported_network(trained: tuple, evaluator: Evaluator) -> None:
    """Layer by layer, fed with the exact codes: never more than one code off, and hardly ever off at all."""
    network, _, tensors = trained
    graph = quantize_with(network, tensors)
    exact = reference.run(graph, {"input": evaluator.codes("test", 12)})
    off = {}

    class Compared(FakeQuantization):
        def on_grid(self, name: str, value: torch.Tensor) -> torch.Tensor:
            """The exact value of the tensor, so that the next layer is judged alone."""
            q = tensors[name]
            wanted = torch.from_numpy(exact[name].astype(np.float32))
            wanted = wanted.permute(0, 3, 1, 2) if wanted.dim() == 4 else wanted
            difference = torch.round(super().on_grid(name, value) / q.scale) + q.zero_point - wanted
            off[name] = float(difference.abs().max()), float((difference != 0).float().mean())
            return (wanted - q.zero_point) * q.scale

    with torch.no_grad():
        Compared(graph.structure, tensors)(network, ImageSet(DATA.test, TINY.resolutions).floats_at(12))
    assert off.keys() == graph.structure.shapes.keys() and off["input"] == off["pool"] == (0, 0)
    assert max(most for most, _ in off.values()) <= 1 and max(share for _, share in off.values()) < 0.02, off


def test_the_export_equals_tflite_micro(trained: tuple, evaluator: Evaluator) -> None:
    graph = quantize_with(trained[0], trained[2])
    result = verify(graph, write_tflite(graph), {"input": evaluator.codes("test", 12)[:6]})
    assert result.images == 6 and result.tensors == len(graph.structure.shapes)


def test_statistics_stay_frozen_and_validation_is_the_exact_accuracy(trained: tuple, evaluator: Evaluator) -> None:
    network, learner, tensors = trained
    fresh = evaluator.float_network(SUBNET)
    for name, value in network.named_buffers():
        assert torch.equal(value, fresh.get_buffer(name))
    held_out = ImageSet(DATA.validation, TINY.resolutions)
    exact = evaluator.int8_accuracy(quantize_with(network, tensors), "validation")
    assert learner.validate(held_out, held_out) == {"int8": exact}


def test_the_best_stage_is_kept(tmp_path: Path, evaluator: Evaluator) -> None:
    pick = evaluator.specialise(SUBNET)
    before = {name: value.clone() for name, value in pick.network.state_dict().items()}
    kept, summary = refine(pick, evaluator, QUARTERS, Refinement(4, 2, batch=32), tmp_path)
    scores = summary["accuracy_int8_validation"]
    assert list(scores) == ["supernet", "finetune", "qat"]
    assert scores[summary["kept"]] == max(scores.values())
    assert scores["finetune"] >= scores["supernet"]
    assert all(torch.equal(value, before[name]) for name, value in pick.network.state_dict().items())
    assert evaluator.int8_accuracy(kept.graph, "validation") == pytest.approx(max(scores.values()), abs=1e-5)


def test_a_network_that_no_longer_fits_is_not_kept(tmp_path: Path, evaluator: Evaluator) -> None:
    pick = evaluator.specialise(SUBNET)
    asked: list[Specialised] = []

    def fits(net: Specialised) -> bool:
        asked.append(net)
        return False

    kept, summary = refine(pick, evaluator, QUARTERS, Refinement(4, 1, batch=32), tmp_path, fits=fits)
    assert len(asked) == 2 and kept is pick
    assert summary["kept"] == "supernet" and summary["over_bounds"] == ["finetune", "qat"]


def test_a_refined_network_comes_back_from_its_file(tmp_path: Path, trained: tuple, evaluator: Evaluator) -> None:
    network, _, tensors = trained
    kept, path = Specialised(SUBNET, network, quantize_with(network, tensors)), tmp_path / "network.npz"
    save_refined(path, kept, evaluator, {"kept": "qat"})
    again = load_refined(path)
    assert write_tflite(again.graph) == write_tflite(kept.graph) and again.subnet == SUBNET
    assert evaluator.float_accuracy(again.network, "test") == evaluator.float_accuracy(network, "test")
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(OfaMcuError, match="is no network file, or is damaged"):
        load_refined(path)


def test_training_that_does_not_help_is_not_kept(tmp_path: Path, evaluator: Evaluator) -> None:
    """With a rate that wrecks the network."""
    pick = evaluator.specialise(SUBNET)
    kept, summary = refine(pick, evaluator, QUARTERS, Refinement(1, 0, batch=32, rate=30.0), tmp_path)
    scores = summary["accuracy_int8_validation"]
    assert scores["finetune"] < scores["supernet"]
    assert kept is pick and summary["kept"] == "supernet"

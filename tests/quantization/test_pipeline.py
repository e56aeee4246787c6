"""From supernet to .tflite: cut out, recalibrated, quantized, written, and equal to TFLite Micro in every byte."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa_mcu.graph import reference
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import verify
from ofa_mcu.quantization.fast import Int8Network, int8_accuracy
from ofa_mcu.quantization.ptq import quantize
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.network import Supernet, extract
from ofa_mcu.tasks.resample import resample, to_codes
from ofa_mcu.tasks.task import Split
from ofa_mcu.training.calibrate import accuracy, recalibrate
from ofa_mcu.training.data import ImageSet
from ofa_mcu.training.learners import SupernetLearner
from ofa_mcu.training.loop import fit
from tests.space.spaces import SEQUENCE, SPECTRUM, TINY
from tests.supernet.networks import lively_supernet
from tests.training.made_up import DATA, QUARTERS, RECIPE

IMAGES = ImageSet(DATA.train, TINY.resolutions)
TEST = ImageSet(DATA.test, TINY.resolutions)


@pytest.fixture(scope="module")
def supernet(tmp_path_factory: pytest.TempPathFactory) -> Supernet:
    """Trained for some seconds, so that accuracies mean something."""
    recipe = dataclasses.replace(RECIPE, epochs=10)
    learner = SupernetLearner(TINY, recipe)
    fit(learner, QUARTERS, DATA, TINY.resolutions, recipe, Path(tmp_path_factory.mktemp("run")), "supernet")
    return learner.module


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", [str(TINY.largest), str(TINY.smallest), "r12-w0.5-k5e3.k3e2-k3e4", "r8-w1-k3e2-k3e2.k3e4"]
)
def test_the_whole_way(supernet: Supernet, text: str) -> None:
    subnet = Subnet.parse(text)
    network = extract(supernet, subnet)
    recalibrate(network, IMAGES.floats_at(subnet.resolution))
    graph = quantize(network, IMAGES.floats_at(subnet.resolution), supernet)
    model = write_tflite(graph)
    codes = to_codes(resample(DATA.test.inputs, subnet.resolution))
    result = verify(graph, model, {"input": codes[:6]})
    assert result.images == 6 and result.tensors == len(graph.structure.shapes)

    tensors = reference.run(graph, {"input": codes})
    assert np.array_equal(Int8Network(graph)(codes), tensors["logits"])
    right = float((tensors["logits"].argmax(1) == DATA.test.labels).mean())
    assert int8_accuracy(graph, codes, DATA.test.labels) == right
    # int8 is a good copy of the float network, not merely an exact copy of itself
    network.eval()
    with torch.no_grad():
        real = network(TEST.floats_at(subnet.resolution)).numpy()
    q = graph.quantization["logits"]
    logits = q.scale * (tensors["logits"].astype(np.float64) - q.zero_point)
    assert np.abs(logits - real).mean() < 0.1 * real.std()
    assert abs(right - accuracy(network, TEST)) < 0.1 and right > 0.6

    back = read_tflite(model)
    assert np.array_equal(Int8Network(back)(codes), tensors["logits"])


def test_the_same_network_gives_the_same_bytes(supernet: Supernet) -> None:
    files = []
    for _ in range(2):
        network = extract(supernet, TINY.largest)
        recalibrate(network, IMAGES.floats_at(12))
        files.append(write_tflite(quantize(network, IMAGES.floats_at(12), supernet)))
    assert files[0] == files[1]


@pytest.mark.parametrize("space", [SEQUENCE, SPECTRUM], ids=lambda space: space.name)
def test_sequences_and_spectra_equal_tflite_micro_too(space: SearchSpace) -> None:
    """Windows of one row, oblong kernels, separable blocks: every tensor of several subnets."""
    whole = lively_supernet(0, space)
    rng = np.random.default_rng(1)
    for subnet in (space.largest, space.smallest, *space.sample_balanced(rng, 3)):
        shape = (100, *space.input_size(subnet.resolution), space.input_channels)
        examples = ImageSet(Split(rng.integers(0, 256, shape, dtype=np.uint8), np.zeros(100, np.int64)), (shape[1:3],))
        network = extract(whole, subnet)
        recalibrate(network, examples.floats_at(subnet.resolution))
        graph = quantize(network, examples.floats_at(subnet.resolution), whole)
        codes = to_codes(rng.integers(0, 256, (4, *shape[1:]), dtype=np.uint8))
        verify(graph, write_tflite(graph), {"input": codes})
        assert np.array_equal(Int8Network(graph)(codes), reference.run(graph, {"input": codes})["logits"])

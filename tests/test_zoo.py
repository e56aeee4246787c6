"""The models of the zoo: the same bytes every time, as TFLite Micro computes them, alive in every channel."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from benchmarks.zoo import NETWORKS, models
from benchmarks.zoo.growing import smooth_images
from ofa_mcu.graph import reference
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.pipeline import optimize, same_bytes
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import compare_with_tflm, probe_inputs
from ofa_mcu.space.shapes import Add, Conv2D, DepthwiseConv2D
from tests.graph.files import assert_equal

LARGE = {"mobilenet_v2_224"}
SMALL = sorted(set(NETWORKS) - LARGE)
MACS = {"resnet8": 12.5, "person_detect": 7.2, "detection": 18.5, "mobilenet_v2_224": 207.9, "two_cameras": 3.7}


@cache
def network(name: str) -> Int8Graph:
    return NETWORKS[name]()


@pytest.mark.parametrize("name", SMALL)
def test_tflm_accepts_it_and_computes_every_tensor_alike(name: str) -> None:
    graph = network(name)
    data = write_tflite(graph)
    assert_equal(read_tflite(data, name), graph)
    assert compare_with_tflm(graph, data, arena=False).differences == ()


@pytest.mark.slow
def test_tflm_computes_the_large_one_alike() -> None:
    for name in LARGE:
        graph = network(name)
        inputs = probe_inputs(graph, random=1)
        assert compare_with_tflm(graph, write_tflite(graph), inputs, arena=False).differences == ()


@pytest.mark.parametrize("name", SMALL)
def test_passes_keep_its_bytes_and_find_nothing_dead(name: str) -> None:
    graph = network(name)
    done = optimize(graph)
    assert done.kept == {}
    assert same_bytes(graph, done, probe_inputs(graph)) > 0


def test_networks_are_of_the_size_they_promise() -> None:
    for name, macs in MACS.items():
        assert network(name).structure.macs / 1e6 == pytest.approx(macs, abs=0.1)
    assert models(["sensor"]) == {"sensor": write_tflite(NETWORKS["sensor"]())}


@pytest.mark.parametrize("name", SMALL)
def test_activations_and_scales_are_those_of_a_trained_network(name: str) -> None:
    graph = network(name)
    rng, shapes = np.random.default_rng(1), graph.structure.shapes
    tensors = reference.run(graph, {name: smooth_images(rng, 8, shapes[name][1:]) for name in graph.structure.inputs})
    for operator in graph.structure.operators:
        codes = tensors[operator.output].reshape(-1, graph.structure.shapes[operator.output][-1])
        if isinstance(operator, Conv2D | DepthwiseConv2D | Add) and len(codes) >= 64:
            assert (codes == 127).mean() < 0.06, operator.name
            assert int(codes.max()) - int(codes.min()) > 100, operator.name
            assert (codes != codes[0]).any(axis=0).mean() > 0.97, operator.name
    spreads = [np.log(given.weight_scales).std() for given in graph.parameters.values() if given.weight_scales.size > 8]
    assert not spreads or 0.4 < np.mean(spreads) < 1.2

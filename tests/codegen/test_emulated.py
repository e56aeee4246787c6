"""Generated C on emulated cores: exact tensors, and instruction counts that data do not move."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.reference import run
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.shapes import Activation
from tests.codegen.emulation import MICROBIT, Emulator, Observation, needs_emulator
from tests.codegen.models import random_weights
from tests.graph.strategies import GraphBuilder, random_graph, random_inputs
from tests.kernels.toolchain import ARM_CORES

pytestmark = needs_emulator


@pytest.fixture(scope="module", params=ARM_CORES)
def emulator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    return Emulator(request.param, tmp_path_factory.mktemp(request.param))


@pytest.mark.slow
def compare(emulator: Emulator, graph: Int8Graph, images: np.ndarray) -> list[list[Observation]]:
    wanted = run(graph, {"input": images})
    observations = emulator.run(graph, images)
    for image, layers in enumerate(observations):
        for operator, seen in zip(graph.structure.operators, layers, strict=True):
            assert (seen.tensor == wanted[operator.output][image].ravel()).all(), operator
    return observations


def test_every_tensor_of_random_graphs(emulator: Emulator) -> None:
    rng = np.random.default_rng(7)
    for _ in range(4):
        graph = random_graph(rng, max_ops=12)
        compare(emulator, graph, random_inputs(graph, rng, 2)["input"])


@pytest.mark.slow
def test_counts_of_a_subnet_do_not_depend_on_data(emulator: Emulator) -> None:
    rng = np.random.default_rng(9)
    graph = random_weights(shape_graph(FASHION_MNIST, FASHION_MNIST.smallest), rng)
    images = random_inputs(graph, rng, 3)["input"]
    images[0] = -128
    images[1] = 127
    observations = compare(emulator, graph, images)
    counts = np.array([[layer.instructions for layer in image] for image in observations])
    assert (counts > 0).all()
    # A mean with equal scales divides, with a helper of the compiler on a core without division.
    assert (counts.max(axis=0) - counts.min(axis=0) <= counts.max(axis=0) * 0.001).all(), counts


def test_a_real_cortex_m0_runs_the_code(tmp_path: Path) -> None:
    """The other machine would run instructions that the core lacks."""
    rng = np.random.default_rng(11)
    build = GraphBuilder(rng)
    build.tensor("input", (1, 8, 8, 5))
    wide = build.conv("input", 8, (1, 1), (1, 1), True, Activation.RELU6)
    same = build.conv(wide, 8, (3, 3), (1, 1), True, Activation.NONE)
    graph = build.finish("small", (build.add(wide, same, Activation.NONE),))
    images = random_inputs(graph, rng, 2)["input"]
    microbit = Emulator("cortex-m0plus", tmp_path, MICROBIT)
    counted = compare(microbit, graph, images)
    other = compare(Emulator("cortex-m0plus", tmp_path), graph, images)
    for mine, theirs in zip(counted[0], other[0], strict=True):
        assert abs(mine.instructions - theirs.instructions) <= 0.02 * theirs.instructions

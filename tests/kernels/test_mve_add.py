"""Sums on an emulated Cortex-M55: all pairs of codes, with and without dead zone and clamps, over both inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ofa_mcu.graph.reference import run
from ofa_mcu.planning.kernels.base import Flavour, Way
from ofa_mcu.space.shapes import Activation, Add, Operator, StridedSlice, Sub
from tests.codegen.emulation import Emulator, needs_emulator
from tests.codegen.models import plan_with
from tests.graph.wide import WideBuilder, quantization

pytestmark = needs_emulator


def _vectors(operator: Operator, ways: Sequence[Way]) -> Way:
    """The way under test, any other for what surrounds it."""
    if not isinstance(operator, Add | Sub):
        return ways[0]
    return next(way for way in ways if way.kernel == "ofa_mve_add")


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    return Emulator("cortex-m55", tmp_path_factory.mktemp("add"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scale", "activation"), [(0.0837, Activation.NONE), (0.1, Activation.NONE), (0.1, Activation.RELU6)]
)
def test_every_pair_of_codes(emulator: Emulator, scale: float, activation: Activation) -> None:
    rng = np.random.default_rng(5)
    pairs = rng.permutation(1 << 16)
    images = np.stack([pairs >> 8, pairs & 255], axis=-1).astype(np.uint8).view(np.int8).reshape(16, 4096, 2)
    build = WideBuilder(rng)
    build.tensor("input", (1, 4096, 2), quantization(0.05, 3))
    halves = [
        build.append(
            StridedSlice,
            ("input",),
            build.quantization["input"],
            begin=(0, 0, index),
            counts=(1, 4096, 1),
            strides=(1, 1, 1),
        )
        for index in (0, 1)
    ]
    last = build.append(Add, (halves[0], halves[1]), quantization(scale, -9), activation=activation)
    graph = build.done("pairs", (last,))
    wanted = run(graph, {"input": images})[last]
    for image, layers in enumerate(emulator.run(graph, images, plan_with(graph, Flavour.MVE, _vectors))):
        assert (layers[-1].tensor == wanted[image].ravel()).all()


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 7, 8, 9, 50])
@pytest.mark.parametrize("kind", [Add, Sub])
def test_any_number_of_codes(emulator: Emulator, size: int, kind: type[Operator]) -> None:
    """Nothing beside the output changes, and the sums may lie on an input."""
    rng = np.random.default_rng(size)
    build = WideBuilder(rng)
    build.tensor("input", (1, 1, 1, size), quantization(0.05, 3))
    first = build.append(kind, ("input", "input"), quantization(0.1, -9), activation=Activation.NONE)
    second = build.append(Add, (first, "input"), quantization(0.13, 4), activation=Activation.NONE)
    graph = build.done("sums", (second,))
    images = rng.integers(-128, 128, (2, 1, 1, size)).astype(np.int8)
    wanted = run(graph, {"input": images})
    for image, layers in enumerate(emulator.run(graph, images, plan_with(graph, Flavour.MVE, _vectors))):
        for operator, seen in zip(graph.structure.operators, layers, strict=True):
            assert (seen.tensor == wanted[operator.output][image].ravel()).all(), operator.name

"""Pools, means and tables for M-profile vectors: every byte equal to the reference on an emulated Cortex-M55."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.reference import run
from ofa_mcu.planning.facts import analyse
from ofa_mcu.planning.kernels.base import Flavour, LayerView, Way
from ofa_mcu.planning.kernels.mve_operators import MVE_OPERATORS
from ofa_mcu.planning.memory import MemoryPlan
from ofa_mcu.planning.plan import Plan
from ofa_mcu.planning.priced import PricedWay
from ofa_mcu.space.shapes import (
    Activation,
    AveragePool2D,
    HardSwish,
    Logistic,
    MaxPool2D,
    Mean,
    Operator,
    Padding,
    Quantize,
    Relu6,
    same_padding,
)
from tests.codegen.emulation import Emulator, needs_emulator
from tests.codegen.models import plan_with
from tests.graph.wide import UNIT, WideBuilder, quantization

pytestmark = needs_emulator

UNDER_TEST = frozenset(kernel.name for kernel in MVE_OPERATORS)
SIZES = [1, 3, 7, 8, 9, 15, 16, 17, 24, 25, 40]
"""Channels beside and at whole vectors."""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    return Emulator("cortex-m55", tmp_path_factory.mktemp("operators"))


def _vectors(operator: Operator, ways: Sequence[Way]) -> Way:
    return next(way for way in ways if way.kernel in UNDER_TEST)


def _check(emulator: Emulator, graph: Int8Graph, images: np.ndarray) -> None:
    """Every layer by vectors, all tensors apart."""
    wanted = run(graph, {"input": images})
    for image, layers in enumerate(emulator.run(graph, images, plan_with(graph, Flavour.MVE, _vectors, apart=True))):
        for operator, seen in zip(graph.structure.operators, layers, strict=True):
            differing = np.flatnonzero(seen.tensor != wanted[operator.output][image].ravel())
            assert not differing.size, (operator, differing[:8], differing.size)


def _codes(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    codes = rng.integers(-128, 128, (3, *shape[1:]), dtype=np.int8)
    codes[1], codes[2] = -128, 127
    return codes


def _windows(size: int) -> tuple[tuple[tuple[int, int], tuple[int, int], bool], ...]:
    """(kernel, stride, whether to pad) of pools over maps of 7 x 6 pixels."""
    some = (((2, 2), (2, 2), False), ((3, 3), (1, 1), True), ((1, 4), (2, 1), True), ((7, 6), (1, 1), False))
    return (*some, ((1, 1), (1, 1), False)) if size in (8, 17) else some


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", [AveragePool2D, MaxPool2D])
def test_pools(emulator: Emulator, kind: type[AveragePool2D | MaxPool2D], size: int) -> None:
    rng = np.random.default_rng(size)
    build = WideBuilder(rng)
    build.tensor("input", (1, 7, 6, size), quantization(0.05, 3))
    for index, (kernel, stride, pad) in enumerate(_windows(size)):
        padding = Padding()
        if pad:
            padding = Padding(*same_padding(7, kernel[0], stride[0]), *same_padding(6, kernel[1], stride[1]))
        activation = Activation.RELU6 if index % 2 else Activation.NONE
        options: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding, "activation": activation}
        build.append(kind, ("input",), build.quantization["input"], **options)
    graph = build.done("pools", (build.operators[-1].output,))
    _check(emulator, graph, _codes(rng, graph.structure.shapes["input"]))


EXTENTS = [
    *((1, n) for n in (1, 2, 3, 4, 5, 6, 7, 9, 13)),
    *((7, 7), (8, 8), (5, 13), (10, 10), (8, 16), (3, 43), (12, 12), (17, 15), (1, 254)),
]


@pytest.mark.parametrize("window", EXTENTS)
def test_averages_around_every_tie(emulator: Emulator, window: tuple[int, int]) -> None:
    """Sums next to where the average steps, of both signs, and the largest ones."""
    count = window[0] * window[1]
    averages = np.arange(-128, 128)[:: 1 if count < 30 else 16]
    sums = (averages * count)[:, None] + np.array([-1, 0, 1, *(count // 2 + np.arange(-1, 3))])
    sums = np.append(np.clip(sums, -128 * count, 127 * count).ravel(), [-128 * count, 127 * count])
    sums = np.pad(sums, (0, -len(sums) % 8))
    base, more = np.divmod(sums[:, None], count)
    codes = (base + (np.arange(count) < more)).astype(np.int8)
    assert (codes.sum(axis=1, dtype=np.int64) == sums).all()
    height = len(sums) // 8
    # Windows below each other, eight channels.
    image = codes.reshape(height, 8, *window).transpose(0, 2, 3, 1).reshape(1, height * window[0], window[1], 8)
    rng = np.random.default_rng(count)
    build = WideBuilder(rng)
    build.tensor("input", image.shape, quantization(0.05, 3))
    build.append(AveragePool2D, ("input",), build.quantization["input"], kernel=window, stride=window)
    graph = build.done("averages", (build.operators[-1].output,))
    _check(emulator, graph, image)


def test_larger_windows_are_declined() -> None:
    build = WideBuilder(np.random.default_rng(0))
    build.tensor("input", (1, 16, 16, 8), quantization(0.05, 3))
    build.append(AveragePool2D, ("input",), build.quantization["input"], kernel=(16, 16))
    graph = build.done("large", (build.operators[-1].output,))
    view = LayerView(graph.structure, graph.structure.operators[0])
    assert not [way for kernel in MVE_OPERATORS for way in kernel.ways(view)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 5), (15, 17), (16, 17), (2, 255)])
def test_means(emulator: Emulator, size: int, height: int, width: int) -> None:
    """With scales beside the input's, far below it and above it."""
    if height * width * size > 9000:
        size = size % 8 + 8
    rng = np.random.default_rng(size + height)
    build = WideBuilder(rng)
    build.tensor("input", (1, height, width, size), quantization(0.05, int(rng.choice([-128, 5, 127]))))
    for scale in (0.05, 0.049, 0.4, 0.003):
        build.append(Mean, ("input",), quantization(scale, int(rng.integers(-128, 128))), axes=(1, 2))
    graph = build.done("means", (build.operators[-1].output,))
    _check(emulator, graph, _codes(rng, graph.structure.shapes["input"]))


@pytest.mark.parametrize("count", [1, 15, 16, 17, 256, 300])
def test_tables(emulator: Emulator, count: int) -> None:
    rng = np.random.default_rng(count)
    build = WideBuilder(rng)
    build.tensor("input", (1, 1, 1, count), quantization(0.05, 3))
    build.append(Logistic, ("input",), UNIT)
    build.append(HardSwish, ("input",), quantization(0.03, -20))
    build.append(Relu6, ("input",), quantization(6 / 255, -128))
    build.append(Quantize, ("input",), quantization(0.021, 17))
    graph = build.done("tables", (build.operators[-1].output,))
    images = np.resize(rng.permutation(np.arange(-128, 128)), (1, 1, 1, count)).astype(np.int8)
    _check(emulator, graph, images)


@pytest.mark.parametrize("size", [5, 8, 24])
@pytest.mark.parametrize("kind", [AveragePool2D, MaxPool2D, Mean, Quantize])
def test_output_may_lie_as_near_as_the_gap_says(emulator: Emulator, kind: type[Operator], size: int) -> None:
    rng = np.random.default_rng(size)
    build = WideBuilder(rng)
    build.tensor("input", (1, 6, 5, size), quantization(0.05, 3))
    given = build.quantization["input"]
    if kind is Mean:
        build.append(kind, ("input",), quantization(0.049, 3), axes=(1, 2))
    elif kind is Quantize:
        build.append(kind, ("input",), quantization(0.04, 3))
    else:
        padding = Padding(*same_padding(6, 3, 1), *same_padding(5, 3, 1))
        build.append(kind, ("input",), given, kernel=(3, 3), padding=padding)
    (operator,) = build.operators
    graph = build.done("near", (operator.output,))
    structure = graph.structure
    view = LayerView(structure, operator, analyse(graph).of(operator))
    (way,) = (way for kernel in MVE_OPERATORS for way in kernel.ways(view))
    assert way.forward_gap is not None
    images = _codes(rng, structure.shapes["input"])
    wanted = run(graph, {"input": images})[operator.output]
    for farther in (0, 12):
        start = 16 + (way.forward_gap + 3 & ~3) + farther
        top = max(start + structure.bytes_of("input") + way.overread, 16 + structure.bytes_of(operator.output)) + 7 & ~7
        memory = MemoryPlan({"input": start, operator.output: 16}, {}, frozenset(), top, 0, (), ())
        plan = Plan(structure, (PricedWay(way, 0.0),), memory, "cortex-m55")
        for image, layers in enumerate(emulator.run(graph, images, plan)):
            assert (layers[0].tensor == wanted[image].ravel()).all()

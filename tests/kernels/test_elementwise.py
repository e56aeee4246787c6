"""Every operator beside filters: generated C against the reference, in every way it can run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.graph.reference import run
from ofa_mcu.planning.kernels.base import Flavour, Way
from ofa_mcu.space.shapes import (
    Activation,
    Add,
    AveragePool2D,
    Concatenation,
    Dequantize,
    HardSwish,
    Logistic,
    MaxPool2D,
    Mean,
    Mul,
    Operator,
    Pad,
    Quantize,
    Relu,
    Relu6,
    Reshape,
    ResizeNearestNeighbor,
    Softmax,
    Squeeze,
    StridedSlice,
    Sub,
    Transpose,
)
from tests.codegen.emulation import Emulator, needs_emulator
from tests.codegen.models import plan_with, random_way
from tests.graph.wide import WideBuilder, quantization
from tests.kernels.generated import Host, drawn_inputs

KINDS: tuple[type[Operator], ...] = (
    *(Add, Sub, Mul, AveragePool2D, MaxPool2D, Mean, Softmax, Logistic, HardSwish, Relu, Relu6, Quantize),
    *(Concatenation, StridedSlice, Transpose, Pad, ResizeNearestNeighbor, Reshape, Squeeze),
)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("host"))


def chain(rng: np.random.Generator, kinds: list[type[Operator]]) -> WideBuilder:
    """A builder with these operators one behind the other, or each on one of the tensors before."""
    build = WideBuilder(rng)
    channels = int(rng.choice([1, 3, 4, 5, 8, 12, 16]))
    current = build.tensor("input", (1, int(rng.integers(1, 11)), int(rng.integers(1, 11)), channels))
    for kind in kinds:
        if np.prod(build.shapes[current]) > 8000:
            break
        current = build.grow(kind, current)
    return build


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flavour", [Flavour.PORTABLE, Flavour.DSP])
def test_operators(host: Host, kind: type[Operator], flavour: Flavour) -> None:
    seed = KINDS.index(kind) + (1000 if flavour is Flavour.DSP else 0)
    rng = np.random.default_rng(seed)
    others = [KINDS[int(rng.integers(len(KINDS)))] for _ in range(2)]
    build = chain(rng, [kind, others[0], kind, others[1], kind])
    graph = build.done("elementwise", (build.operators[-1].output,))
    plan = plan_with(graph, flavour, random_way(rng), apart=seed % 2 == 1)
    host.check(graph, plan, drawn_inputs(graph, rng, 4))


@pytest.mark.slow
@pytest.mark.parametrize("zero_point", [-128, 7, 127])
def test_float_borders(host: Host, zero_point: int) -> None:
    rng = np.random.default_rng(zero_point + 128)
    build = WideBuilder(rng)
    build.tensor("input", (1, 5, 7, 3))
    build.floats.add("input")
    del build.quantization["input"]
    codes = build.append(Quantize, ("input",), quantization(0.05, zero_point))
    build.operators.append(Dequantize(name="back", inputs=(codes,), output="back"))
    build.shapes["back"] = build.shapes[codes]
    build.floats.add("back")
    graph = build.done("borders", ("back",))
    images = drawn_inputs(graph, rng, 6)
    images[0, 0, 0] = [0.025, -0.025, 1e30]
    images[0, 1, 0] = [np.inf, -np.inf, -0.0]
    host.check(graph, plan_with(graph), images)


def test_every_pair_of_codes(host: Host) -> None:
    """Sums with and without dead zone and clamps, over both inputs, in every way."""
    rng = np.random.default_rng(5)
    pairs = rng.permutation(1 << 16)
    images = np.stack([pairs >> 8, pairs & 255], axis=-1).astype(np.uint8).view(np.int8).reshape(16, 4096, 2)
    every = ("ofa_dsp_add", "ofa_add_affine", "ofa_add_lookup")
    for scale, activation, kernels in (
        (0.0837, Activation.NONE, every),
        (0.1, Activation.NONE, every),
        (0.1, Activation.RELU6, every),
        (0.04, Activation.NONE, every[2:]),  # sums of more than 512 codes: no affine form
    ):
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
        for _ in kernels:
            build.append(Add, (halves[0], halves[1]), quantization(scale, -9), activation=activation)
        joined = build.append(Concatenation, tuple(op.output for op in build.operators[2:]), None, axis=2)
        build.quantization[joined] = quantization(scale, -9)
        graph = build.done("pairs", (joined,))
        names = iter(kernels)

        def choose(operator: Operator, ways: Sequence[Way], names: Iterator[str] = names) -> Way:
            if not isinstance(operator, Add):
                return ways[0]
            name = next(names)
            return next(way for way in ways if way.kernel == name)

        host.check(graph, plan_with(graph, Flavour.DSP, choose), images)


@needs_emulator
@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3", "cortex-m7"])
def test_operators_on_cores(core: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    emulator = Emulator(core, tmp_path)
    for kinds in (
        [Add, MaxPool2D, AveragePool2D, Mul, Softmax],
        [Relu, Pad, Add, ResizeNearestNeighbor, Transpose, Mean],
    ):
        build = WideBuilder(rng)
        build.tensor("input", (1, 9, 7, 8), quantization(0.05, 3))
        current = "input"
        for kind in kinds:
            current = build.grow(kind, current)
        graph = build.done("cores", (current,))
        images = drawn_inputs(graph, rng, 2)
        wanted = run(graph, {"input": images})
        for image, layers in enumerate(emulator.run(graph, images)):
            for operator, seen in zip(graph.structure.operators, layers, strict=True):
                assert (seen.tensor == wanted[operator.output][image].ravel()).all(), operator

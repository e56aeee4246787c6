"""Every operator beside filters: generated C against the reference, in every way it can run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.planning.kernels.base import Flavour
from ofa_mcu.space.shapes import (
    Add,
    AveragePool2D,
    Concatenation,
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
from tests.codegen.models import plan_with, random_way
from tests.graph.wide import WideBuilder
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
    for _ in range(2):
        other = [KINDS[int(rng.integers(len(KINDS)))] for _ in range(2)]
        build = chain(rng, [kind, other[0], kind, other[1], kind])
        graph = build.done("elementwise", (build.operators[-1].output,))
        for apart in (True, False):
            plan = plan_with(graph, flavour, random_way(rng), apart=apart)
            host.check(graph, plan, drawn_inputs(graph, rng, 4))

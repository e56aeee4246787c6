"""Every way of every kernel where its output overlaps its input as far as it may, or a little less."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.planning.kernels.base import Flavour, Way
from ofa_mcu.space.shapes import Activation
from tests.codegen.emulation import needs_emulator
from tests.graph.strategies import GraphBuilder
from tests.kernels.overlap_layers import LAYER_KINDS, random_layer
from tests.kernels.overlaps import Change, Overlaps, runs

KINDS = {
    Flavour.PORTABLE: ("pointwise", "conv", "depthwise", "pool", "two inputs", "borders", "other"),
    Flavour.DSP: ("pointwise", "conv", "depthwise", "pool", "two inputs", "conv add", "dense", "codes"),
    Flavour.MVE: ("pointwise", "conv", "depthwise", "pool", "two inputs", "codes"),
}
"""Of layers that each flavour has kernels of its own for."""

EVERY = [(flavour, kind) for flavour, kinds in KINDS.items() for kind in kinds]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Overlaps:
    return Overlaps(tmp_path_factory.mktemp("host"))


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Overlaps:
    return Overlaps(tmp_path_factory.mktemp("vectors"), "cortex-m55")


def check(overlaps: Overlaps, flavour: Flavour, kind: str, seed: int, layers: int) -> None:
    rng = np.random.default_rng([seed, list(LAYER_KINDS).index(kind)])
    drawn = (random_layer(rng, kind) for _ in range(100 * layers))
    graphs = list(islice((graph for graph in drawn if runs(graph, flavour)), layers))
    assert len(graphs) == layers
    failures = overlaps.check(graphs, flavour, rng)
    assert not failures, "\n".join(failures)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[Flavour.PORTABLE])
def test_portable_kernels(host: Overlaps, kind: str) -> None:
    check(host, Flavour.PORTABLE, kind, 0, 8)


@pytest.mark.slow
@needs_emulator
@pytest.mark.parametrize("kind", KINDS[Flavour.MVE])
def test_vector_kernels(vectors: Overlaps, kind: str) -> None:
    check(vectors, Flavour.MVE, kind, 0, 8)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS[Flavour.DSP])
def test_dsp_kernels(host: Overlaps, kind: str) -> None:
    check(host, Flavour.DSP, kind, 0, 4)


@needs_emulator
@pytest.mark.slow
@pytest.mark.parametrize(("core", "flavour"), [("cortex-m0plus", Flavour.PORTABLE), ("cortex-m4", Flavour.DSP)])
def test_other_cores(core: str, flavour: Flavour, tmp_path: Path) -> None:
    overlaps = Overlaps(tmp_path, core)
    for kind in KINDS[flavour]:
        check(overlaps, flavour, kind, 1, 2)


@needs_emulator
@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 120))
@pytest.mark.parametrize(("flavour", "kind"), EVERY)
def test_many_layers(host: Overlaps, vectors: Overlaps, flavour: Flavour, kind: str, seed: int) -> None:
    check(vectors if flavour is Flavour.MVE else host, flavour, kind, seed, 6 if flavour is Flavour.DSP else 20)


def growing() -> Int8Graph:
    """A convolution whose output is larger than its input."""
    build = GraphBuilder(np.random.default_rng(3))
    source = build.tensor("input", (1, 5, 6, 4))
    return build.finish("layer", (build.conv(source, 8, (3, 3), (1, 1), True, Activation.NONE),))


def closer(way: Way) -> Way:
    assert way.forward_gap is not None
    return replace(way, forward_gap=way.forward_gap - 4)


def cramped(way: Way) -> Way:
    return replace(way, scratch_bytes=way.scratch_bytes - 4)


@pytest.mark.parametrize(("change", "found"), [(closer, "wrong code"), (cramped, "touches what is not its own")])
def test_false_claims_are_found(host: Overlaps, change: Change, found: str) -> None:
    rng = np.random.default_rng(0)
    assert not host.check([growing()], Flavour.PORTABLE, rng)
    failures = host.check([growing()], Flavour.PORTABLE, rng, change)
    assert any(failure.startswith(found) for failure in failures)


@needs_emulator
def test_reading_too_far_is_found(vectors: Overlaps) -> None:
    """Behind the RAM of the emulated board there is nothing to read."""
    build = GraphBuilder(np.random.default_rng(3))
    source = build.tensor("input", (1, 3, 3, 5))
    graph = build.finish("layer", (build.conv(source, 8, (1, 1), (1, 1), True, Activation.NONE),))
    rng = np.random.default_rng(0)
    assert not vectors.check([graph], Flavour.MVE, rng)
    (failure,) = vectors.check([graph], Flavour.MVE, rng, lambda way: replace(way, overread=0))
    assert failure.startswith("never ends")

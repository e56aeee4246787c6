"""Random networks over every operator, compiled in random ways for every flavour: each tensor equals the reference.

What is tested is the whole road: passes, facts, ways, memory plan, generated C and kernels. Inputs are extreme and
random ones. Failures name the seed; `network(seed, operators)` gives the graph again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ofa_mcu.devices.host_build import HostBuild
from ofa_mcu.devices.validation_records import DebugModel, flat_bytes
from ofa_mcu.graph import reference
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.pipeline import Optimized, optimize
from ofa_mcu.graph.verify import probe_inputs
from ofa_mcu.planning.compile import fusable_sums
from ofa_mcu.planning.facts import analyse
from ofa_mcu.planning.kernels.base import Flavour
from tests.codegen.emulation import FLAVOURS, Emulator, needs_emulator
from tests.codegen.models import plan_with, random_way, ways_of
from tests.graph.strategies import random_graph
from tests.graph.wide import KINDS, many_ended, wide_graph

Images = NDArray[np.int8]
Run = Callable[[DebugModel, Images], dict[str, Images]]

HOST = (Flavour.PORTABLE, Flavour.DSP)
"""Flavours of kernels that this machine can run; kernels for vectors run in the emulator."""

LARGEST_ARENA = 100_000
SEEDS = st.integers(0, 2**32 - 1)
BRIEF = {
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),  # seeds cannot shrink
    "suppress_health_check": (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large),
    "deadline": None,
}


@dataclass(frozen=True, eq=False)
class Case:
    """A network, what its tensors must be, and how it is to be run."""

    seed: int
    optimized: Optimized
    wanted: dict[str, np.ndarray]
    model: DebugModel
    flavour: Flavour

    def check(self, run: Run) -> None:
        """Every tensor that is left after the passes, and outputs that no operator writes where they are shown."""
        structure = self.optimized.graph.structure
        found = run(self.model, flat_bytes(self.wanted, structure.inputs))
        writers = {
            operator.output: f"{type(operator).__name__}, run by {one.way.kernel} ({one.way.variant})"
            for operator, one in zip(structure.operators, self.model.plan.ways, strict=True)
        }
        assert writers.keys() <= found.keys()
        for name in (*writers, *(name for name in found if name not in writers)):
            wrong = np.argwhere(found[name] != flat_bytes(self.wanted, (name,)))
            assert not len(wrong), (
                f"seed {self.seed}, {self.flavour}: {name} differs in {len(wrong)} bytes, first {wrong[0]}, "
                f"written by {writers.get(name, 'nobody')}"
            )


def network(seed: int, operators: int) -> Int8Graph:
    """One network in three is of blocks as trained networks have them, one of anything, one has many ends."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        return random_graph(rng, max_ops=operators)
    draw = wide_graph if seed % 3 == 1 else many_ended
    return draw(rng, max_ops=operators, first=KINDS[seed // 3 % len(KINDS)])


def case(seed: int, operators: int, flavour: Flavour) -> Case | None:
    """None where a layer has no kernel, or where the arena would be too large."""
    graph = network(seed, operators)
    optimized = optimize(
        graph, dead_channels=seed % 4 != 1, fuse_adds=fusable_sums if flavour is Flavour.DSP else False
    )
    facts = analyse(optimized.graph)
    if not all(ways_of(optimized.graph, facts, flavour)):
        return None
    rng = np.random.default_rng(seed)
    plan = plan_with(optimized.graph, flavour, random_way(rng), apart=seed % 5 == 0)
    if plan.arena_bytes > LARGEST_ARENA:
        return None
    wanted = optimized.expected(reference.run(graph, probe_inputs(graph, seed)))
    return Case(seed, optimized, wanted, DebugModel(optimized.graph, plan, facts), flavour)


@pytest.fixture(scope="module")
def host() -> Iterator[HostBuild]:
    with HostBuild(sanitize=True) as build:
        yield build


@pytest.fixture(scope="module", params=FLAVOURS)
def emulator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Emulator:
    return Emulator(request.param, tmp_path_factory.mktemp(request.param))


def check_on_host(host: HostBuild, seed: int, operators: int, flavour: Flavour) -> None:
    drawn = case(seed, operators, flavour)
    assume(drawn is not None)
    assert drawn is not None
    drawn.check(host.run)


def check_emulated(emulator: Emulator, seed: int, operators: int) -> None:
    def run(model: DebugModel, images: Images) -> dict[str, Images]:
        seen = emulator.run(model.graph, images, model.plan)
        names = [operator.output for operator in model.graph.structure.operators]
        return {
            name: np.stack([layers[index].tensor.view(np.int8) for layers in seen]) for index, name in enumerate(names)
        }

    drawn = case(seed, operators, emulator.flavour)
    assume(drawn is not None)
    assert drawn is not None
    drawn.check(run)


@pytest.mark.parametrize("flavour", HOST)
@given(seed=SEEDS, operators=st.integers(1, 8))
@settings(max_examples=20, **BRIEF)  # type: ignore[arg-type]
def test_every_tensor_on_this_machine(host: HostBuild, flavour: Flavour, seed: int, operators: int) -> None:
    check_on_host(host, seed, operators, flavour)


@needs_emulator
@pytest.mark.slow
@given(seed=SEEDS, operators=st.integers(1, 8))
@settings(max_examples=6, **BRIEF)  # type: ignore[arg-type]
def test_every_tensor_in_the_emulator(emulator: Emulator, seed: int, operators: int) -> None:
    check_emulated(emulator, seed, operators)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("flavour", HOST)
@given(seed=SEEDS, operators=st.integers(1, 12))
@settings(max_examples=1500, **BRIEF)  # type: ignore[arg-type]
def test_many_on_this_machine(host: HostBuild, flavour: Flavour, seed: int, operators: int) -> None:
    check_on_host(host, seed, operators, flavour)


@needs_emulator
@pytest.mark.soak
@pytest.mark.timeout(0)
@given(seed=SEEDS, operators=st.integers(1, 12))
@settings(max_examples=400, **BRIEF)  # type: ignore[arg-type]
def test_many_in_the_emulator(emulator: Emulator, seed: int, operators: int) -> None:
    check_emulated(emulator, seed, operators)

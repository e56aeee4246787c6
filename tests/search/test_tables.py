"""Costs looked up for many subnets at once are those that the planner finds for each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.cost import Cost, estimate
from ofa_mcu.planning.places import arena_room
from ofa_mcu.planning.plan import make_plan
from ofa_mcu.profiles import load_profile
from ofa_mcu.search.features import Genome
from ofa_mcu.search.tables import Costs, CostTables
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import SPACES
from ofa_mcu.space.space import SearchSpace
from tests.space.spaces import TINY

BOARDS = ("stm32f746", "stm32f446", "stm32f103", "rp2040", "mps3_an547")
SRAM_SLACK = 64
"""Bytes by which a plan may miss the arena's lower bound: where buffers cannot be packed, and reads past an end."""
CHAIN_SLACK = 384
"""The same for the widest convolutions in time on cores without DSP instructions: an output lies a column beside its
input, which adds up along a chain of large tensors. With that much more room the planner takes faster ways than tables
do, which then say too many instructions, never too few."""


def planned(space: SearchSpace, board: str, genes: np.ndarray, max_sram: int | None = None) -> tuple[Cost, int]:
    profile = load_profile(board)
    graph = shape_graph(space, Genome.of(space).decode(genes.tolist()))
    room = None if max_sram is None else arena_room(profile, max_sram=max_sram)
    return estimate(make_plan(graph, core_model(core_of(profile)), room=room), profile), graph.parameters


def bounded(space: SearchSpace, board: str, genes: np.ndarray) -> bool:
    """Whether tables bound this subnet, where they say of others just what the planner does."""
    return space.name == "keywords" and board in ("stm32f103", "rp2040") and space.widths[int(genes[1])] == 1.5


def check_bounds(costs: Costs, index: int, cost: Cost) -> None:
    assert 0 <= cost.sram_bytes - costs.sram_bytes[index] <= CHAIN_SLACK
    assert cost.instructions - 1 <= costs.instructions[index] <= 1.07 * cost.instructions
    assert costs.flash_bytes[index] == pytest.approx(cost.flash_bytes, abs=640)


def drawn(space: SearchSpace, count: int, seed: int = 0) -> np.ndarray:
    genome = Genome.of(space)
    upper = [len(options) for options in genome.options]
    genes = np.random.default_rng(seed).integers(0, upper, (count, len(upper)))
    genes[:2] = genome.encode(space.largest), genome.encode(space.smallest)
    return genes


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", [*SPACES, "tiny"])
def test_tables_say_what_the_planner_says(name: str, board: str) -> None:
    space = SPACES.get(name, TINY)
    genes = drawn(space, 24)
    costs = CostTables(space, load_profile(board))(genes)
    same = 0
    for index, row in enumerate(genes):
        cost, parameters = planned(space, board, row)
        assert (costs.macs[index], costs.parameters[index]) == (cost.macs, parameters)
        if bounded(space, board, row):
            check_bounds(costs, index, cost)
            same += 1
            continue
        off = abs(costs.flash_bytes[index] - cost.flash_bytes), abs(costs.instructions[index] - cost.instructions)
        same += max(off) <= 1  # sums in another order are rounded
        assert 0 <= cost.sram_bytes - costs.sram_bytes[index] <= SRAM_SLACK
    assert same >= 23


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist"])
def test_where_memory_is_scarce_tables_say_what_the_planner_says(name: str, board: str) -> None:
    """Subnets that would not fit as they are run cascades, in tables as in plans."""
    space = SPACES[name]
    genes = drawn(space, 24)
    tables = CostTables(space, load_profile(board))
    whole = tables(genes)
    limit = int(np.quantile(whole.sram_bytes, 0.3))
    costs = tables(genes, limit)
    over = whole.sram_bytes > limit
    assert over.sum() > 8 and np.array_equal(costs.sram_bytes[~over], whole.sram_bytes[~over])
    assert (costs.sram_bytes[over] < whole.sram_bytes[over]).all()
    assert (costs.sram_bytes[over] <= limit).any()
    same = 0
    for index, row in enumerate(genes):
        cost, parameters = planned(space, board, row, limit)
        assert (costs.macs[index], costs.parameters[index]) == (cost.macs, parameters)
        off = abs(costs.flash_bytes[index] - cost.flash_bytes), abs(costs.instructions[index] - cost.instructions)
        same += max(off) <= 1 and 0 <= cost.sram_bytes - costs.sram_bytes[index] <= SRAM_SLACK
    assert same >= 21, "the planner settles the rest, where buffers cannot be packed as tightly"


def test_what_was_asked_before_changes_nothing() -> None:
    space = SPACES["cifar10"]
    genes = drawn(space, 64)
    tables = CostTables(space, load_profile("stm32f746"))
    for limit in (1 << 20, 30_000, 24_000, 20_000, 16_000):
        costs, again = tables(genes, limit), CostTables(space, load_profile("stm32f746"))(genes, limit)
        assert np.array_equal(again.instructions, costs.instructions)
        assert np.array_equal(again.sram_bytes, costs.sram_bytes)


@settings(max_examples=30, deadline=None)
@given(st.data(), st.sampled_from(BOARDS))
def test_any_subnet_in_any_company(data: st.DataObject, board: str) -> None:
    space = SPACES[data.draw(st.sampled_from(sorted(SPACES)))]
    options = Genome.of(space).options
    rows = st.tuples(*(st.integers(0, len(each) - 1) for each in options))
    genes = np.array(data.draw(st.lists(rows, min_size=1, max_size=6)))
    tables = CostTables(space, load_profile(board))
    together = tables(genes)
    for index, row in enumerate(genes):
        alone = tables(row[None])
        for name in ("sram_bytes", "flash_bytes", "instructions", "macs", "parameters"):
            assert getattr(together, name)[index] == getattr(alone, name)[0], name
        cost, _ = planned(space, board, row)
        if bounded(space, board, row):
            check_bounds(together, index, cost)
            continue
        assert 0 <= cost.sram_bytes - together.sram_bytes[index] <= SRAM_SLACK
        assert together.instructions[index] == pytest.approx(cost.instructions, rel=0.002)
        assert together.flash_bytes[index] == pytest.approx(cost.flash_bytes, abs=256)


def test_genes_without_effect_cost_nothing() -> None:
    space = SPACES["fashion-mnist"]
    genome = Genome.of(space)
    genes = np.array([genome.encode(space.smallest)] * 2)
    genes[1, -1] = 2  # expand ratio of a block that is not there
    assert genome.decode(genes[0]) == genome.decode(genes[1])
    costs = CostTables(space, load_profile("stm32f746"))(genes)
    assert costs.flash_bytes[0] == costs.flash_bytes[1] and costs.instructions[0] == costs.instructions[1]

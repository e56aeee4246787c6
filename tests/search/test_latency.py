"""A board's latency table in search: looked up for many subnets as the planner adds it up for one, and chosen by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.cost import estimate
from ofa_mcu.planning.latency import LatencyModel, write_latency
from ofa_mcu.planning.plan import make_plan
from ofa_mcu.profiles import load_profile
from ofa_mcu.search.archive import Archive
from ofa_mcu.search.budget import budget_for
from ofa_mcu.search.candidates import CandidatePool
from ofa_mcu.search.feasibility import check_feasible
from ofa_mcu.search.features import Genome
from ofa_mcu.search.spaces import surveyed
from ofa_mcu.search.tables import CostTables
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import SPACES
from tests.cli.verbs import run
from tests.planning.latencies import MODEL, table_of
from tests.search.made_up import predictor_of
from tests.space.spaces import TINY

BOARD = load_profile("stm32f746")
PREDICTOR = predictor_of(TINY)
TABLE = table_of("stm32f746")


def models() -> st.SearchStrategy[LatencyModel]:
    factor = st.floats(0.0, 8.0)
    names = st.sampled_from(
        ["ofa_dsp_pointwise", "ofa_pointwise", "ofa_dsp_conv", "ofa_mve_conv2d", "depthwise", "pool", "elementwise"]
    )
    return st.builds(LatencyModel, st.floats(0, 1e5), factor, st.dictionaries(names, factor), st.floats(0, 50))


@settings(max_examples=25)
@given(st.data(), models(), st.sampled_from(("stm32f746", "stm32f446", "stm32f103", "mps3_an547")))
def test_tables_add_up_what_the_planner_does(data: st.DataObject, model: LatencyModel, board: str) -> None:
    space = SPACES[data.draw(st.sampled_from(sorted(SPACES)))]
    genome, profile = Genome.of(space), load_profile(board)
    rows = st.tuples(*(st.integers(0, len(each) - 1) for each in genome.options))
    genes = np.array(data.draw(st.lists(rows, min_size=1, max_size=4)))
    costs = CostTables(space, profile, latency=model)(genes)
    assert np.array_equal(costs.instructions, CostTables(space, profile)(genes).instructions)
    for index, row in enumerate(genes.tolist()):
        graph = shape_graph(space, genome.decode(row))
        cost = estimate(make_plan(graph, core_model(core_of(profile))), profile)
        if abs(costs.instructions[index] - cost.instructions) <= 1:  # else the plan missed the arena's lower bound
            assert costs.ticks[index] == pytest.approx(model.network(cost.layers), rel=1e-9)


def test_without_a_table_nothing_ticks() -> None:
    genes = Genome.of(TINY).encode_all([TINY.largest, TINY.smallest])
    assert CostTables(TINY, BOARD)(genes).ticks.tolist() == [0, 0]
    assert Archive(PREDICTOR, BOARD).ticks is None


def whole(model: LatencyModel | None) -> Archive:
    """Every subnet of the space."""
    archive = Archive(PREDICTOR, BOARD, model)
    archive.evaluate(archive.genome.encode_all(TINY))
    return archive


def test_time_is_bounded_by_the_table() -> None:
    archive = whole(MODEL)
    assert archive.ticks is not None
    ms = archive.ticks * 1e3 / BOARD.clock_hz
    bound = float(np.median(ms))
    budget = budget_for(BOARD, max_ms=bound, latency=TABLE)
    excess = archive.excess(budget)
    assert np.array_equal(excess <= 0, ms <= bound)
    pool = CandidatePool(PREDICTOR, budget)
    for number in archive.front(budget)[:3]:
        candidate = pool(archive.genome.decode(archive.genes[number].tolist()))
        assert candidate.fits
        known = budget.estimates(candidate.cost)["ms"]
        assert known is not None and known["value"] == pytest.approx(ms[number], rel=1e-9)
        assert "latency table of stm32f746" in known["basis"] and known["band"] == 0.034
    power = budget_for(BOARD, max_mj=bound * 0.4, power_mw=400.0, latency=TABLE)
    assert np.array_equal(archive.excess(power) <= 0, ms * 400.0 / 1e3 <= bound * 0.4)


def test_a_table_changes_what_is_picked() -> None:
    """Where depthwise layers are dear and pointwise ones cheap, others fit the same time."""
    plain = budget_for(BOARD, max_ms=0.2, cycles_per_instruction=0.73)
    dear = replace(TABLE, model=LatencyModel(0.0, 0.73, {"ofa_dsp_depthwise": 2.5, "ofa_dsp_pointwise": 0.3}, 0.0))
    tabled = budget_for(BOARD, max_ms=0.2, latency=dear)
    first, second = whole(None), whole(dear.model)
    one, other = first.front(plain)[0], second.front(tabled)[0]
    assert first.genome.decode(first.genes[one]) != second.genome.decode(second.genes[other])
    fitting = second.excess(tabled) <= 0
    assert second.objectives[other, 0] == second.objectives[fitting, 0].min()


def test_cycles_that_are_given_win_over_the_table() -> None:
    budget = budget_for(BOARD, max_ms=1.0, cycles_per_instruction=0.9, latency=TABLE)
    assert budget.table is None
    cost = CandidatePool(PREDICTOR, budget)(TINY.smallest).cost
    ms = budget.estimates(cost)["ms"]
    assert ms is not None and "as given" in ms["basis"]
    assert len(whole(None).excess(budget))


def test_what_was_not_looked_up_by_the_table_is_not_judged_by_it() -> None:
    with pytest.raises(ValueError, match="not looked up by it"):
        whole(None).excess(budget_for(BOARD, max_ms=1.0, latency=TABLE))
    assert len(whole(None).excess(budget_for(BOARD, latency=TABLE)))


def test_frames_of_a_space_are_compared_by_the_table() -> None:
    slow = replace(TABLE, model=LatencyModel(0.0, 1e6, {}, 0.0))
    fast = surveyed(TINY, [budget_for(BOARD, max_ms=5.0, latency=TABLE)], 60)["stm32f746"]
    none = surveyed(TINY, [budget_for(BOARD, max_ms=5.0, latency=slow)], 60)["stm32f746"]
    assert max(frame.share for frame in fast) > 0 and max(frame.share for frame in none) == 0


def test_a_board_without_a_basis_gets_one() -> None:
    board = load_profile("rp2040")
    check_feasible(CandidatePool(PREDICTOR, budget_for(board, max_ms=1e3, latency=table_of("rp2040"))))


def test_the_verb_names_what_is_wrong_with_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_latency(tmp_path / "h7.json", table_of("stm32h743"))
    assert run("search", "--board", "stm32f746", "--latency", "h7.json") == 2
    assert "was measured on stm32h743" in capsys.readouterr().err
    (tmp_path / "runs" / "boards").mkdir(parents=True)
    (tmp_path / "runs" / "boards" / "stm32f746.latency.json").write_text("{}")
    assert run("search", "--board", "stm32f746") == 1
    assert "holds no latency table" in capsys.readouterr().err
    assert run("search", "--board", "stm32f746", "--latency", "h7.json", "--cycles-per-instruction", "1") == 2
    assert not list((tmp_path / "runs").glob("fashion*"))


@pytest.mark.slow
def test_a_search_rests_on_the_board_s_own_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    monkeypatch.chdir(tmp_path)
    model = LatencyModel(0.0, 0.73, {"depthwise": 3.0, "pointwise": 0.4}, 0.0)
    write_latency(Path("runs/boards/stm32f746.latency.json"), table_of("stm32f746", model=model))
    asked = ("search", "--board", "stm32f746", "--task", "gestures", "--max-ms", "1.0", "--json")
    assert run(*asked) == 0
    tabled = json.loads(capsys.readouterr().out)
    assert run(*asked, "--cycles-per-instruction", "0.73") == 0
    plain = json.loads(capsys.readouterr().out)
    assert tabled["pick"]["estimates"]["ms"]["value"] <= 1.0
    assert "latency table" in tabled["pick"]["estimates"]["ms"]["basis"]
    assert "as given" in plain["pick"]["estimates"]["ms"]["basis"]
    assert tabled["pick"]["subnet"] != plain["pick"]["subnet"]
    kept = json.loads((Path(tabled["run"]) / "config.json").read_text())["latency"]
    assert kept["model"]["factors"] == {"depthwise": 3.0, "pointwise": 0.4}

"""Evolution: reproducible, inside the space, and close to the true front; and the answer where nothing fits."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ofa_mcu.errors import InfeasibleError, UsageError
from ofa_mcu.profiles import load_profile
from ofa_mcu.search.archive import Archive, hypervolume
from ofa_mcu.search.budget import Budget, budget_for
from ofa_mcu.search.candidates import Candidate, CandidatePool
from ofa_mcu.search.feasibility import check_feasible
from ofa_mcu.search.nsga import corners, evolve, neighbours, thinned
from ofa_mcu.search.predictor import load_predictor
from ofa_mcu.supernet.shipped_files import PREDICTOR_FILE, supernet_folder
from tests.search.made_up import predictor_of
from tests.space.spaces import TINY

BOARD = load_profile("stm32f746")
PREDICTOR = predictor_of(TINY)


def evolved(budget: Budget, seed: int = 0, generations: int = 6) -> Archive:
    archive = Archive(PREDICTOR, BOARD)
    evolve(archive, budget, seed, population=12, generations=generations)
    return archive


def whole(archive: Archive) -> Archive:
    """The same with every subnet of its space."""
    archive.evaluate(archive.genome.encode_all(archive.genome.space))
    return archive


def test_the_same_seed_gives_the_same_subnets_in_the_same_order() -> None:
    first, second = evolved(budget_for(BOARD), 5), evolved(budget_for(BOARD), 5)
    assert np.array_equal(first.genes, second.genes) and np.array_equal(first.objectives, second.objectives)
    assert not np.array_equal(first.genes[:40], evolved(budget_for(BOARD), 6).genes[:40])


def test_every_subnet_is_met_once_and_the_corners_are_there() -> None:
    archive = evolved(budget_for(BOARD))
    subnets = [archive.genome.decode(genes) for genes in archive.genes.tolist()]
    assert len(set(subnets)) == len(subnets) == len(archive)
    assert {TINY.largest, TINY.smallest} <= set(subnets)
    for subnet in subnets:
        TINY.validate(subnet)


def test_what_an_archive_holds_is_what_predictor_and_planner_say() -> None:
    budget = budget_for(BOARD, max_instructions=60_000)
    archive, pool = whole(Archive(PREDICTOR, BOARD)), CandidatePool(PREDICTOR, budget)
    assert len(archive) == TINY.size
    excess = archive.excess(budget)
    for index in np.random.default_rng(0).permutation(len(archive))[:60].tolist():
        candidate = pool(archive.genome.decode(archive.genes[index].tolist()))
        assert archive.objectives[index] == pytest.approx(candidate.objectives, rel=1e-3)
        assert -archive.objectives[index, 0] == pytest.approx(candidate.accuracy, abs=1e-12)
        assert (excess[index] <= 0) == candidate.fits
        assert excess[index] == pytest.approx(sum(v.excess for v in candidate.violations), abs=1e-3)


def test_the_front_is_what_no_other_beats() -> None:
    archive, budget = whole(Archive(PREDICTOR, BOARD)), budget_for(BOARD, max_instructions=80_000)
    front = archive.objectives[archive.front(budget)]
    assert (np.diff(front[:, 0]) >= 0).all() and len(np.unique(front, axis=0)) == len(front)
    for point in archive.objectives[archive.excess(budget) <= 0]:
        assert (front <= point).all(axis=1).any()
    for point in front:
        assert ((front <= point).all(axis=1)).sum() == 1


def test_it_comes_close_to_the_front_of_the_whole_space() -> None:
    archive = evolved(budget_for(BOARD))
    found = archive.objectives[archive.front()]
    truth = whole(archive).objectives
    least, most = truth.min(0), truth.max(0)
    share = hypervolume(found, least, most) / hypervolume(truth[archive.front()], least, most)
    assert 0.995 <= share <= 1 + 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("board", ["stm32f746", "stm32f103"])
def test_a_real_space_of_which_every_subnet_is_known(board: str) -> None:
    predictor = load_predictor(supernet_folder("fashion-mnist") / PREDICTOR_FILE)
    budget = budget_for(load_profile(board))
    archive = Archive(predictor, budget.profile)
    evolve(archive, budget, 1)
    assert len(archive) < 0.2 * predictor.space.size
    found = archive.objectives[archive.front(budget)]
    assert len(whole(archive)) == predictor.space.size > 100_000
    truth = archive.objectives[archive.front(budget)]
    least, most = archive.objectives.min(0), archive.objectives.max(0)
    assert hypervolume(found, least, most) >= 0.999 * hypervolume(truth, least, most) > 0


def test_it_finds_what_fits_a_tight_budget() -> None:
    """A bound between the cheapest and the median: the best fitting subnet of the space."""
    costs = np.sort(whole(Archive(PREDICTOR, BOARD)).objectives[:, 3])
    bound = int(costs[len(costs) // 10])
    budget = budget_for(BOARD, max_instructions=bound)
    archive = evolved(budget)
    found = archive.objectives[archive.front(budget)]
    best = whole(archive).objectives[archive.front(budget)]
    assert found[0, 0] == best[0, 0] and (found[:, 3] <= bound).all()


def test_a_search_for_all_budgets_holds_the_best_of_each() -> None:
    """What is most accurate within bounds is on the front without bounds."""
    archive = Archive(PREDICTOR, BOARD)
    evolve(archive, None, 0, population=12, generations=6)
    every = whole(Archive(PREDICTOR, BOARD))
    for share in (0.05, 0.3, 0.6):
        bounds = np.quantile(every.objectives[:, 1:], share, axis=0)
        budget = Budget(BOARD, dict(zip(("sram", "flash", "instructions"), bounds.tolist(), strict=True)))
        best = every.objectives[every.front(budget)[0], 0]
        assert archive.objectives[archive.front(budget)[0], 0] == pytest.approx(best, abs=0.001)


def test_progress_is_told() -> None:
    told: list[str] = []
    evolve(Archive(PREDICTOR, BOARD), None, 0, 8, 3, told.append)
    assert told[:3] == ["generation 1 of 3", "generation 2 of 3", "generation 3 of 3"]
    assert re.fullmatch(r"neighbours of \d+ of \d+ on the front", told[3])


def test_corners_and_neighbours() -> None:
    genome = Archive(PREDICTOR, BOARD).genome
    subnets = [genome.decode(genes) for genes in corners(genome).tolist()]
    assert {TINY.largest, TINY.smallest} <= set(subnets)
    assert {(s.resolution, s.width) for s in subnets} == {(r, w) for r in TINY.resolutions for w in TINY.widths}
    upper = np.array([len(options) for options in genome.options]) - 1
    one = corners(genome)[:1]
    found = neighbours(one, upper)
    assert ((found != one).sum(1) <= 1).all() and len(np.unique(found, axis=0)) == 1 + upper.sum()


def test_a_thinned_front_keeps_its_ends() -> None:
    points = np.stack([np.linspace(0, 1, 50), np.linspace(1, 0, 50) ** 2, np.zeros(50), np.zeros(50)], 1)
    kept = thinned(points, 10)
    assert len(kept) == 10 and {0, 49} <= set(kept.tolist()) and (np.diff(kept) > 0).all()
    assert thinned(points, 50).tolist() == list(range(50))


def smallest(max_sram: int | None = None) -> Candidate:
    return CandidatePool(PREDICTOR, budget_for(BOARD, max_sram))(TINY.smallest)


def refusal(budget: Budget) -> InfeasibleError:
    with pytest.raises(InfeasibleError) as caught:
        check_feasible(CandidatePool(PREDICTOR, budget))
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)
    return caught.value


def test_what_just_fits_is_feasible() -> None:
    cost = smallest().cost
    check_feasible(
        CandidatePool(PREDICTOR, budget_for(BOARD, cost.sram_bytes, cost.flash_bytes, round(cost.instructions)))
    )


@pytest.mark.parametrize("constraint", ["sram", "flash", "instructions"])
def test_a_byte_less_names_the_constraint_and_the_nearest_subnet(constraint: str) -> None:
    cost = smallest().cost
    # Where memory is what lacks, the nearest subnet runs in as little of it as it can.
    needed = {"sram": smallest(1).cost.sram_bytes, "flash": cost.flash_bytes, "instructions": round(cost.instructions)}
    budget = budget_for(BOARD, **{f"max_{constraint}": needed[constraint] - 1})  # type: ignore[arg-type]
    error = refusal(budget)
    assert re.findall(r"needs (\d+)(?: B of)? (\w+) where (\d+)(?: B)? are allowed", str(error)) == [
        (str(needed[constraint]), constraint, str(needed[constraint] - 1))
    ]
    assert error.details["constraint"] == constraint and error.details["code"] == "infeasible"
    assert error.details["needed"] == needed[constraint] and error.details["budget"] == needed[constraint] - 1
    nearest = error.details["nearest"]
    assert isinstance(nearest, dict) and nearest["subnet"] == str(TINY.smallest)


def test_all_constraints_that_cannot_be_met_are_named_the_worst_first() -> None:
    cost = smallest().cost
    error = refusal(budget_for(BOARD, smallest(1).cost.sram_bytes - 1, cost.flash_bytes // 2))
    assert error.details["constraint"] == "flash"
    violations = error.details["violations"]
    assert isinstance(violations, list) and [each["constraint"] for each in violations] == ["flash", "sram"]
    assert re.findall(r"of (\w+) where", str(error)) == ["flash", "sram"]
    assert refusal(budget_for(BOARD, max_sram=0)).details["constraint"] == "sram"


def test_time_is_bounded_by_its_estimate() -> None:
    cost = smallest().cost
    ms = cost.instructions * 2.0 / BOARD.clock_hz * 1e3
    check_feasible(CandidatePool(PREDICTOR, budget_for(BOARD, max_ms=ms * 1.001, cycles_per_instruction=2.0)))
    error = refusal(budget_for(BOARD, max_ms=ms * 0.5, cycles_per_instruction=2.0))
    assert error.details["constraint"] == "ms" and f"{ms:.4g} ms where" in str(error)
    error = refusal(budget_for(BOARD, max_mj=1e-9, cycles_per_instruction=2.0, power_mw=100.0))
    assert error.details["constraint"] == "mj"


def test_a_bound_without_a_basis_is_refused() -> None:
    board = load_profile("mps3_an547")
    assert board.cycles_per_instruction is None
    with pytest.raises(UsageError, match="--cycles-per-instruction"):
        check_feasible(CandidatePool(PREDICTOR, budget_for(board, max_ms=1.0)))

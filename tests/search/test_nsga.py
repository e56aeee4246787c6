"""Evolution: reproducible, inside the space, and close to the true front; and the answer where nothing fits."""

from __future__ import annotations

import re

import pytest

from ofa_mcu.errors import InfeasibleError, UsageError
from ofa_mcu.profiles import load_profile
from ofa_mcu.search.budget import Budget, budget_for
from ofa_mcu.search.candidates import Candidate, CandidatePool, pareto_front
from ofa_mcu.search.feasibility import check_feasible
from ofa_mcu.search.features import Genome
from ofa_mcu.search.nsga import evolve
from tests.search.made_up import predictor_of
from tests.space.spaces import TINY

BOARD = load_profile("stm32f746")
PREDICTOR = predictor_of(TINY)


def evolved(budget: Budget, seed: int = 0, generations: int = 12) -> list[Candidate]:
    return evolve(CandidatePool(PREDICTOR, budget), Genome.of(TINY), seed, population=24, generations=generations)


def test_the_same_seed_gives_the_same_candidates_in_the_same_order() -> None:
    first, second = evolved(budget_for(BOARD), 5), evolved(budget_for(BOARD), 5)
    assert first == second
    assert [c.subnet for c in first] != [c.subnet for c in evolved(budget_for(BOARD), 6)]


def test_every_candidate_is_a_subnet_met_once_and_the_corners_are_there() -> None:
    found = evolved(budget_for(BOARD))
    subnets = [c.subnet for c in found]
    assert len(set(subnets)) == len(subnets)
    assert {TINY.largest, TINY.smallest} <= set(subnets)
    for subnet in subnets:
        TINY.validate(subnet)


def volume(front: list[Candidate], worst: tuple[float, ...]) -> float:
    """Share of a fixed sample of goals (accuracy, instructions) that some candidate of the front reaches."""
    goals = [(-0.7 - 0.3 * i / 40, worst[3] * j / 40) for i in range(40) for j in range(41)]
    reached = sum(any(c.objectives[0] <= a and c.objectives[3] <= n for c in front) for a, n in goals)
    return reached / len(goals)


def test_it_comes_close_to_the_front_of_the_whole_space() -> None:
    budget = budget_for(BOARD)
    pool = CandidatePool(PREDICTOR, budget)
    every = [pool(subnet) for subnet in TINY]
    truth = pareto_front(every)
    worst = tuple(max(c.objectives[i] for c in every) for i in range(4))
    found = evolved(budget)
    assert len(found) < 0.75 * TINY.size  # it did not simply try everything
    assert volume(pareto_front(found), worst) > 0.95 * volume(truth, worst) > 0
    best = max(c.accuracy for c in every)
    assert max(c.accuracy for c in found) == pytest.approx(best, abs=0.002)


def test_it_finds_what_fits_a_tight_budget() -> None:
    """A bound between the cheapest and the median: the best fitting subnet of the space, or one nearly as good."""
    everything = CandidatePool(PREDICTOR, budget_for(BOARD))
    costs = sorted(everything(subnet).cost.instructions for subnet in TINY)
    budget = budget_for(BOARD, max_instructions=costs[len(costs) // 10])
    pool = CandidatePool(PREDICTOR, budget)
    best = max(c.accuracy for c in map(pool, TINY) if c.fits)
    fitting = [c for c in evolved(budget) if c.fits]
    assert max(c.accuracy for c in fitting) >= best - 0.003
    assert all(c.cost.instructions <= costs[len(costs) // 10] for c in fitting)


def test_progress_is_told_for_every_generation() -> None:
    told: list[tuple[int, int]] = []
    pool = CandidatePool(PREDICTOR, budget_for(BOARD))
    evolve(pool, Genome.of(TINY), 0, 8, 5, lambda done, total: told.append((done, total)))
    assert told == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]


def smallest() -> Candidate:
    return CandidatePool(PREDICTOR, budget_for(BOARD))(TINY.smallest)


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
    needed = {"sram": cost.sram_bytes, "flash": cost.flash_bytes, "instructions": round(cost.instructions)}
    budget = budget_for(BOARD, **{f"max_{constraint}": needed[constraint] - 1})
    error = refusal(budget)
    assert re.findall(r"needs (\d+)(?: B)? of (\w+) and (\d+)(?: B)? are allowed", str(error)) == [
        (str(needed[constraint]), constraint, str(needed[constraint] - 1))
    ]
    assert error.details["constraint"] == constraint and error.details["code"] == "infeasible"
    assert error.details["needed"] == needed[constraint] and error.details["budget"] == needed[constraint] - 1
    nearest = error.details["nearest"]
    assert isinstance(nearest, dict) and nearest["subnet"] == str(TINY.smallest)


def test_of_several_constraints_the_worst_is_named() -> None:
    cost = smallest().cost
    error = refusal(budget_for(BOARD, cost.sram_bytes - 1, cost.flash_bytes // 2))
    assert error.details["constraint"] == "flash"
    assert refusal(budget_for(BOARD, max_sram=0)).details["constraint"] == "sram"


def test_time_is_bounded_by_its_estimate() -> None:
    cost = smallest().cost
    ms = cost.instructions * 2.0 / BOARD.clock_hz * 1e3
    check_feasible(CandidatePool(PREDICTOR, budget_for(BOARD, max_ms=ms * 1.001, cycles_per_instruction=2.0)))
    error = refusal(budget_for(BOARD, max_ms=ms * 0.5, cycles_per_instruction=2.0))
    assert error.details["constraint"] == "ms" and f"{ms:.4g} ms of ms" in str(error)
    error = refusal(budget_for(BOARD, max_mj=1e-9, cycles_per_instruction=2.0, power_mw=100.0))
    assert error.details["constraint"] == "mj"


def test_a_bound_without_a_basis_is_refused() -> None:
    board = load_profile("mps3_an547")
    assert board.cycles_per_instruction is None
    with pytest.raises(UsageError, match="--cycles-per-instruction"):
        check_feasible(CandidatePool(PREDICTOR, budget_for(board, max_ms=1.0)))

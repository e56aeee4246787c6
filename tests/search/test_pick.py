"""Budgets, Pareto fronts, shortlists, and the final choice."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_mcu.errors import InfeasibleError, UsageError
from ofa_mcu.planning.battery import life
from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.cost import DEFAULT_STACK_BYTES, Cost
from ofa_mcu.profiles import all_profiles, load_profile
from ofa_mcu.search.budget import Violation, budget_for
from ofa_mcu.search.candidates import Candidate, CandidatePool, pareto_front
from ofa_mcu.search.lifetime import lifetime_for
from ofa_mcu.search.pick import Measured, Objective, choose, next_to_measure, shortlist
from ofa_mcu.search.predictor import Quality
from ofa_mcu.space.presets import FASHION_MNIST
from tests.search.made_up import predictor_of
from tests.space.spaces import TINY

BOARD = load_profile("stm32f746")
SUBNETS = list(TINY)
GOOD = Quality(subnets=100, kendall=0.8, spearman=0.9, rmse_points=5.0, kendall_macs=0.6)


def candidate(number: int, accuracy: float, sram: int = 0, flash: int = 0, instructions: int = 0) -> Candidate:
    cost = Cost("cortex-m7", sram, 0, 0, sram, 0, 0, flash, flash, instructions, 0, ())
    return Candidate(SUBNETS[number], accuracy, cost, ())


drawn = st.lists(st.tuples(*(st.integers(0, 4) for _ in range(4))).map(lambda t: (t[0] / 10, *t[1:])), max_size=40).map(
    lambda rows: [candidate(i, *row) for i, row in enumerate(rows)]
)


@given(drawn)
def test_the_front_is_what_its_definition_says(candidates: list[Candidate]) -> None:
    def beats(a: Candidate, b: Candidate) -> bool:
        pairs = list(zip(a.objectives, b.objectives, strict=True))
        return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)

    front = pareto_front(candidates)
    wanted = {c.objectives for c in candidates if not any(beats(other, c) for other in candidates)}
    assert {c.objectives for c in front} == wanted
    assert len(front) == len(wanted)  # equals appear once
    assert all(c in candidates for c in front)
    assert [c.accuracy for c in front] == sorted((c.accuracy for c in front), reverse=True)


@given(drawn, st.randoms(use_true_random=False))
def test_the_front_does_not_depend_on_the_order(candidates: list[Candidate], random: object) -> None:
    mixed = list(candidates)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    assert pareto_front(mixed) == pareto_front(candidates)


FRONT = [
    candidate(0, 0.910, sram=90, flash=10, instructions=900),
    candidate(1, 0.909, sram=80, flash=90, instructions=300),
    candidate(2, 0.905, sram=70, flash=70, instructions=200),
    candidate(3, 0.895, sram=10, flash=80, instructions=100),
    candidate(4, 0.800, sram=5, flash=5, instructions=50),
]


def numbers(candidates: list[Candidate]) -> list[int]:
    return [SUBNETS.index(c.subnet) for c in candidates]


def test_the_shortlist_alternates_good_and_cheap() -> None:
    found = numbers(shortlist(FRONT))
    assert found[:2] == [0, 1]  # 0.2 point is within reach
    assert len(found) == 3 == len(set(found))  # the rest is filled up by accuracy
    assert numbers(shortlist(FRONT, count=1)) == [0]
    assert numbers(next_to_measure(FRONT, [], Objective.ACCURACY, 0.5, GOOD)) == found
    assert next_to_measure(FRONT, [Measured(FRONT[0], 0.5)], Objective.ACCURACY, 0.5, GOOD) == []


def test_where_prediction_is_no_better_than_size_more_is_measured() -> None:
    poor = dataclasses.replace(GOOD, kendall_macs=GOOD.kendall - 0.04)
    assert GOOD.clear and not poor.clear
    assert sorted(numbers(next_to_measure(FRONT, [], Objective.ACCURACY, 0.5, poor))) == [0, 1, 2, 3, 4]


def test_more_are_measured_where_more_are_asked_for() -> None:
    beaten = [candidate(5, 0.9095, 91, 91, 901), candidate(6, 0.7, 91, 91, 901)]

    def found(count: int) -> list[int]:
        return numbers(next_to_measure(FRONT, [], Objective.ACCURACY, 0.5, GOOD, count, [*FRONT, *beaten]))

    assert found(3) == numbers(shortlist(FRONT))
    assert found(4) == [*found(3), 5]  # the best by prediction of what is left, though number 0 beats it
    assert found(99) == [*found(4), 3, 4, 6]


@pytest.mark.parametrize(
    ("objective", "give", "really", "wanted"),
    [
        # the cheapest that measures up is found, whatever was predicted of those below it
        (Objective.SRAM, 0.03, [0.90, 0.90, 0.90, 0.90, 0.90], 4),
        (Objective.SRAM, 0.03, [0.90, 0.90, 0.90, 0.90, 0.80], 3),
        (Objective.SRAM, 0.03, [0.90, 0.90, 0.90, 0.80, 0.80], 2),
        (Objective.INSTRUCTIONS, 0.03, [0.90, 0.90, 0.80, 0.80, 0.80], 1),
        (Objective.INSTRUCTIONS, 0.03, [0.90, 0.80, 0.80, 0.80, 0.80], 0),
    ],
)
def test_other_objectives_measure_from_the_cheapest_up(
    objective: Objective, give: float, really: list[float], wanted: int
) -> None:
    measured: list[Measured] = []
    while found := next_to_measure(FRONT, measured, objective, give, GOOD):
        assert not {m.candidate for m in measured} & set(found)
        measured += [Measured(c, really[numbers([c])[0]]) for c in found]
    assert numbers([choose(measured, objective, give).candidate]) == [wanted]


def test_a_short_front_is_all_on_the_shortlist() -> None:
    assert sorted(numbers(shortlist(FRONT[:2]))) == [0, 1]


@pytest.mark.parametrize(
    ("accuracies", "objective", "give", "wanted"),
    [
        ([0.90, 0.88, 0.87, 0.86, 0.80], Objective.ACCURACY, 0.01, 0),
        ([0.90, 0.8981, 0.87, 0.86, 0.80], Objective.ACCURACY, 0.01, 1),  # within 0.2 point: fewest instructions
        ([0.90, 0.8979, 0.87, 0.86, 0.80], Objective.ACCURACY, 0.01, 0),
        ([0.86, 0.88, 0.87, 0.91, 0.80], Objective.ACCURACY, 0.01, 3),  # as measured, not as predicted
        ([0.90, 0.895, 0.892, 0.86, 0.80], Objective.INSTRUCTIONS, 0.01, 2),
        ([0.90, 0.895, 0.892, 0.86, 0.80], Objective.SRAM, 0.05, 3),
        ([0.90, 0.895, 0.892, 0.86, 0.80], Objective.FLASH, 0.05, 0),
        ([0.90, 0.895, 0.892, 0.86, 0.80], Objective.FLASH, 0.11, 4),
    ],
)
def test_the_choice(accuracies: list[float], objective: Objective, give: float, wanted: int) -> None:
    measured = [Measured(c, a) for c, a in zip(FRONT, accuracies, strict=True)]
    assert numbers([choose(measured, objective, give).candidate]) == [wanted]
    assert choose(measured[::-1], objective, give) == choose(measured, objective, give)


def test_a_budget_is_the_board_tightened_by_options() -> None:
    assert dict(budget_for(BOARD).bounds) == {"sram": BOARD.ram_bytes, "flash": BOARD.flash_bytes}
    bounds = budget_for(BOARD, 20_000, 60_000, 10**6, max_ms=5.0, max_mj=1.0).bounds
    assert dict(bounds) == {"sram": 20_000, "flash": 60_000, "instructions": 10**6, "ms": 5.0, "mj": 1.0}
    assert budget_for(BOARD, max_sram=0).bounds["sram"] == 0  # nothing is asked for, not everything
    for option, values in (("--max-sram", (BOARD.ram_bytes + 1, None)), ("--max-flash", (None, BOARD.flash_bytes + 1))):
        with pytest.raises(UsageError, match=f"{option} .* is more than board stm32f746 has"):
            budget_for(BOARD, *values)


def test_the_region_that_sets_a_bound_is_named() -> None:
    """Where the arena has a region of its own, that region bounds it; who asks for less than it has is the bound."""
    cost = FRONT[0].cost
    large = dataclasses.replace(cost, sram_bytes=10**6, flash_bytes=10**7)
    assert [(v.constraint, v.region) for v in budget_for(BOARD).violations(large)] == [
        ("flash", "FLASH"),
        ("sram", "DTCM + SRAM1 + SRAM2"),
    ]
    assert [v.region for v in budget_for(BOARD, max_sram=1000, max_flash=10**6).violations(large)] == [None, None]
    apart = dataclasses.replace(load_profile("stm32h743"), arena_region="DTCM")
    rest = core_model("cortex-m7").static_bytes + DEFAULT_STACK_BYTES
    budget = budget_for(apart)
    assert budget.bounds["sram"] == 131_072 + rest == budget_for(apart, max_sram=600_000).bounds["sram"]
    fits, more = (dataclasses.replace(cost, sram_bytes=131_072 + rest + extra) for extra in (0, 8))
    assert budget.violations(fits) == []
    assert budget.violations(more) == [Violation("sram", 131_080 + rest, 131_072 + rest, "DTCM")]
    assert budget_for(dataclasses.replace(apart, ram_bytes=rest - 1)).bounds["sram"] == 0


def test_violations_come_the_worst_first() -> None:
    cost = dataclasses.replace(FRONT[0].cost, sram_bytes=1000, flash_bytes=1000, instructions=1000)
    budget = budget_for(BOARD, 900, 500, 999)
    assert budget.violations(cost) == [
        Violation("flash", 1000, 500),
        Violation("sram", 1000, 900),
        Violation("instructions", 1000, 999),
    ]
    assert [round(v.excess, 3) for v in budget.violations(cost)] == [1.0, 0.111, 0.001]
    assert budget_for(BOARD, 1000, 1000, 1000).violations(cost) == []  # as much as is allowed is allowed
    assert Violation("sram", 1, 0).excess == float("inf")


@pytest.mark.parametrize("board", {core_of(profile): profile.id for profile in all_profiles()}.values())
def test_no_subnet_is_cheaper_than_the_smallest(board: str) -> None:
    """What makes the smallest subnet the answer to whether anything fits."""
    for space, subnets in (
        (TINY, SUBNETS[::11]),
        (FASHION_MNIST, FASHION_MNIST.sample_balanced(np.random.default_rng(0), 30)),
    ):
        pool = CandidatePool(predictor_of(space), budget_for(load_profile(board)))
        least = pool(space.smallest).cost
        for subnet in subnets:
            cost = pool(subnet).cost
            assert cost.sram_bytes >= least.sram_bytes
            assert cost.flash_bytes >= least.flash_bytes - 512  # fewer functions may serve a larger network
            assert cost.instructions >= least.instructions and cost.macs >= least.macs


def test_a_life_of_a_battery_bounds_the_time() -> None:
    """Against the battery's own sums: with the bound it lasts exactly that long."""
    board = load_profile("stm32l4r5")
    asked = lifetime_for(board, "cr2032", "6months", "10s", 2.0, None)
    assert asked is not None and asked.duty.supply_v == board.supply_v
    budget = budget_for(board, lifetime=asked)
    assert life(asked.cell, asked.duty, budget.bounds["ms"]).days == pytest.approx(182.5)
    assert asked.to_json(budget.bounds["ms"])["days"] == pytest.approx(182.5)
    assert budget_for(board, max_ms=0.001, lifetime=asked).bounds["ms"] == 0.001  # the tighter of both
    with pytest.raises(InfeasibleError, match="no inference at all"):
        budget_for(board, lifetime=lifetime_for(board, "cr2032", "20years", "10s", 5.0, None))
    assert lifetime_for(board, None, None, None, None, 30.0) is None
    with pytest.raises(UsageError, match="needs --every and --sleep-ua, too"):
        lifetime_for(board, "cr2032", "1y", None, None, None)
    own = lifetime_for(load_profile("stm32u585"), "cr2032", "6months", "10s", None, None)
    assert own is not None and own.duty.sleep_ua == 8.95 and own.sleep_basis.startswith("the chip alone")
    with pytest.raises(UsageError, match="give --power-mw"):
        lifetime_for(load_profile("stm32f746"), "cr2032", "1y", "10s", 5.0, None)

"""Battery life: against sums done by hand, there and back again, and words for what cannot be."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_mcu.errors import InfeasibleError, UsageError
from ofa_mcu.planning.battery import (
    CELLS,
    Duty,
    cell_named,
    duration,
    inferences_per_day,
    life,
    most_milliseconds,
)

COIN = CELLS["cr2032"]
DUTY = Duty(active_mw=30.0, sleep_ua=2.0, supply_v=3.0, period_s=10.0)


def test_life_is_capacity_over_mean_current() -> None:
    """10 mA for 20 ms in 10 s are 20 uA; 2 uA asleep for the rest; the cell leaks 2.25 mAh a year, 0.2568 uA."""
    found = life(COIN, DUTY, 20.0)
    assert found.mean_ma == pytest.approx(0.02 + 0.002 * 0.998)
    assert found.days == pytest.approx(225 / (0.021996 + 2.25 / 8760) / 24)
    assert found.warning is None


def test_without_sleep_and_leak_only_inferences_count() -> None:
    cell = cell_named("1000mAh@3V")
    assert (cell.capacity_mah, cell.volts, cell.leak_ma) == (1000.0, 3.0, 0.0)
    duty = dataclasses.replace(DUTY, sleep_ua=0.0, period_s=1.0)
    assert life(cell, duty, 1000.0).days == pytest.approx(1000 / 10 / 24)  # always awake
    with pytest.raises(UsageError, match="an inference takes 1001 ms and the next one is due after 1 s"):
        life(cell, duty, 1001.0)


@given(
    st.sampled_from(sorted(CELLS)),
    st.floats(1, 500),
    st.floats(0, 50),
    st.floats(0.1, 86_400),
    st.floats(1, 3000),
)
def test_the_longest_inference_is_the_one_with_which_it_lasts_that_long(
    name: str, active_mw: float, sleep_ua: float, period_s: float, days: float
) -> None:
    duty = Duty(active_mw, sleep_ua, 3.0, period_s)
    try:
        longest = most_milliseconds(CELLS[name], duty, days)
    except InfeasibleError as error:
        best = error.details["budget"]
        assert isinstance(best, float) and best < days * (1 + 1e-9)
        assert life(CELLS[name], duty, 0.0).days == pytest.approx(best)
        return
    lasts = life(CELLS[name], duty, longest).days
    assert lasts == pytest.approx(days) or (longest == period_s * 1e3 and lasts > days)


def test_what_no_network_can_reach_is_said() -> None:
    with pytest.raises(InfeasibleError, match=r"cr2032 lasts 4154 days .* and 7300 are asked for") as caught:
        most_milliseconds(COIN, DUTY, 20 * 365)
    details = caught.value.details
    assert caught.value.exit_code == 3 and details["constraint"] == "battery"
    violation = {name: details[name] for name in ("constraint", "needed", "budget", "region")}
    assert violation["needed"] == 7300 and violation["region"] is None
    assert details == {"code": "infeasible", **violation, "violations": [violation], "nearest": None}


def test_harvested_power_pays_for_sleep_first() -> None:
    assert inferences_per_day(6.0, DUTY, 20.0) == 0.0  # 6 uW are the 2 uA of sleep
    assert inferences_per_day(36.0, DUTY, 20.0) == pytest.approx(0.010 * 86_400_000 / (9.998 * 20.0))
    assert inferences_per_day(1e9, DUTY, 20.0) == pytest.approx(86_400_000 / 20.0)  # all day long


def test_warnings() -> None:
    bright = dataclasses.replace(DUTY, active_mw=90.0)
    assert "draws 30 mA while it computes and cr2032 gives 15 mA" in str(life(COIN, bright, 1.0).warning)
    assert "put cells in series (2xaa)" in str(life(CELLS["aa"], DUTY, 1.0).warning)
    assert life(cell_named("2xaa"), DUTY, 1.0).warning is None


@pytest.mark.parametrize(
    ("text", "capacity", "volts"),
    [("CR2032", 225, 3.0), ("2xaa", 2800, 3.0), ("lipo:500mAh", 500, 3.7), ("2x500mAh@1.2V", 500, 2.4)],
)
def test_cells_by_name(text: str, capacity: float, volts: float) -> None:
    cell = cell_named(text)
    assert (cell.capacity_mah, cell.volts, cell.name) == (capacity, volts, text.lower())


@pytest.mark.parametrize("text", ["", "d", "0xaa", "lipo:0mAh", "500mAh", "500mAh@0V", "aa:many"])
def test_other_cells_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="there is no battery .*known: cr2032"):
        cell_named(text)


@pytest.mark.parametrize(
    "text", ["1001xaa", f"{400 * '9'}xaa", f"{5000 * '9'}xaa", f"lipo:{400 * '9'}mAh", "500mAh@1001V", "1000001mAh@3V"]
)
def test_batteries_that_nobody_has_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is beyond 1000 cells of 1,000,000 mAh and 1000 V; give") as caught:
        cell_named(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("text", ["1001y", f"{400 * '9'}s"])
def test_periods_that_nobody_sees_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--every .* is longer than 1000 years; give a shorter one"):
        duration("--every", text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("500 ms", 0.5), ("5min", 300), ("2 h", 7200), ("6 months", 182.5 * 86_400), ("1y", 365 * 86_400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration("--every", text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "0s", "-1s", "1e999s", "10 parsecs", "nan s"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--every .* is no duration; write for example 10s"):
        duration("--every", text)

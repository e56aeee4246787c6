"""How long a battery lasts that runs an inference every so often, and what an inference may take for it to last.

    mean current = (inference charge + sleep current * (period - inference time)) / period
    life         = capacity / (mean current + self-discharge)

Charge counts, not energy: a board behind a linear regulator, or straight on its cell, draws its own current at any
voltage of the cell. Capacities are the makers' at small loads and 20 degrees Celsius; cold and pulses take from them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from ofa_mcu.errors import InfeasibleError, UsageError
from ofa_mcu.profiles.profile import BoardProfile

__all__ = [
    "CELLS",
    "Cell",
    "Duty",
    "Life",
    "SleepCurrent",
    "cell_named",
    "duration",
    "inferences_per_day",
    "life",
    "most_milliseconds",
    "sleep_current",
]

_HOURS_PER_DAY, _DAYS_PER_YEAR, _MS_PER_HOUR = 24.0, 365.0, 3.6e6
_MOST_CELLS, _MOST_MAH, _MOST_VOLTS, _MOST_YEARS = 1000, 1_000_000, 1000, 1000
"""What no board has."""
_SECONDS = {
    "ms": 1e-3,
    "s": 1.0,
    "sec": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "day": 86_400.0,
    "week": 604_800.0,
    "month": _DAYS_PER_YEAR / 12 * 86_400,
    "y": _DAYS_PER_YEAR * 86_400,
    "year": _DAYS_PER_YEAR * 86_400,
}


@dataclass(frozen=True)
class Cell:
    """A battery: capacity in mAh, nominal volts, the share (0..1) it loses by itself in a year, and the current in mA
    that it gives in pulses (None: not known); `source` says where the figures come from."""

    name: str
    capacity_mah: float
    volts: float
    loss_per_year: float
    most_ma: float | None
    source: str

    @property
    def leak_ma(self) -> float:
        """Self-discharge as a current."""
        return self.capacity_mah * self.loss_per_year / (_DAYS_PER_YEAR * _HOURS_PER_DAY)


CELLS = {
    cell.name: cell
    for cell in (
        Cell("cr2032", 225, 3.0, 0.01, 15, "IEC 60086 type CR2032: 225 mAh to 2.0 V at 0.2 mA, pulses of 15 mA"),
        Cell("cr123a", 1550, 3.0, 0.01, 1500, "Panasonic CR123A, nominal to 2.0 V"),
        Cell("aa", 2800, 1.5, 0.03, 1000, "Energizer E91 (alkaline), at 25 mA to 0.8 V"),
        Cell("l91", 3000, 1.5, 0.01, 2000, "Energizer L91 (lithium AA)"),
        Cell("lipo", 1000, 3.7, 0.3, 1000, "lithium polymer, a thousand mAh unless told otherwise; 1 C, 2.5 % a month"),
    )
}
"""Cells by name."""


@dataclass(frozen=True)
class Duty:
    """What a board does: active power in mW, sleep current in uA, supply in volts, seconds between the starts of two
    inferences."""

    active_mw: float
    sleep_ua: float
    supply_v: float
    period_s: float

    @property
    def active_ma(self) -> float:
        """Current while it computes."""
        return self.active_mw / self.supply_v

    def mean_ma(self, inference_ms: float) -> float:
        """Mean current with inferences of that length; UsageError where they are longer than the period."""
        share = inference_ms / 1e3 / self.period_s
        if share > 1:
            raise UsageError(
                f"an inference takes {inference_ms:.4g} ms and the next one is due after {self.period_s:g} s; give a "
                "longer --every"
            )
        return self.active_ma * share + self.sleep_ua / 1e3 * (1 - share)


@dataclass(frozen=True)
class SleepCurrent:
    """Microamperes between inferences, and where the figure comes from."""

    ua: float
    basis: str


def sleep_current(profile: BoardProfile | None, sleep_ua: float | None) -> SleepCurrent | None:
    """What is given, else the profile's, which is the chip's alone; None where neither tells."""
    if sleep_ua is not None:
        return SleepCurrent(sleep_ua, "as given")
    if profile is None or profile.sleep_ua is None:
        return None
    source = profile.sources.get("sleep_ua", "the profile")
    return SleepCurrent(profile.sleep_ua, f"the chip alone, a board draws more ({source})")


@dataclass(frozen=True)
class Life:
    """Days that a cell lasts, the mean current in mA without self-discharge, a warning where it gives too little."""

    days: float
    mean_ma: float
    warning: str | None


def life(cell: Cell, duty: Duty, inference_ms: float) -> Life:
    """How long the cell lasts.

    Raises:
        UsageError: an inference is longer than the period.
    """
    mean = duty.mean_ma(inference_ms)
    days = cell.capacity_mah / (mean + cell.leak_ma) / _HOURS_PER_DAY
    return Life(days, mean, _warning(cell, duty))


def _warning(cell: Cell, duty: Duty) -> str | None:
    if cell.volts < duty.supply_v:
        return (
            f"{cell.name} has {cell.volts:g} V and the board takes {duty.supply_v:g} V: put cells in series "
            f"(2x{cell.name}) or count with a converter"
        )
    if cell.most_ma is not None and duty.active_ma > cell.most_ma:
        return (
            f"the board draws {duty.active_ma:.3g} mA while it computes and {cell.name} gives {cell.most_ma:g} mA: "
            "without a capacitor for the pulses it will not last that long"
        )
    return None


def most_milliseconds(cell: Cell, duty: Duty, days: float) -> float:
    """The longest inference with which the cell lasts so many days.

    Raises:
        InfeasibleError: it does not last even without any inference.
    """
    allowed = cell.capacity_mah / (days * _HOURS_PER_DAY) - cell.leak_ma
    asleep = duty.sleep_ua / 1e3
    if allowed <= asleep:
        best = cell.capacity_mah / (asleep + cell.leak_ma) / _HOURS_PER_DAY if asleep + cell.leak_ma else math.inf
        broken = {"constraint": "battery", "needed": days, "budget": best, "region": None}
        raise InfeasibleError(
            f"{cell.name} lasts {best:.4g} days with a sleep current of {duty.sleep_ua:g} uA and no inference at all, "
            f"and {days:.4g} are asked for; take a larger cell, or less sleep current",
            {"code": "infeasible", **broken, "violations": [broken], "nearest": None},
        )
    if allowed >= duty.active_ma:
        return duty.period_s * 1e3
    return (allowed - asleep) / (duty.active_ma - asleep) * duty.period_s * 1e3


def inferences_per_day(harvest_uw: float, duty: Duty, inference_ms: float) -> float:
    """Inferences that so many microwatts, day and night, pay for: 0 where they do not even pay for sleep.

    The period of `duty` does not count; no more than fit into a day.
    """
    income_ma = harvest_uw / 1e3 / duty.supply_v
    asleep = duty.sleep_ua / 1e3
    spare = income_ma - asleep
    day_ms = _HOURS_PER_DAY * _MS_PER_HOUR
    if spare <= 0:
        return 0.0
    most = day_ms / inference_ms
    extra = duty.active_ma - asleep
    return most if extra <= 0 else min(most, spare * day_ms / (extra * inference_ms))


def cell_named(text: str) -> Cell:
    """`cr2032`; `2xaa`, two in series; `lipo:500mAh`; `500mAh@3.7V`.

    Raises:
        UsageError: there is no such cell, or there are more than a thousand, or of more than can be.
    """
    found = re.fullmatch(
        r"(?:(\d+)x)?(?:(\w+?)(?::(\d+(?:\.\d+)?)mah)?|(\d+(?:\.\d+)?)mah@(\d+(?:\.\d+)?)v)", text.lower()
    )
    series = float(found[1] or 1) if found else 1.0
    capacity = float(found[3] or found[4] or 1) if found else 0.0
    volts = float(found[5] or 1) if found else 0.0
    if found and series > 0 and capacity > 0 and volts > 0:
        if series > _MOST_CELLS or capacity > _MOST_MAH or volts > _MOST_VOLTS:
            raise UsageError(
                f"the battery '{_short(text)}' is beyond {_MOST_CELLS} cells of {_MOST_MAH:,} mAh and {_MOST_VOLTS} V; "
                "give that of one board"
            )
        if found[4]:
            return Cell(text.lower(), capacity, volts * series, 0.0, None, "as given, without self-discharge")
        known = CELLS.get(found[2] or "")
        if known is not None:
            larger = replace(known, capacity_mah=capacity) if found[3] else known
            return replace(larger, name=text.lower(), volts=known.volts * series)
    raise UsageError(
        f"there is no battery '{_short(text)}'; known: {', '.join(CELLS)}, several in series as 2xaa, others by "
        "capacity as lipo:500mAh or 500mAh@3.7V"
    )


def duration(option: str, text: str) -> float:
    """Seconds of `10s`, `5 min`, `6 months`, `1y`.

    Raises:
        UsageError: the text is no duration, or one of more than a thousand years.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip().lower())
    unit = found[2] if found else ""
    size = _SECONDS.get(unit) or _SECONDS.get(unit.removesuffix("s")) if unit else None
    amount = float(found[1]) * size if found and size else 0.0
    if not amount > 0:
        raise UsageError(f"{option} '{_short(text)}' is no duration; write for example 10s, 5min, 6months or 2y")
    if amount > _MOST_YEARS * _SECONDS["year"]:
        raise UsageError(f"{option} '{_short(text)}' is longer than {_MOST_YEARS} years; give a shorter one")
    return amount


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."

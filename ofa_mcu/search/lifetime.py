"""A life of a battery as a bound on the time of an inference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ofa_mcu.errors import UsageError
from ofa_mcu.planning.battery import Cell, Duty, cell_named, duration, life, most_milliseconds, sleep_current
from ofa_mcu.planning.cost import active_power
from ofa_mcu.profiles.profile import BoardProfile

__all__ = ["Lifetime", "lifetime_for"]

_SECONDS_PER_DAY = 86_400.0


@dataclass(frozen=True)
class Lifetime:
    """So many days that a cell is to last with the duty of a board; `sleep_basis` says whose sleep current that is."""

    cell: Cell
    duty: Duty
    days: float
    sleep_basis: str = "as given"

    @property
    def most_ms(self) -> float:
        """Milliseconds that an inference may take; InfeasibleError where the cell does not last even without any."""
        return most_milliseconds(self.cell, self.duty, self.days)

    def to_json(self, estimated_ms: float | None) -> dict[str, Any]:
        """What a report says of a pick whose inference takes `estimated_ms`."""
        found = None if estimated_ms is None else life(self.cell, self.duty, estimated_ms)
        return {
            "battery": self.cell.name,
            "every_s": self.duty.period_s,
            "sleep_ua": self.duty.sleep_ua,
            "sleep_basis": self.sleep_basis,
            "days_asked": round(self.days, 3),
            "days": None if found is None else round(found.days, 3),
            "warning": None if found is None else found.warning,
        }


def lifetime_for(
    profile: BoardProfile,
    battery: str | None,
    lives: str | None,
    every: str | None,
    sleep_ua: float | None,
    power_mw: float | None,
) -> Lifetime | None:
    """What the options `--battery`, `--lives`, `--every` and `--sleep-ua` ask; None where they ask nothing.

    The sleep current is the profile's where none is given. Without a supply of the profile's own the board is taken to
    run at the cell's voltage.

    Raises:
        UsageError: some of them are missing, or one says nothing that can be; or nothing tells the board's power.
    """
    if battery is None and lives is None and every is None and sleep_ua is None:
        return None
    sleep = sleep_current(profile, sleep_ua)
    given = {"--battery": battery, "--lives": lives, "--every": every, "--sleep-ua": sleep}
    missing = [name for name, value in given.items() if value is None]
    if battery is None or lives is None or every is None or sleep is None:
        raise UsageError(
            f"a life of a battery needs {' and '.join(missing)}, too: "
            "for example --battery cr2032 --every 10s --sleep-ua 5 --lives 6months"
        )
    cell = cell_named(battery)
    days = duration("--lives", lives) / _SECONDS_PER_DAY
    supply = profile.supply_v if power_mw is None else None
    duty = Duty(active_power(profile, power_mw), sleep.ua, supply or cell.volts, duration("--every", every))
    return Lifetime(cell, duty, days, sleep.basis)

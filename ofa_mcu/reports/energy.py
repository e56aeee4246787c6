"""Energy of an inference with its basis, and what it means for batteries and harvested power.

    energy = active power * time of an inference

The time is measured, estimated or given; so is the power. Or both are measured, in a power meter's trace.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ofa_mcu import schemas
from ofa_mcu.devices.power_windows import MeasuredEnergy
from ofa_mcu.devices.trial import fault_of
from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.planning.battery import Cell, Duty, inferences_per_day, life, sleep_current
from ofa_mcu.planning.cost import milliseconds_each
from ofa_mcu.profiles import BoardProfile
from ofa_mcu.runs import Run

__all__ = ["DEFAULT_CELLS", "Energy", "Quantity", "energy_of", "energy_report", "time_of_run"]

DEFAULT_CELLS = ("cr2032", "cr123a", "2xaa", "2xl91", "lipo")
"""What lives are told of where nobody names a battery."""

_COUNTS = ("model_crc32", "bytes_compared", "differing_bytes", "stack_used", "stack_reserved")
"""What a measurement has to tell to count."""

_MOST_MS = 1e9
"""No inference takes that many."""


@dataclass(frozen=True)
class Quantity:
    """A value and where it comes from; `band` is its relative error where that is known (0.25 is +-25 %)."""

    value: float
    basis: str
    band: float | None = None

    def to_json(self, unit: str) -> dict[str, Any]:
        """`{ms, basis, band}`, with the unit as the value's key."""
        return {unit: self.value, "basis": self.basis, "band": self.band}


@dataclass(frozen=True)
class Energy:
    """One inference: its time in milliseconds, active power in milliwatts, volts of the supply (None: unknown)."""

    ms: Quantity
    mw: Quantity
    supply_v: float | None
    trace: MeasuredEnergy | None = None

    @property
    def mj(self) -> Quantity:
        """Energy of one inference in millijoules."""
        if self.trace is not None:
            return Quantity(self.trace.mj, self.ms.basis)
        # The power's own error is known to nobody; the band is the time's where that is known.
        return Quantity(self.ms.value * self.mw.value / 1e3, f"{self.mw.basis}; {self.ms.basis}", self.ms.band)


def time_of_run(
    run: Run,
    profile: BoardProfile,
    cycles_per_instruction: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Quantity:
    """Time of an inference: what `bench` measured on the board, else the search's estimate.

    A measurement of another board, model or runtime than the run's, or one that failed, does not count; that is said.

    Raises:
        UsageError: nothing was measured, and the profile lacks the basis for an estimate.
    """
    measured = _time_on_board(run, profile.id, say)
    if measured is not None:
        return measured
    pick = run.report()["pick"]
    if cycles_per_instruction is None:
        estimate = (pick.get("estimates") or {}).get("ms")
        if estimate is not None:
            return Quantity(estimate["value"], f"estimated: {estimate['basis']}", estimate["band"])
        if profile.cycles_per_instruction is None:
            raise UsageError(
                f"no inference of {run.folder} was timed on a board, and the profile of {profile.id} has no "
                "cycles_per_instruction to estimate from: give --ms or --cycles-per-instruction"
            )
    if pick["instructions"] is None:
        raise UsageError(f"how many instructions the network of {run.folder} takes is not known: give --ms")
    each, cycles = milliseconds_each(profile, cycles_per_instruction), cycles_per_instruction
    basis = "the profile's cycles per instruction" if cycles is None else f"{cycles:g} cycles per instruction as given"
    return Quantity(pick["instructions"] * each, f"estimated: {pick['instructions']:,} instructions, {basis}")


def _time_on_board(run: Run, board: str, say: Callable[[str], None]) -> Quantity | None:
    """What `bench` measured of the run's model on the board; None where there is nothing that counts."""
    files = ["bench.json", "bench-tflm.json"]
    for name in files if run.runtime == "compiled" else reversed(files):
        try:
            bench = run.read(name)
        except OfaMcuError:
            continue
        value = bench.get("milliseconds")
        if isinstance(value, int | float) and 0 < value < _MOST_MS:
            wrong = _why_not(bench, run, board)
            if wrong is None:
                return Quantity(float(value), f"measured on the board: median of {bench.get('runs')} inferences")
            say(f"the time in {run.folder / name} does not count: {wrong}")
    return None


def _why_not(bench: Mapping[str, Any], run: Run, board: str) -> str | None:
    """Why a measurement says nothing of the run's model on that board; None where it does."""
    lacking = [key for key in _COUNTS if not isinstance(bench.get(key), int)]
    if lacking:
        return f"it does not tell {', '.join(lacking)}; measure again with ofa-mcu bench"
    kinds = {
        "board": board,
        "runtime": run.runtime,
        "model_crc32": run.report()["pick"].get("model_crc32"),
    }
    for key, wanted in kinds.items():
        if bench.get(key) != wanted:
            return f"its {key} is {bench.get(key)} and that of this run {wanted}; measure again with ofa-mcu bench"
    return fault_of(bench)


def energy_of(
    profile: BoardProfile | None,
    ms: Quantity | None,
    power_mw: float | None,
    supply_v: float | None,
    trace: MeasuredEnergy | None = None,
) -> Energy:
    """Energy from a trace where there is one, else from time and active power.

    Raises:
        UsageError: neither the profile nor an option gives the power, or there is no time.
    """
    if trace is not None:
        basis = f"measured: {trace.basis}, mean of {trace.inferences}"
        return Energy(Quantity(trace.ms, basis), Quantity(trace.mw, basis), trace.volts, trace)
    if ms is None:
        raise UsageError("energy needs the time of an inference: give --run, --ms, or --power-csv")
    if power_mw is not None:
        power = Quantity(power_mw, f"{power_mw:g} mW as given")
    elif profile is None:
        raise UsageError("energy needs the active power: give --power-mw, or a board whose profile has it (--board)")
    elif profile.active_power_mw is None:
        raise UsageError(
            f"the profile of board {profile.id} has no active_power_mw, so its energy cannot be estimated: give "
            "--power-mw, or measure with --power-csv"
        )
    else:
        if supply_v is not None and supply_v != profile.supply_v:
            raise UsageError(
                f"the profile's power of board {profile.id} is that at {profile.supply_v} V and not at {supply_v:g} V: "
                "give --power-mw, too"
            )
        words = (profile.power_basis or "").rstrip(".")
        power = Quantity(profile.active_power_mw, f"{profile.active_power_mw:g} mW from the profile: {words}")
    return Energy(ms, power, supply_v or (None if profile is None else profile.supply_v))


def energy_report(
    energy: Energy,
    profile: BoardProfile | None,
    period_s: float,
    sleep_ua: float | None,
    cells: Sequence[Cell],
    harvest_uw: float | None,
) -> dict[str, Any]:
    """What `energy --json` prints: the inference, the life of every cell, inferences that harvested power pays for.

    Raises:
        UsageError: lives or harvest are asked for and sleep current (`sleep_ua`, else the profile's) or volts are
            unknown, or an inference does not end before the next.
    """
    report: dict[str, Any] = {
        "schema": schemas.ENERGY,
        "board": None if profile is None else profile.id,
        "time": energy.ms.to_json("ms"),
        "power": energy.mw.to_json("mw"),
        "energy": energy.mj.to_json("mj"),
        "trace": None if energy.trace is None else _trace(energy.trace),
        "duty": None,
        "batteries": [],
        "harvest": None,
    }
    if not cells and harvest_uw is None:
        return report
    sleep = sleep_current(profile, sleep_ua)
    if sleep is None:
        raise UsageError("batteries and harvested power need the current between inferences: give --sleep-ua")
    if energy.supply_v is None:
        who = "nothing tells" if profile is None else f"the profile of board {profile.id} does not tell"
        raise UsageError(f"{who} the supply's volts (supply_v), which charge is counted with: give --supply-v")
    duty = Duty(energy.mw.value, sleep.ua, energy.supply_v, period_s)
    report["duty"] = {
        "period_s": period_s,
        "sleep_ua": sleep.ua,
        "sleep_basis": sleep.basis,
        "supply_v": energy.supply_v,
        "active_ma": duty.active_ma,
        "mean_ma": duty.mean_ma(energy.ms.value),
    }
    report["batteries"] = [_life(cell, duty, energy.ms) for cell in cells]
    if harvest_uw is not None:
        report["harvest"] = {
            "uw": harvest_uw,
            "inferences_per_day": inferences_per_day(harvest_uw, duty, energy.ms.value),
        }
    return report


def _life(cell: Cell, duty: Duty, ms: Quantity) -> dict[str, Any]:
    found = life(cell, duty, ms.value)
    least = most = None
    if ms.band is not None:
        longest = min(ms.value * (1 + ms.band), duty.period_s * 1e3)
        least, most = life(cell, duty, longest).days, life(cell, duty, ms.value * max(1 - ms.band, 0)).days
    return {
        "battery": cell.name,
        "capacity_mah": cell.capacity_mah,
        "volts": cell.volts,
        "days": found.days,
        "days_least": least,
        "days_most": most,
        "warning": found.warning,
        "source": cell.source,
    }


def _trace(trace: MeasuredEnergy) -> dict[str, Any]:
    return {
        "inferences": trace.inferences,
        "mj_least": trace.mj_least,
        "mj_most": trace.mj_most,
        "volts": trace.volts,
        "between_ma": trace.between_ma,
        "notes": list(trace.notes),
    }

"""What every stage cost: wall time, device time, energy, CO2e; one `ledger.json` in each run's folder.

Energy is what counters say (RAPL, NVML), or an estimate that says so. CO2e is energy times the carbon intensity of the
grid, where the environment names it: OFA_MCU_CARBON_INTENSITY in kg/kWh, or OFA_MCU_CARBON_REGION, a country's
three-letter ISO code. Work lost to a kill (since the last checkpoint) is not in it.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.files import write_json

__all__ = [
    "LEDGER_FILE",
    "Entry",
    "Intensity",
    "Stopwatch",
    "Tally",
    "cpu_seconds",
    "intensity_of",
    "read_ledger",
    "record",
    "recorded",
    "total",
]

LEDGER_FILE = "ledger.json"
_POWERCAP = Path("/sys/class/powercap")
_JOULES_PER_KWH = 3.6e6
UNREADABLE = "no counter can be read"


@dataclass(frozen=True)
class Intensity:
    """Carbon intensity of a grid in kg CO2e per kWh, and who says so."""

    kg_per_kwh: float
    source: str


@dataclass(frozen=True)
class Entry:
    """One stage. `device_seconds`: seconds of processor cores, or of GPUs where there are any.

    `kwh` is null where no counter can be read and the stage was too short for an estimate of its own; `parts` are cpu,
    gpu and memory; `basis` says where the figures come from.
    """

    stage: str
    wall_seconds: float
    device_seconds: float
    kwh: float | None
    basis: str
    parts: dict[str, float] = field(default_factory=dict)
    co2e_kg: float | None = None
    intensity: str = "unknown: CO2e not computed"


def intensity_of(region: str | None, kg_per_kwh: float | None) -> Intensity | None:
    """The carbon intensity of a country, or the one given; None where neither is named.

    Raises:
        UsageError: both, or a country that the table does not know.
    """
    if region is not None and kg_per_kwh is not None:
        raise UsageError("--region and --intensity both name a carbon intensity; give one of them")
    if kg_per_kwh is not None:
        return Intensity(kg_per_kwh, "given by the user")
    if region is None:
        return None
    from importlib.resources import files

    path = files("codecarbon") / "data" / "private_infra" / "global_energy_mix.json"
    table = json.loads(path.read_text())
    row = table.get(region.upper())
    if row is None:
        raise UsageError(f"no carbon intensity is known for region '{region}': give a three-letter ISO code (DEU, USA)")
    return Intensity(row["carbon_intensity"] / 1000, f"{row['country_name']}, mean of {row['year']} (CodeCarbon)")


def _from_environment() -> Intensity | None:
    given = os.environ.get("OFA_MCU_CARBON_INTENSITY")
    try:
        return intensity_of(os.environ.get("OFA_MCU_CARBON_REGION"), float(given) if given else None)
    except ValueError as error:
        raise UsageError(f"OFA_MCU_CARBON_INTENSITY is '{given}'; write kg per kWh, 0.38 for example") from error


def read_ledger(folder: Path) -> list[Entry]:
    """The entries of a folder's ledger; none where there is no ledger.

    Raises:
        OfaMcuError: the ledger is damaged.
    """
    path = folder / LEDGER_FILE
    try:
        return [Entry(**entry) for entry in json.loads(path.read_text())["entries"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OfaMcuError(f"{path} is damaged ({error}); move it away to begin a new ledger") from error


def record(folder: Path, entry: Entry, running: bool = False) -> None:
    """Write an entry atomically: behind the others, or (`running`) in place of the one of its stage, which went on."""
    known = _from_environment()
    if known is not None and entry.kwh is not None:
        co2e = round(entry.kwh * known.kg_per_kwh, 9)
        entry = Entry(**{**asdict(entry), "co2e_kg": co2e, "intensity": f"{known.kg_per_kwh:g} kg/kWh, {known.source}"})
    entries = read_ledger(folder)
    if running:
        entries = [old for old in entries if old.stage != entry.stage]
    write_json(folder / LEDGER_FILE, {"entries": [asdict(e) for e in (*entries, entry)]})


def cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def _package_joules() -> dict[Path, tuple[int, int]] | None:
    """Energy counter and its range, in microjoules, of every processor package; None where they cannot be read."""
    try:
        found = {
            path: (int((path / "energy_uj").read_text()), int((path / "max_energy_range_uj").read_text()))
            for path in _POWERCAP.glob("intel-rapl:*")
            if path.name.count(":") == 1
        }
    except (OSError, ValueError):
        return None
    return found or None


class Stopwatch:
    """Wall and processor time, and counted energy, since it was made; `exclude` takes out what others record."""

    def __init__(self) -> None:
        self._began, self._cpu, self._joules = time.monotonic(), cpu_seconds(), _package_joules()
        self._excluded = 0.0, 0.0

    @contextmanager
    def exclude(self) -> Iterator[None]:
        """What runs inside has an entry of its own."""
        began, cpu = time.monotonic(), cpu_seconds()
        yield
        wall, device = self._excluded
        self._excluded = wall + time.monotonic() - began, device + cpu_seconds() - cpu

    def entry(self, stage: str) -> Entry:
        """The entry of the stage so far."""
        wall, device = time.monotonic() - self._began, cpu_seconds() - self._cpu
        kwh = self._counted()
        net = wall - self._excluded[0]
        if kwh is not None:
            kwh = round(kwh * net / max(wall, 1e-9), 9)
        basis = "CPU: RAPL; memory not counted" if kwh is not None else UNREADABLE
        parts = {"cpu": kwh} if kwh is not None else {}
        return Entry(stage, round(net, 3), round(max(device - self._excluded[1], 0.0), 3), kwh, basis, parts)

    def _counted(self) -> float | None:
        after = _package_joules()
        if self._joules is None or after is None or self._joules.keys() != after.keys():
            return None
        microjoules = 0
        for path, (value, span) in after.items():
            before = self._joules[path][0]
            microjoules += value - before if value >= before else value - before + span
        return microjoules / 1e6 / _JOULES_PER_KWH


class Tally(Stopwatch):
    """Of a stage that others work on: the seconds that they took, and this thread's own; energy is not counted."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = time.thread_time()
        self._others = 0.0, 0.0

    def add(self, wall: float, device: float) -> None:
        """Seconds that a task took another process: on the clock, and of processors."""
        self._others = self._others[0] + wall, self._others[1] + device

    def entry(self, stage: str) -> Entry:
        """The entry of the stage so far."""
        own = time.thread_time() - self._thread
        wall, device = (round(own + others, 3) for others in self._others)
        return Entry(stage, wall, device, None, "worked on by a cluster: energy not counted")


@contextmanager
def recorded(folder: Path, stage: str, watch: Stopwatch | None = None) -> Iterator[Stopwatch]:
    """Run a stage and write down what it cost (by `watch`, else by a clock of its own), if it succeeds."""
    watch = watch or Stopwatch()
    yield watch
    record(folder, watch.entry(stage))


def total(entries: list[Entry], stages: set[str]) -> dict[str, Any]:
    """Sums over the entries of some stages: wall and device seconds, kWh, and the seconds that no meter saw."""
    chosen = [entry for entry in entries if entry.stage in stages]
    return {
        "wall_seconds": sum(e.wall_seconds for e in chosen),
        "device_seconds": sum(e.device_seconds for e in chosen),
        "kwh": sum(e.kwh for e in chosen if e.kwh is not None),
        "unmetered_seconds": sum(e.wall_seconds for e in chosen if e.kwh is None),
        "entries": len(chosen),
    }

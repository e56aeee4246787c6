"""How long batteries last with the shipped supernets' picks, on the boards whose active power is known.

    python -m benchmarks.battery

Each supernet is searched for the boards (`ofa-mcu fleet`). The time of an inference is the search's estimate with its
band, the power the profile's with its basis, and sleep takes 5 uA. Prints lives, and writes
benchmarks/results/battery.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ofa_mcu.files import write_json
from ofa_mcu.planning.battery import cell_named
from ofa_mcu.profiles import all_profiles
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.reports.energy import DEFAULT_CELLS, energy_of, energy_report, time_of_run
from ofa_mcu.runs import Run
from ofa_mcu.space.presets import SPACES

RESULTS = Path(__file__).parent / "results" / "battery.json"
SLEEP_UA = 5.0
PERIODS_S = (1.0, 10.0, 600.0)


def known_boards() -> list[BoardProfile]:
    """Boards whose profile has what a life is computed from: power, volts, and a basis for time."""
    return [
        profile
        for profile in all_profiles()
        if None not in (profile.active_power_mw, profile.supply_v, profile.cycles_per_instruction)
    ]


def lives(run: Run, task: str, profile: BoardProfile) -> dict[str, Any]:
    """A pick, its energy, and the life of every cell at every period."""
    found = energy_of(profile, time_of_run(run, profile), None, None)
    cells = [cell_named(name) for name in DEFAULT_CELLS]
    pick = run.report()["pick"]
    return {
        "board": profile.id,
        "task": task,
        "subnet": pick["subnet"],
        "accuracy_int8": pick["accuracy_int8"],
        "time": found.ms.to_json("ms"),
        "energy": found.mj.to_json("mj"),
        "periods": [
            {
                "seconds": seconds,
                "batteries": energy_report(found, profile, seconds, SLEEP_UA, cells, None)["batteries"],
            }
            for seconds in PERIODS_S
        ],
    }


def main() -> None:
    """Search, compute, print and store."""
    boards, rows = known_boards(), []
    for task in SPACES:
        with tempfile.TemporaryDirectory() as folder:
            names = ",".join(profile.id for profile in boards)
            command = [sys.executable, "-m", "ofa_mcu", "fleet", "--boards", names, "--task", task, "--json"]
            done = subprocess.run([*command, "--out", folder], stdout=subprocess.PIPE, text=True, check=True)
            there = {row["board"]: row["run"] for row in json.loads(done.stdout)["boards"] if row["feasible"]}
            rows += [lives(Run(Path(there[p.id])), task, p) for p in boards if p.id in there]
    power = [{"board": p.id, "mw": p.active_power_mw, "supply_v": p.supply_v, "basis": p.power_basis} for p in boards]
    write_json(RESULTS, {"sleep_ua": SLEEP_UA, "power": power, "rows": rows})
    for row in rows:
        print(f"{row['board']} {row['task']} {row['subnet']}: {row['time']['ms']:.3g} ms, {row['energy']['mj']:.3g} mJ")
        for period in row["periods"]:
            told = ", ".join(f"{each['battery']} {each['days']:.3g} days" for each in period["batteries"])
            print(f"  every {period['seconds']:g} s: {told}", flush=True)


if __name__ == "__main__":
    main()

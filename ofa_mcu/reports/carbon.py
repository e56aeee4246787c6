"""The account of a supernet: what N boards cost, against training for each of them.

    C_ofa(N)   = C_space + C_supernet + C_predictor + N (C_search + C_finetune + C_quantize + C_build + C_measure)
    C_naive(N) = N (C_train + C_quantize + C_build + C_measure)
    N*         = the least N at which C_ofa(N) < C_naive(N)

A stage too short for a meter of its own (no readable counter) is counted with the mean power of CPU and memory while
the networks were trained, which is full load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_mcu.errors import UsageError
from ofa_mcu.ledger import LEDGER_FILE, Entry, Intensity, read_ledger, total

__all__ = ["Account", "Sums", "account", "break_even", "read_sums"]

_FIXED = {"space", "start", "supernet", "predictor"}
_SPECIALISE = {"search", "finetune", "qat", "quantize"}
_DEPLOY = {"build", "measure"}
_TRAIN = {"plain", "dense", "slim", "quantize"}
COUNTS = (1, 40, 1000)


@dataclass(frozen=True)
class Sums:
    """kWh of the parts; None: no such run was named. `boards` is over how many runs `per_board` is the mean."""

    fixed: float | None
    per_board: float | None
    deploy: float
    boards: int
    scratch: float | None
    early_bird: float | None
    unmetered_seconds: float
    mean_watts: float | None
    bases: tuple[str, ...]


def _ledgers(folder: Path) -> list[Entry]:
    """Entries of every ledger in a run's folder and below it."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of a run; name folders that train or search wrote")
    found = [entry for path in sorted(folder.rglob(LEDGER_FILE)) for entry in read_ledger(path.parent)]
    if not found:
        raise UsageError(f"{folder} holds no {LEDGER_FILE}; it was written by an older version, or by no run at all")
    return found


def _kind(entries: list[Entry]) -> str:
    stages = {entry.stage for entry in entries}
    for kind, mark in (("supernet", "supernet"), ("search", "search"), ("early_bird", "slim"), ("scratch", "plain")):
        if mark in stages:
            return kind
    return "other"


def read_sums(folders: Sequence[Path]) -> Sums:
    """What the ledgers in `folders` add up to: one supernet's, and any number of searches' and lone networks'.

    Raises:
        UsageError: a folder holds no ledger, or there are two supernets.
    """
    runs = [(folder, _ledgers(folder)) for folder in folders]
    by_kind: dict[str, list[list[Entry]]] = {}
    for folder, entries in runs:
        kind = _kind(entries)
        if kind == "other":
            raise UsageError(f"the ledger of {folder} is of no finished training or search; finish that run first")
        by_kind.setdefault(kind, []).append(entries)
    if len(by_kind.get("supernet", [])) > 1:
        raise UsageError("two of the folders hold a supernet; an account is of one")
    trained = [e for _, entries in runs for e in entries if e.kwh is not None and e.parts and e.wall_seconds > 0]
    seconds = sum(e.wall_seconds for e in trained)
    joules = sum(e.parts.get("cpu", 0.0) + e.parts.get("memory", 0.0) for e in trained) * 3.6e6
    watts = joules / seconds if seconds else None

    def kwh(entries: list[Entry], stages: set[str]) -> float:
        sums = total(entries, stages)
        return float(sums["kwh"] + sums["unmetered_seconds"] * (watts or 0.0) / 3.6e6)

    def mean(kind: str, stages: set[str]) -> float | None:
        found = by_kind.get(kind, [])
        return sum(kwh(entries, stages) for entries in found) / len(found) if found else None

    unmetered = sum(e.wall_seconds for _, entries in runs for e in entries if e.kwh is None)
    return Sums(
        mean("supernet", _FIXED),
        mean("search", _SPECIALISE),
        mean("search", _DEPLOY) or 0.0,
        len(by_kind.get("search", [])),
        mean("scratch", _TRAIN),
        mean("early_bird", _TRAIN),
        unmetered,
        watts,
        tuple(sorted({e.basis for _, entries in runs for e in entries if e.kwh is not None})),
    )


def break_even(fixed: float, per_board: float, naive: float) -> int | None:
    """Least number of boards for which the supernet costs less; None where it never does."""
    if naive <= per_board:
        return None
    return math.floor(fixed / (naive - per_board)) + 1


@dataclass(frozen=True)
class Account:
    """Costs by number of boards, and the numbers at which the supernet begins to pay."""

    sums: Sums
    intensity: Intensity | None
    rows: tuple[dict[str, Any], ...]
    break_even: dict[str, int | None]

    def at_one(self) -> str:
        """What is true for a single board, in a sentence."""
        row = self.rows[0]
        rivals = {"scratch": "training the same network from scratch", "early_bird": "an early-bird ticket"}
        words = []
        for rival, name in rivals.items():
            if row[rival] is not None and row["supernet"] is not None:
                verdict = "loses to" if row["supernet"] > row[rival] else "wins against"
                words.append(f"{verdict} {name} ({row['supernet']:.5f} against {row[rival]:.5f} kWh)")
        if not words:
            return "For one board nothing can be said: no lone network was measured."
        return f"For one board the supernet {' and '.join(words)}."

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready object."""
        s = self.sums
        return {
            "kwh": {
                "fixed": s.fixed,
                "per_board": s.per_board,
                "deploy_per_board": s.deploy,
                "scratch_per_board": s.scratch,
                "early_bird_per_board": s.early_bird,
            },
            "search_runs": s.boards,
            "unmetered_seconds": s.unmetered_seconds,
            "mean_watts": s.mean_watts,
            "bases": list(s.bases),
            "intensity": None
            if self.intensity is None
            else {"kg_per_kwh": self.intensity.kg_per_kwh, "source": self.intensity.source},
            "rows": list(self.rows),
            "break_even": self.break_even,
            "at_one": self.at_one(),
        }


def account(sums: Sums, intensity: Intensity | None) -> Account:
    """The table for 1, break-even, 40 and 1000 boards.

    Raises:
        UsageError: no supernet's ledger is among the sums.
    """
    if sums.fixed is None:
        raise UsageError("none of the folders holds a supernet's ledger; name the folder of ofa-mcu train, too")
    fixed, per_board = sums.fixed, (sums.per_board or 0.0) + sums.deploy
    naive = {
        name: None if train is None else train + sums.deploy
        for name, train in (("scratch", sums.scratch), ("early_bird", sums.early_bird))
    }
    found = {name: None if cost is None else break_even(fixed, per_board, cost) for name, cost in naive.items()}
    counts = sorted({*COUNTS, *(n for n in found.values() if n is not None)})
    rows = []
    for count in counts:
        costs = {"supernet": fixed + count * per_board} | {
            name: None if cost is None else count * cost for name, cost in naive.items()
        }
        kg = {
            f"{name}_kg": None if intensity is None or cost is None else cost * intensity.kg_per_kwh
            for name, cost in costs.items()
        }
        rows.append({"boards": count, **costs, **kg})
    return Account(sums, intensity, tuple(rows), found)

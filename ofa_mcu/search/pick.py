"""Which subnets are worth a real evaluation, and which of the evaluated ones is recommended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ofa_mcu.search.candidates import Candidate

__all__ = ["Measured", "Objective", "choose", "shortlist"]

TIE = 0.002  # accuracies closer than this (0.2 point) count as equal
SHORTLIST = 4


class Objective(Enum):
    """What a search is for."""

    ACCURACY = "accuracy"
    INSTRUCTIONS = "instructions"
    SRAM = "sram"
    FLASH = "flash"

    def cost_of(self, candidate: Candidate) -> float:
        """What is to be small; accuracy breaks ties by instructions."""
        match self:
            case Objective.SRAM:
                return candidate.cost.sram_bytes
            case Objective.FLASH:
                return candidate.cost.flash_bytes
            case _:
                return candidate.cost.instructions


@dataclass(frozen=True)
class Measured:
    """A candidate and what it reached on validation images, int8 (0..1)."""

    candidate: Candidate
    accuracy: float


def _tolerance(objective: Objective, give: float) -> float:
    return TIE if objective is Objective.ACCURACY else give


def shortlist(front: Sequence[Candidate], objective: Objective, give: float, count: int = SHORTLIST) -> list[Candidate]:
    """Fitting subnets worth evaluating: the most accurate by prediction, and the cheapest within reach of it.

    Args:
        front: candidates, all of which fit.
        objective: what the search is for.
        give: accuracy (0..1) the user gives up for an objective other than accuracy.
        count: how many at most.
    """
    best = max(c.accuracy for c in front)
    reach = [c for c in front if c.accuracy >= best - _tolerance(objective, give)]
    by_cost = sorted(reach, key=lambda c: (objective.cost_of(c), str(c.subnet)))
    by_accuracy = sorted(front, key=lambda c: (-c.accuracy, str(c.subnet)))
    picked: dict[Candidate, None] = {}
    for cheap, good in zip(by_cost, by_accuracy, strict=False):
        picked |= {good: None, cheap: None}
    picked |= dict.fromkeys(by_accuracy)
    return list(picked)[:count]


def choose(measured: Sequence[Measured], objective: Objective, give: float) -> Measured:
    """The most accurate as measured; among those within reach of it, the cheapest.

    With the default objective "within reach" is 0.2 point and "cheapest" is fewest instructions.
    """
    best = max(m.accuracy for m in measured)
    reach = [m for m in measured if m.accuracy >= best - _tolerance(objective, give)]
    return min(reach, key=lambda m: (objective.cost_of(m.candidate), str(m.candidate.subnet)))

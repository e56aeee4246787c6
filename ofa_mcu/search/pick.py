"""Which subnets are worth a real evaluation, and which of the evaluated ones is recommended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from ofa_mcu.search.candidates import Candidate
from ofa_mcu.search.predictor import Quality

__all__ = ["Measured", "Objective", "choose", "next_to_measure", "shortlist"]

TIE = 0.002  # accuracies closer than this (0.2 point) count as equal
SHORTLIST = 3
UNPREDICTED = 24
"""Subnets measured for accuracy where prediction cannot be relied on."""

_AT_ONCE = 2
_MOST = 12  # subnets measured for an objective other than accuracy


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


def shortlist(front: Sequence[Candidate], count: int = SHORTLIST) -> list[Candidate]:
    """Fitting subnets worth measuring for accuracy: the most accurate by prediction, and the cheapest close to it."""
    best = max(c.accuracy for c in front)
    by_cost = sorted((c for c in front if c.accuracy >= best - TIE), key=_by_cost(Objective.ACCURACY))
    by_accuracy = _by_accuracy(front)
    picked: dict[Candidate, None] = {}
    for cheap, good in zip(by_cost, by_accuracy, strict=False):
        picked |= {good: None, cheap: None}
    picked |= dict.fromkeys(by_accuracy)
    return list(picked)[:count]


def next_to_measure(
    front: Sequence[Candidate],
    measured: Sequence[Measured],
    objective: Objective,
    give: float,
    quality: Quality,
    count: int = SHORTLIST,
    likely: Sequence[Candidate] = (),
) -> list[Candidate]:
    """What to measure next, given what was measured; nothing once the choice is settled.

    For accuracy that is one shortlist, a long one where prediction ranks no better than size, and what is likely to be
    as good, whether or not prediction says that another beats it, until there are `count`. For another objective
    the two most accurate by prediction come first; then, from the cheapest up, those that prediction (give or take its
    margin) lets hope for, until one is accurate enough.

    Args:
        front: candidates, all of which fit.
        measured: those measured so far.
        objective: what the search is for.
        give: accuracy (0..1) the user gives up for an objective other than accuracy.
        quality: of the prediction.
        count: how many may be measured for accuracy; for another objective, where that is more than twelve.
        likely: other candidates, all of which fit.
    """
    if not measured:
        if objective is not Objective.ACCURACY:
            return _by_accuracy(front)[:_AT_ONCE]
        first = shortlist(front, SHORTLIST if quality.clear else UNPREDICTED)
        return list(dict.fromkeys([*first, *_by_accuracy([*front, *likely])]))[: max(count, len(first))]
    if objective is Objective.ACCURACY or len(measured) >= max(_MOST, count):
        return []
    floor = max(m.accuracy for m in measured) - give
    good = [m.candidate for m in measured if m.accuracy >= floor]
    ceiling = min(objective.cost_of(c) for c in good)
    known = {m.candidate for m in measured}
    hopeful = max(c.accuracy for c in front) - give - quality.margin
    open_ones = [c for c in front if c not in known and c.accuracy >= hopeful and objective.cost_of(c) < ceiling]
    return sorted(open_ones, key=_by_cost(objective))[:_AT_ONCE]


def _by_accuracy(front: Sequence[Candidate]) -> list[Candidate]:
    return sorted(front, key=lambda c: (-c.accuracy, str(c.subnet)))


def _by_cost(objective: Objective) -> Callable[[Candidate], tuple[float, str]]:
    return lambda c: (objective.cost_of(c), str(c.subnet))


def choose(measured: Sequence[Measured], objective: Objective, give: float) -> Measured:
    """The most accurate as measured; among those within reach of it, the cheapest.

    With the default objective "within reach" is 0.2 point and "cheapest" is fewest instructions.
    """
    best = max(m.accuracy for m in measured)
    reach = [m for m in measured if m.accuracy >= best - _tolerance(objective, give)]
    return min(reach, key=lambda m: (objective.cost_of(m.candidate), str(m.candidate.subnet)))

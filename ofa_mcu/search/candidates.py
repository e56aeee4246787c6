"""Subnets with their costs, and which of them no other beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ofa_mcu.planning.cost import Cost
from ofa_mcu.planning.runtime import shape_cost
from ofa_mcu.search.budget import Budget, Violation
from ofa_mcu.search.predictor import Predictor
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import Subnet

__all__ = ["Candidate", "CandidatePool", "pareto_front"]


@dataclass(frozen=True)
class Candidate:
    """A subnet, its predicted accuracy (0..1), its cost, and the constraints it breaks.

    Without `counted` it is not known how many instructions it takes.
    """

    subnet: Subnet
    accuracy: float
    cost: Cost
    violations: tuple[Violation, ...]
    counted: bool = True

    @property
    def fits(self) -> bool:
        """Whether every constraint holds."""
        return not self.violations

    @property
    def objectives(self) -> tuple[float, float, float, float]:
        """To be minimised: minus accuracy, SRAM, flash, instructions."""
        return (-self.accuracy, self.cost.sram_bytes, self.cost.flash_bytes, self.cost.instructions)


class CandidatePool:
    """Plans each subnet once and remembers it."""

    def __init__(self, predictor: Predictor, budget: Budget) -> None:
        self._predictor, self._budget = predictor, budget
        self._known: dict[Subnet, Candidate] = {}

    @property
    def space(self) -> SearchSpace:
        """The space the candidates come from."""
        return self._predictor.space

    def __call__(self, subnet: Subnet) -> Candidate:
        """The candidate of a subnet."""
        known = self._known.get(subnet)
        if known is None:
            graph = shape_graph(self._predictor.space, subnet)
            cost = shape_cost(graph, self._budget.profile, self._budget.runtime, self._budget.max_sram)
            accuracy = self._predictor.predict(subnet, graph)
            violations = tuple(self._budget.violations(cost))
            known = Candidate(subnet, accuracy, cost, violations, self._budget.counted)
            self._known[subnet] = known
        return known


def pareto_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other equals or beats in every objective, by falling accuracy; of equals the first by text."""
    if not candidates:
        return []
    ordered = sorted(candidates, key=lambda c: (*c.objectives, str(c.subnet)))
    values = np.array([c.objectives for c in ordered])
    front: list[int] = []
    for i in range(len(ordered)):
        kept = values[front]
        if not len(front) or not (kept <= values[i]).all(axis=1).any():
            front.append(i)
    return [ordered[i] for i in front]

"""Every subnet that a search has met: genes, predicted accuracy, costs by table, and what no other beats."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.planning.latency import LatencyModel
from ofa_mcu.planning.runtime import Runtime
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.search.budget import Budget
from ofa_mcu.search.features import Genome
from ofa_mcu.search.predictor import Predictor, as_share
from ofa_mcu.search.tables import Costs, CostTables, PlannedCosts

__all__ = ["Archive", "hypervolume"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Archive:
    """Evaluates each subnet once for a board's core, and remembers it; arrays are in order of evaluation.

    `objectives` (subnets, 4) are to be minimised: minus accuracy, SRAM, flash, instructions. What a budget allows is
    asked afterwards, so that one archive serves all boards of a core. `seconds` is how long the search for them took.
    `ticks` (subnets,) are by the latency model of a board; None without one. `by_table`: costs are looked up, not
    planned. `max_sram`: bytes into which subnets are made to fit where they can be; None: they cost what they cost
    where there is memory enough.
    """

    def __init__(
        self,
        predictor: Predictor,
        profile: BoardProfile,
        latency: LatencyModel | None = None,
        runtime: Runtime = Runtime.COMPILED,
        max_sram: float | None = None,
    ) -> None:
        self.genome = Genome.of(predictor.space)
        self._predictor = predictor
        self.by_table = runtime is Runtime.COMPILED
        self.max_sram = max_sram
        self._costs: Callable[[Ints, float | None], Costs] = (
            CostTables(predictor.space, profile, latency=latency)
            if self.by_table
            else PlannedCosts(predictor.space, profile, runtime)
        )
        self._index: dict[bytes, int] = {}
        self.genes: Ints = np.empty((0, len(self.genome.options)), np.int64)
        self.objectives: Floats = np.empty((0, 4))
        self.ticks: Floats | None = None if latency is None else np.empty(0)
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self.genes)

    def evaluate(self, genes: Ints) -> Ints:
        """Numbers (subnets,) in this archive of the subnets of genes (subnets, genes)."""
        genes = np.where(self.genome.effective(genes), genes, 0)
        keys = [row.tobytes() for row in genes.astype(np.uint8)]
        fresh: list[int] = []
        for row, key in enumerate(keys):
            if key not in self._index:
                self._index[key] = len(self.genes) + len(fresh)
                fresh.append(row)
        if fresh:
            self._add(genes[fresh])
        return np.array([self._index[key] for key in keys], np.int64)

    def fitted(self, max_sram: float, numbers: Ints | None = None) -> Archive:
        """The same subnets, or those of some numbers, where there are no more than so many bytes of SRAM."""
        other = copy(self)
        other.max_sram = max_sram
        chosen = slice(None) if numbers is None else numbers
        other.genes, other.objectives = self.genes[chosen], self.objectives[chosen].copy()
        other.ticks = None if self.ticks is None else self.ticks[chosen].copy()
        other._index = {row.tobytes(): number for number, row in enumerate(other.genes.astype(np.uint8))}
        over = np.flatnonzero(other.objectives[:, 1] > max_sram)
        if len(over) and self.by_table:
            costs = self._costs(other.genes[over], max_sram)
            other.objectives[over, 1:] = _costly(costs)
            if other.ticks is not None:
                other.ticks[over] = costs.ticks
        return other

    def _add(self, genes: Ints) -> None:
        costs = self._costs(genes, self.max_sram)
        accuracy = self._predictor.predict_all(genes, costs.macs, costs.parameters)
        objectives = np.concatenate([-accuracy[:, None], _costly(costs)], 1)
        self.genes = np.concatenate([self.genes, genes])
        self.objectives = np.concatenate([self.objectives, objectives])
        if self.ticks is not None:
            self.ticks = np.concatenate([self.ticks, costs.ticks])

    def excess(self, budget: Budget | None) -> Floats:
        """By what share every subnet (subnets,) breaks the bounds, added up; 0 where all hold."""
        result = np.zeros(len(self))
        if budget is None:
            return result
        sram, flash, instructions = self.objectives.T[1:]
        for name, need in budget.needs(sram, flash, instructions, self.ticks).items():
            bound = budget.bounds[name]
            result += np.maximum(need / bound - 1, 0) if bound else np.inf
        return result

    def front(self, budget: Budget | None = None) -> Ints:
        """Numbers of the subnets that fit and that no other fitting one equals or beats in all objectives, by falling
        accuracy."""
        from moocore import is_nondominated

        fitting = np.flatnonzero(self.excess(budget) <= 0)
        if not len(fitting):
            return fitting
        _, first = np.unique(self.objectives[fitting], axis=0, return_index=True)
        fitting = fitting[np.sort(first)]
        best: Ints = fitting[is_nondominated(self.objectives[fitting])]
        return best[np.lexsort((best, self.objectives[best, 0]))]

    def likeliest(self, budget: Budget, count: int) -> Ints:
        """Numbers of the fitting subnets that prediction puts first, so many of them."""
        fitting = np.flatnonzero(self.excess(budget) <= 0)
        best: Ints = fitting[np.argsort(self.objectives[fitting, 0], kind="stable")][:count]
        return best

    def hypervolume(self, budget: Budget) -> float:
        """Share (0..1) of the box between the least and the most of every objective met that the front beats."""
        front = self.front(budget)
        if not len(front):
            return 0.0
        return hypervolume(self.objectives[front], self.objectives.min(0), self.objectives.max(0))

    def to_json(self, budget: Budget) -> dict[str, Any]:
        """Every subnet, a row each under `columns`, JSON-ready; `excess` null where no share can be given."""
        rows = []
        columns = (self.genes.tolist(), self.objectives.tolist(), self.excess(budget).tolist())
        for genes, (minus, *costs), excess in zip(*columns, strict=True):
            over = round(excess, 6) if np.isfinite(excess) else None
            rows.append([str(self.genome.decode(genes)), as_share(-minus), *map(int, costs), over])
        names = ["subnet", "accuracy_predicted", "sram_bytes", "flash_bytes", "instructions", "excess"]
        return {"columns": names, "rows": rows}


def _costly(costs: Costs) -> Floats:
    """SRAM, flash and instructions (subnets, 3)."""
    return np.stack([costs.sram_bytes, costs.flash_bytes, costs.instructions], 1).astype(np.float64)


def hypervolume(front: Floats, least: Floats, most: Floats) -> float:
    """Share (0..1) of the box from `least` to `most` (objectives,) that the front (subnets, objectives) beats."""
    from moocore import hypervolume as volume

    span = np.where(most > least, most - least, 1.0)
    return float(volume((front - least) / span, ref=np.ones(len(span))))

"""NSGA-II (Deb et al. 2002, pymoo's implementation) over the genome of a space, then every neighbour of its front; a
small space is searched whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.search.archive import Archive
from ofa_mcu.search.budget import Budget
from ofa_mcu.search.features import Genome
from ofa_mcu.space.subnet import BlockChoice, Subnet

__all__ = ["evolve", "evolved", "thinned"]

POPULATION = 128
GENERATIONS = 48
MOST = 100_000
"""Subnets after which no more neighbours are tried."""

WHOLE = 20_000
"""Subnets of the largest space that is searched whole: by table that takes half a second, less than to evolve them."""

_MUTATION = 0.1  # chance of each gene to be drawn anew
_MOST_CORNERS = 64
_AT_ONCE = 256  # subnets whose neighbours are tried together

Ints = NDArray[np.int64]


def corners(genome: Genome) -> Ints:
    """Genes of the largest and smallest blocks, as many as there may be and as few, at every resolution and width."""
    space = genome.space
    found: list[Subnet] = [space.largest, space.smallest]
    for resolution, width in product(space.resolutions, space.widths):
        for deep, large in product((max, min), repeat=2):
            stages = tuple(
                (BlockChoice(large(stage.kernels), large(stage.expands)),) * deep(stage.depths)
                for stage in space.stages
            )
            found.append(Subnet(resolution, width, stages))
    step = max(1, -(-len(found) // _MOST_CORNERS))
    return genome.encode_all([*found[:2], *found[2::step]])


def evolve(
    archive: Archive,
    budget: Budget | None,
    seed: int,
    population: int = POPULATION,
    generations: int = GENERATIONS,
    report: Callable[[str], None] = lambda text: None,
) -> None:
    """Fill the archive; same seed, same archive. The corners of the space start it.

    Args:
        archive: evaluates subnets.
        budget: what shall be found best within; None for all budgets there may be.
        seed: of all random draws.
        population: subnets per generation.
        generations: how many there are.
        report: told how far it is.
    """
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.optimize import minimize

    upper = np.array([len(options) for options in archive.genome.options]) - 1
    rng = np.random.default_rng(seed)

    class Redraw(Mutation):  # type: ignore[misc]
        """Each gene is drawn anew with a small chance."""

        def _do(self, problem: Any, genes: Any, **_: Any) -> Any:
            fresh = rng.integers(0, upper + 1, genes.shape)
            return np.where(rng.random(genes.shape) < _MUTATION, fresh, genes)

    class Subnets(Problem):  # type: ignore[misc]
        """Four objectives, one constraint: the sum of relative excesses is not positive."""

        def __init__(self) -> None:
            super().__init__(n_var=len(upper), n_obj=4, n_ieq_constr=1, xl=0, xu=upper, vtype=int)

        def _evaluate(self, genes: Any, out: Any, *_: Any, **__: Any) -> None:
            found = archive.evaluate(np.asarray(genes, np.int64))
            out["F"] = archive.objectives[found]
            out["G"] = archive.excess(budget)[found, None]

    known = corners(archive.genome)[:population]
    start = np.concatenate([known, rng.integers(0, upper + 1, (population - len(known), len(upper)))])
    algorithm = NSGA2(
        pop_size=population,
        sampling=start,
        crossover=UniformCrossover(),
        mutation=Redraw(),
        eliminate_duplicates=True,
    )

    def progress(state: Any) -> None:
        report(f"generation {state.n_gen} of {generations}")

    minimize(Subnets(), algorithm, ("n_gen", generations), seed=seed, callback=progress, verbose=False)
    _try_neighbours(archive, budget, upper, report)


def evolved(archive: Archive, budget: Budget | None, seed: int, report: Callable[[str], None]) -> Archive:
    """The archive, filled with subnets for the budget, or (None) for all there may be on its core.

    With every subnet of its space, where that is small and costs are by table.
    """
    began = time.monotonic()

    def progress(text: str) -> None:
        pace = len(archive) / max(time.monotonic() - began, 1e-9)
        report(f"{text}: {len(archive)} subnets, {pace:.0f} a second, {len(archive.front(budget))} on the front")

    space = archive.genome.space
    if archive.by_table and space.size <= WHOLE:
        report(f"all {space.size} subnets")
        archive.evaluate(archive.genome.encode_all(space))
    else:
        evolve(archive, budget, seed, report=progress)
    archive.seconds = time.monotonic() - began
    return archive


def _try_neighbours(archive: Archive, budget: Budget | None, upper: Ints, report: Callable[[str], None]) -> None:
    """Every subnet that differs from one of the front in one choice, until none of them joins it (Pareto local search,
    Paquete et al. 2004)."""
    tried: set[int] = set()
    while len(archive) < MOST:
        front = archive.front(budget)
        open_ones = [int(number) for number in front if int(number) not in tried]
        if not open_ones:
            return
        report(f"neighbours of {len(open_ones)} of {len(front)} on the front")
        # Spread over the front, so that no region is left out where there is no time for all.
        step = max(1, len(open_ones) // _AT_ONCE)
        chosen = open_ones[::step][:_AT_ONCE]
        tried |= set(chosen)
        archive.evaluate(neighbours(archive.genes[chosen], upper))


def neighbours(genes: Ints, upper: Ints) -> Ints:
    """Genes that differ from one of (subnets, genes) in one gene; `upper` (genes,) is the last value of each."""
    found = []
    for gene, last in enumerate(upper.tolist()):
        for value in range(last + 1):
            other = genes.copy()
            other[:, gene] = value
            found.append(other)
    return np.concatenate(found)


def thinned(objectives: NDArray[np.float64], count: int) -> Ints:
    """Numbers of at most `count` of the points (subnets, objectives), in order: the extremes, and those of least
    crowding."""
    if len(objectives) <= count:
        return np.arange(len(objectives))
    from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance

    distance = calc_crowding_distance(objectives)
    kept = np.argsort(-distance, kind="stable")[:count]
    return np.asarray(np.sort(kept), np.int64)

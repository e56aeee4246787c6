"""NSGA-II (Deb et al. 2002, pymoo's implementation) over the genome of a space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ofa_mcu.search.candidates import Candidate, CandidatePool
from ofa_mcu.search.features import Genome

__all__ = ["evolve"]

POPULATION = 64
GENERATIONS = 40
_MUTATION = 0.1  # chance of each gene to be drawn anew


def evolve(
    pool: CandidatePool,
    genome: Genome,
    seed: int,
    population: int = POPULATION,
    generations: int = GENERATIONS,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[Candidate]:
    """Every candidate met; same seed, same list. The corners of the space start it.

    Args:
        pool: evaluates a subnet.
        genome: how genes become a subnet.
        seed: of all random draws.
        population: subnets per generation.
        generations: how many there are.
        report: called with (generations done, generations in all).
    """
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mutation import Mutation
    from pymoo.core.problem import Problem
    from pymoo.operators.crossover.ux import UniformCrossover
    from pymoo.optimize import minimize

    upper = np.array([len(options) for options in genome.options]) - 1
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
            found = [pool(genome.decode(row)) for row in genes]
            out["F"] = np.array([c.objectives for c in found])
            out["G"] = np.array([[sum(v.excess for v in c.violations)] for c in found])

    start = rng.integers(0, upper + 1, (population, len(upper)))
    start[0], start[1] = genome.encode(genome.space.largest), genome.encode(genome.space.smallest)
    algorithm = NSGA2(
        pop_size=population,
        sampling=start,
        crossover=UniformCrossover(),
        mutation=Redraw(),
        eliminate_duplicates=True,
    )

    def progress(state: Any) -> None:
        report(int(state.n_gen), generations)

    minimize(Subnets(), algorithm, ("n_gen", generations), seed=seed, callback=progress, verbose=False)
    return pool.all

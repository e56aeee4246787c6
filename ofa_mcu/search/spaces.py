"""Which space to train: TinyNAS's first stage (Lin et al. 2020, section 3.1), by the planner instead of a memory model.

A frame is a resolution and a width. Of every frame so many subnets are drawn; those that fit a board are kept. The more
work the kept ones do, the more accurate they can be trained to be: the frame with most multiply-accumulates on average
is the board's. Nothing is trained for that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu import schemas
from ofa_mcu.errors import InfeasibleError
from ofa_mcu.planning.core_model import core_of
from ofa_mcu.planning.latency import LatencyModel
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.search.budget import Budget
from ofa_mcu.search.features import Genome
from ofa_mcu.search.tables import Costs, CostTables
from ofa_mcu.space.space import SearchSpace

__all__ = ["SAMPLES", "Frame", "Survey", "best_frame", "comparison", "recommended", "survey", "surveyed", "widened"]

SAMPLES = 1000
"""Subnets drawn of a frame."""

LEAST_SHARE = 0.02
"""Of a frame's subnets that must fit, so that a frame that fits hardly any is no choice."""

_WIDTHS = (0.25, 0.35, 0.5, 0.65, 0.75, 1.0, 1.25, 1.5)
_SHARES = (0.5, 0.625, 0.75, 0.875, 1.0)  # of the task's own resolution


@dataclass(frozen=True)
class Frame:
    """What fits of a resolution and width: the share of its subnets, and their mean and deciles of MACs."""

    resolution: int
    width: float
    share: float
    mean_macs: float
    deciles: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready object."""
        return {
            "resolution": self.resolution,
            "width": self.width,
            "share": round(self.share, 4),
            "mean_macs": round(self.mean_macs),
            "deciles": [round(value) for value in self.deciles],
        }


@dataclass(frozen=True)
class Survey:
    """Costs of the subnets drawn of every frame of a space on one core, `samples` of each frame one after the other.

    `genes` (subnets, genes) are theirs, `tables` what they were looked up in.
    """

    space: SearchSpace
    core: str
    samples: int
    costs: Costs
    genes: NDArray[np.int64]
    tables: CostTables

    def frames(self, budget: Budget, *, cascades: bool = True) -> list[Frame]:
        """Every frame with what of it fits; with `cascades` only where it fits only so."""
        costs = self.costs
        if cascades:
            costs = self.tables.fitted(self.genes, costs, budget.bounds["sram"])
        fits = budget.fits(costs.sram_bytes, costs.flash_bytes, costs.instructions, costs.ticks)
        found = []
        for number, (resolution, width) in enumerate(product(self.space.resolutions, self.space.widths)):
            part = slice(number * self.samples, (number + 1) * self.samples)
            macs = costs.macs[part][fits[part]]
            deciles = np.quantile(macs, np.linspace(0, 1, 11)).tolist() if len(macs) else []
            mean = float(macs.mean()) if len(macs) else 0.0
            found.append(Frame(resolution, width, len(macs) / self.samples, mean, tuple(deciles)))
        return found


def survey(
    space: SearchSpace,
    profile: BoardProfile,
    samples: int = SAMPLES,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
    latency: LatencyModel | None = None,
) -> Survey:
    """Draw `samples` subnets of every frame and look up what they cost on the board's core.

    Args:
        space: whose resolutions and widths are compared.
        profile: of a board with that core.
        samples: subnets of each frame, the same choices in all frames.
        seed: of the draws.
        report: called with (frames done, frames in all).
        latency: model of the board, where time is bounded by its table.
    """
    options = Genome.of(space).options
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, [len(each) for each in options], (samples, len(options)))
    tables = CostTables(space, profile, latency=latency)
    frames = list(product(range(len(space.resolutions)), range(len(space.widths))))
    parts, genes = [], []
    for number, frame in enumerate(frames):
        drawn[:, :2] = frame
        parts.append(tables(drawn))
        genes.append(drawn.copy())
        report(number + 1, len(frames))
    return Survey(space, core_of(profile), samples, Costs.joined(parts), np.concatenate(genes), tables)


def surveyed(
    space: SearchSpace,
    budgets: Sequence[Budget],
    samples: int = SAMPLES,
    seed: int = 0,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, list[Frame]]:
    """Frames with what of them fits, by board; subnets are drawn and looked up once for each core, and for each board
    that has a latency table."""
    surveys: dict[str, Survey] = {}
    found = {}
    for budget in budgets:
        model = budget.table.model if budget.table is not None else None
        name = core_of(budget.profile) if model is None else f"board {budget.profile.id}"
        if name not in surveys:
            surveys[name] = survey(space, budget.profile, samples, seed, report, model)
        found[budget.profile.id] = surveys[name].frames(budget)
    return found


def comparison(space: SearchSpace, boards: Mapping[str, Sequence[Frame]], samples: int) -> dict[str, Any]:
    """The report: every board's best frame and all others, and the space to train for them.

    Raises:
        InfeasibleError: (nearly) nothing fits any of the boards.
    """
    best = {board: best_frame(frames) for board, frames in boards.items()}
    chosen = [frame for frame in best.values() if frame is not None]
    if not chosen:
        raise InfeasibleError(
            f"no width and resolution of {space.name} fits any of the boards; take larger boards, or allow more",
            {"code": "infeasible", "constraint": "all"},
        )
    found = recommended(space, chosen)
    rows = []
    for board, frames in boards.items():
        frame = best[board]
        row = {"board": board, "feasible": frame is not None, "best": frame.to_json() if frame else None}
        rows.append(row | {"frames": [each.to_json() for each in frames]})
    return {
        "schema": schemas.SPACE,
        "space": space.name,
        "subnets": space.size,
        "samples": samples,
        "boards": rows,
        "recommended": found.to_json(),
        "recommended_subnets": found.size,
    }


def best_frame(frames: Sequence[Frame]) -> Frame | None:
    """The frame whose fitting subnets do most work on average; None where (nearly) nothing fits any."""
    fitting = [frame for frame in frames if frame.share >= LEAST_SHARE]
    return max(fitting, key=lambda frame: (frame.mean_macs, frame.share), default=None)


def recommended(space: SearchSpace, best: Sequence[Frame]) -> SearchSpace:
    """The space to train for boards with these best frames: their resolutions and widths, and the next smaller of each,
    so that a tighter board is served, too."""
    resolutions = _with_next({frame.resolution for frame in best}, space.resolutions)
    widths = _with_next({frame.width for frame in best}, space.widths)
    return replace(space, resolutions=resolutions, widths=widths)


def _with_next(chosen: set[Any], known: Sequence[Any]) -> tuple[Any, ...]:
    ordered = sorted(known)
    below = {ordered[max(0, ordered.index(value) - 1)] for value in chosen}
    return tuple(sorted(chosen | below))


def widened(space: SearchSpace) -> SearchSpace:
    """The same blocks with many more widths, and where the input can be resampled more resolutions, to choose from."""
    native = max(space.resolutions)
    fixed = space.sequence or space.input_width is not None
    sizes = {max(8, round(native * share / 4) * 4) for share in _SHARES} | {native}
    resolutions = space.resolutions if fixed else tuple(sorted(size for size in sizes if size <= native))
    return replace(space, resolutions=resolutions, widths=_WIDTHS)

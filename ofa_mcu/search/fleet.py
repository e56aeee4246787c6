"""One supernet for many boards: subnets are searched once for each core, and every board takes the best that fits it.

What is most accurate within some bounds is, without bounds, on the front of accuracy, SRAM, flash and instructions: so
one search serves all boards of a core, and what one board had measured is not measured again for the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ofa_mcu import schemas
from ofa_mcu.errors import InfeasibleError, OfaMcuError, UsageError
from ofa_mcu.files import write_json
from ofa_mcu.planning.core_model import core_of
from ofa_mcu.planning.latency_files import latency_for
from ofa_mcu.planning.runtime import Runtime, counts_instructions, whose_figures
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.runs import FLEET, FLEET_PLOT
from ofa_mcu.search.archive import Archive
from ofa_mcu.search.budget import Budget, budget_for
from ofa_mcu.search.candidates import CandidatePool
from ofa_mcu.search.cluster_work import ClusterWork, Origin
from ofa_mcu.search.predictor import as_share
from ofa_mcu.search.recommend import Request, Source, recommend
from ofa_mcu.search.work import Work

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["FleetRequest", "Pick", "drawn_budgets", "fleet", "made_up_fleet", "picks"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_FIRST = 64  # subnets looked up again for a board, the most accurate first; then four times as many
_CASCADED_LEAST = 0.9  # share of flash and of instructions that cascades leave, at least
_SEED_OF_BUDGETS = 31
_AT_ONCE = 64  # boards whose next task waits for a worker


@dataclass(frozen=True)
class FleetRequest:
    """What a user asks: boards, each with the file of its profile where that does not come with the package; the task,
    its supernet, and bounds for all boards, by option of `budget_for`."""

    boards: Mapping[BoardProfile, Path | None]
    task: str = "fashion-mnist"
    supernet: Path | None = None
    bounds: Mapping[str, float | None] = field(default_factory=dict)
    seed: int = 0
    data_dir: Path | None = None
    runtime: Runtime = Runtime.COMPILED


@dataclass(frozen=True)
class Pick:
    """The best subnet for a budget by prediction; accuracy 0..1, bytes, instructions."""

    subnet: str
    accuracy: float
    sram_bytes: int
    flash_bytes: int
    instructions: int

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready object."""
        return {
            "subnet": self.subnet,
            "accuracy_predicted": as_share(self.accuracy),
            "sram_bytes": self.sram_bytes,
            "flash_bytes": self.flash_bytes,
            "instructions": self.instructions,
        }


def fleet(
    request: FleetRequest,
    out: Path,
    say: Callable[[str], None] = lambda text: None,
    show: Callable[[str], None] = lambda text: None,
    client: Client | None = None,
) -> dict[str, Any]:
    """A run for every board, in `out`/BOARD, ready for `build`; the report, which is `fleet.json` in `out`, too.

    The file tells of the boards done so far and is `complete` with the last of them, so that a fleet that ends early
    leaves its own there and not an earlier one's. A board for which nothing fits, or whose profile lacks what a bound
    needs, is a row that says so. With the `client` of a cluster its workers search and measure, many boards at a time;
    the files are the same.

    Raises:
        UsageError: no boards, an unknown task, no supernet.
        OfaMcuError: `out` cannot be written.
    """
    if not request.boards:
        raise UsageError("a fleet needs boards; name some with --boards, or all")
    began = time.monotonic()
    source = Source(request.task, request.supernet, request.data_dir)
    work = source.work if client is None else _shared(source, request, client)

    def specialised(profile: BoardProfile) -> dict[str, Any]:
        try:
            latency = latency_for(profile, profile_path=request.boards[profile])
            budget = budget_for(profile, **request.bounds, latency=latency, runtime=request.runtime)  # type: ignore[arg-type]
            # A board's own measure of time is on no common front: where it is bounded, the board is searched alone.
            alone = budget.bounds_time and budget.table is not None
            wanted = Request(
                budget,
                request.task,
                request.supernet,
                seed=request.seed,
                data_dir=request.data_dir,
                profile_path=request.boards[profile],
            )
            archive = None if alone else partial(work.archive, profile, budget.runtime, request.seed, show)
            report = recommend(wanted, out / profile.id, say, show, source, archive, work)
            return _row(profile, request.runtime, report["pick"], None) | {"run": report["run"]}
        except (InfeasibleError, UsageError) as error:
            constraint = error.details.get("constraint") if isinstance(error, InfeasibleError) else "unknown"
            return _row(profile, request.runtime, None, constraint) | {"message": str(error)}

    rows: list[dict[str, Any]] = []
    report = _report(request, began, rows, complete=False)
    _tell(report, out)
    done = _each(work, specialised, list(request.boards))
    for number, profile in enumerate(request.boards, 1):
        show(f"board {number} of {len(request.boards)}: {profile.name}")
        rows.append(next(done))
        report = _report(request, began, rows, complete=number == len(request.boards))
        _tell(report, out)
    return report


def _tell(report: dict[str, Any], out: Path) -> None:
    """Write `fleet.json`; the plot of another goes."""
    try:
        (out / FLEET_PLOT).unlink(missing_ok=True)
        write_json(out / FLEET, report)
    except OSError as error:
        raise OfaMcuError(f"cannot write to {out} ({error.strerror}); name a folder of your own with --out") from error


def _report(request: FleetRequest, began: float, rows: list[dict[str, Any]], complete: bool = True) -> dict[str, Any]:
    return {
        "schema": schemas.FLEET,
        "task": request.task,
        "runtime": request.runtime.value,
        "seconds": round(time.monotonic() - began, 2),
        "complete": complete,
        "boards": rows,
    }


def _shared(source: Source, request: FleetRequest, client: Client) -> ClusterWork:
    def origin() -> Origin:
        return Origin.of(request.task, request.supernet, request.data_dir, source.evaluator.data)

    return ClusterWork(source.predictor, lambda: source.evaluator, origin, client)


def _each(work: Work, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """The function of each item in turn; where a cluster works, in threads that wait for its answers."""
    if not isinstance(work, ClusterWork):
        yield from map(function, items)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            yield from pool.map(function, items)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            work.cancel()
            raise


def _row(profile: BoardProfile, runtime: Runtime, pick: dict[str, Any] | None, constraint: object) -> dict[str, Any]:
    return {
        "board": profile.id,
        "feasible": pick is not None,
        "pick": pick,
        "constraint": constraint,
        "ram_bytes": profile.sram_bytes,
        "stand_in": whose_figures(profile, runtime),
    }


def made_up_fleet(
    request: FleetRequest,
    count: int,
    show: Callable[[str], None] = lambda text: None,
    client: Client | None = None,
) -> dict[str, Any]:
    """`fleet` for `count` made-up boards with the cores of the request's, by prediction and without runs.

    Raises:
        UsageError: as `fleet` does, or bounds that do not hold for boards that nobody has.
    """
    if not request.boards:
        raise UsageError("a fleet needs boards; name some with --boards, or all")
    began = time.monotonic()
    budgets = _made_up(request, count)
    source = Source(request.task, request.supernet, request.data_dir)
    work = source.work if client is None else _shared(source, request, client)
    numbers: dict[str, list[int]] = {}
    for number, budget in enumerate(budgets):
        numbers.setdefault(core_of(budget.profile), []).append(number)

    def picked(core: str) -> list[tuple[int, Pick | None]]:
        of_core = [budgets[number] for number in numbers[core]]
        archive = work.archive(of_core[0].profile, of_core[0].runtime, request.seed, show)
        return list(zip(numbers[core], picks(archive, of_core), strict=True))

    found = dict(pair for pairs in _each(work, picked, list(numbers)) for pair in pairs)
    rows = []
    for number, budget in enumerate(budgets):
        pick, constraint = found[number], None
        if pick is None:
            smallest = CandidatePool(source.predictor, budget)(source.predictor.space.smallest)
            constraint = smallest.violations[0].constraint if smallest.violations else "all together"
        name = f"{budget.profile.id}-like-{number + 1:04}"
        row = {"board": name, "feasible": pick is not None, "pick": pick.to_json() if pick else None}
        rows.append({**row, "constraint": constraint, "bounds": dict(budget.bounds)})
    return _report(request, began, rows)


def _made_up(request: FleetRequest, count: int) -> list[Budget]:
    """The drawn budgets, by the request's runtime and within its bounds.

    Where nobody knows how many instructions the runtime takes on a core, boards of that core have no bound of them.
    """
    if any(request.bounds.get(name) is not None for name in ("max_ms", "max_mj")):
        raise UsageError(
            "made-up boards have a core and a clock, but neither time nor energy that anybody measured; bound them by "
            "--max-instructions, and leave out --max-ms and --max-mj"
        )
    most = request.bounds.get("max_instructions")
    for profile in request.boards:
        budget_for(profile, **request.bounds, runtime=request.runtime)  # type: ignore[arg-type]
    budgets = []
    for drawn in drawn_budgets(list(request.boards), count):
        bounds = dict(drawn.bounds)
        if not counts_instructions(drawn.profile, request.runtime):
            del bounds["instructions"]
        elif most is not None:
            bounds["instructions"] = min(bounds["instructions"], most)
        budgets.append(replace(drawn, bounds=bounds, runtime=request.runtime))
    return budgets


def picks(archive: Archive, budgets: Iterable[Budget]) -> list[Pick | None]:
    """The most accurate subnet by prediction for every budget, of equals that with fewest instructions; None where
    nothing fits. What does not fit as it is, but would be more accurate, is looked up with cascades."""
    order = np.lexsort((archive.objectives[:, 3], archive.objectives[:, 0]))
    return [_picked(archive, order, budget) for budget in budgets]


def _picked(archive: Archive, order: NDArray[np.int64], budget: Budget) -> Pick | None:
    """For one budget; `order` has all subnets, the best first."""
    objectives = archive.objectives[order]
    fits = budget.fits(*objectives.T[1:])
    last = int(fits.argmax()) if fits.any() else len(order)
    bounds = np.array([budget.bounds.get(name, np.inf) for name in ("flash", "instructions")])
    near = (objectives[:last, 2:] * _CASCADED_LEAST <= bounds).all(1)
    near &= objectives[:last, 1] > budget.bounds["sram"]
    better, start, count = order[:last][near], 0, _FIRST
    while start < len(better):
        some = archive.fitted(budget.bounds["sram"], better[start : start + count])
        fits = budget.fits(*some.objectives.T[1:])
        if fits.any():
            return _pick(some, int(fits.argmax()))
        start, count = start + count, 4 * count
    return _pick(archive, int(order[last])) if last < len(order) else None


def _pick(archive: Archive, number: int) -> Pick:
    minus, *costs = archive.objectives[number].tolist()
    return Pick(str(archive.genome.decode(archive.genes[number].tolist())), -minus, *map(int, costs))


def drawn_budgets(profiles: Sequence[BoardProfile], count: int) -> list[Budget]:
    """A made-up fleet: each of its boards has a core and a clock of one of the profiles, and SRAM, flash and allowed
    instructions of its own, evenly drawn on logarithmic scales; the same every time."""
    rng = np.random.default_rng(_SEED_OF_BUDGETS)
    budgets = []
    for _ in range(count):
        profile = profiles[int(rng.integers(len(profiles)))]
        sram, flash, instructions = (np.exp(rng.uniform(*np.log(ends))) for ends in _ENDS)
        bounds = {"sram": float(int(sram)), "flash": float(int(flash)), "instructions": float(int(instructions))}
        budgets.append(Budget(profile, bounds))
    return budgets


_ENDS = ((4 * 1024, 512 * 1024), (16 * 1024, 2048 * 1024), (2e5, 5e7))
"""Least and most SRAM and flash in bytes, and instructions, of a made-up board."""

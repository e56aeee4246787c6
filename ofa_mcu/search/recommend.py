"""From a request to a run's folder: the search with everything it needs, loaded as late as possible."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_mcu import __version__
from ofa_mcu.allocator import keep_freed_memory
from ofa_mcu.errors import UsageError
from ofa_mcu.files import write_text
from ofa_mcu.ledger import Stopwatch, recorded
from ofa_mcu.planning.runtime import settled
from ofa_mcu.results import note_results, run_column
from ofa_mcu.runs import REFINED, REFINING, Run, new_run, remove
from ofa_mcu.search.archive import Archive
from ofa_mcu.search.budget import Budget
from ofa_mcu.search.candidates import CandidatePool
from ofa_mcu.search.feasibility import check_feasible
from ofa_mcu.search.pick import SHORTLIST, UNPREDICTED, Objective
from ofa_mcu.search.predictor import Predictor, load_predictor
from ofa_mcu.search.work import Work
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.supernet.shipped_files import PREDICTOR_FILE, SUPERNET_FILE, supernet_folder
from ofa_mcu.tasks.registry import task_named
from ofa_mcu.tasks.resample import resolution_of
from ofa_mcu.tasks.task import Task, digest_of

if TYPE_CHECKING:
    from ofa_mcu.quantization.evaluate import Evaluator, Specialised

__all__ = ["Request", "Source", "recommend"]


@dataclass(frozen=True)
class Request:
    """What a user asks: the budget, whose supernet, what matters, and `give`, the accuracy (0..1) given up for it.

    `measure` is how many subnets are measured before one is recommended.
    `finetune` and `qat` are epochs of further training of the pick, float and on its int8 grid.
    `profile_path` is the file of a board's profile that does not come with the package; the run keeps a copy.
    """

    budget: Budget
    task: str = "fashion-mnist"
    supernet: Path | None = None
    objective: str = "accuracy"
    give: float = 0.01
    seed: int = 0
    data_dir: Path | None = None
    profile_path: Path | None = None
    finetune: int = 0
    qat: int = 0
    measure: int = SHORTLIST

    def to_json(self) -> dict[str, Any]:
        """What the run's `config.json` holds; enough to repeat the search."""
        return {
            "task": self.task,
            "board": self.budget.profile.id,
            "supernet": str(self.supernet.resolve()) if self.supernet else "shipped",
            "data_dir": str(self.data_dir.resolve()) if self.data_dir else None,
            "runtime": self.budget.runtime.value,
            "bounds": dict(self.budget.bounds),
            "cycles_per_instruction": self.budget.cycles_per_instruction,
            "power_mw": self.budget.power_mw,
            "latency": self.budget.table.to_json() if self.budget.table is not None else None,
            "objective": self.objective,
            "give": self.give,
            "seed": self.seed,
            "measure": self.measure,
            "finetune": self.finetune,
            "qat": self.qat,
        }


class Source:
    """A task's supernet and predictor; weights and data are loaded when they are first needed, and then kept.

    Raises:
        UsageError: an unknown task, or no supernet.
    """

    def __init__(self, task: str, supernet: Path | None = None, data_dir: Path | None = None) -> None:
        keep_freed_memory()  # before any thread begins
        self.task = task_named(task, data_dir)
        self._folder = supernet_folder(task, supernet)
        self._data_dir = data_dir
        self.predictor: Predictor = load_predictor(self._folder / PREDICTOR_FILE)
        self._loading = threading.Lock()
        self._evaluator: Evaluator | None = None
        self._recipe: dict[str, Any] = {}
        self.work = Work(self.predictor, lambda: self.evaluator)

    @cached_property
    def fingerprint(self) -> str:
        """Of the supernet's file."""
        return hashlib.sha256((self._folder / SUPERNET_FILE).read_bytes()).hexdigest()[:16]

    @property
    def evaluator(self) -> Evaluator:
        """Of the supernet's subnets on the task's data."""
        with self._loading:
            if self._evaluator is None:
                self._evaluator = self._load()
            return self._evaluator

    @property
    def weight_decay(self) -> float:
        """That the supernet was trained with, or the usual one where its file does not say."""
        from ofa_mcu.training.recipe import Recipe

        _ = self.evaluator
        return float(self._recipe.get("weight_decay", Recipe.weight_decay))

    def _load(self) -> Evaluator:
        from ofa_mcu.quantization.evaluate import Evaluator
        from ofa_mcu.supernet.store import load_supernet

        supernet, header = load_supernet(self._folder / SUPERNET_FILE)
        self._recipe = dict(header.get("recipe", {}))
        if supernet.space != self.predictor.space:
            where = self._folder / PREDICTOR_FILE
            raise UsageError(f"{where} is of another space than {SUPERNET_FILE}; train them together")
        trained_for = header.get("task", self.task.name)
        if trained_for != self.task.name:
            raise UsageError(
                f"the supernet was trained for task '{trained_for}', not '{self.task.name}': search with --task "
                f"{trained_for}"
            )
        _check_serves(supernet.space, self.task)
        return Evaluator(supernet, self.task.load(self._data_dir))


def recommend(
    request: Request,
    out: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
    show: Callable[[str], None] = lambda text: None,
    source: Source | None = None,
    archive: Callable[[], Archive] | None = None,
    work: Work | None = None,
) -> dict[str, Any]:
    """Search, and write the run's folder (`out`, else a fresh one under runs/); the report.

    Args:
        request: what is asked.
        out: the run's folder.
        say: told a line that stays.
        show: told what is going on at the moment.
        source: what the request names, where it is loaded already.
        archive: gives that of a search for all budgets on the board's core; without it, this budget's is searched.
        work: who does what takes long, where not the source's own.

    Raises:
        UsageError: an unknown task or objective, or no supernet.
        InfeasibleError: nothing fits; said before weights or data are loaded.
    """
    began = time.monotonic()
    objective = _objective(request.objective)
    source = source or Source(request.task, request.supernet, request.data_dir)
    check_feasible(CandidatePool(source.predictor, request.budget))
    stem = f"{request.task.partition(':')[0]}-{request.budget.profile.id}"
    work = work or source.work
    with new_run(stem, out) as run, recorded(run.folder, "search", work.stopwatch()) as watch:
        return _search(request, objective, source, work, archive, run, began, watch, say, show)


def _objective(name: str) -> Objective:
    try:
        return Objective(name)
    except ValueError as error:
        known = ", ".join(o.value for o in Objective)
        raise UsageError(f"there is no objective '{name}'; known: {known}") from error


def _search(
    request: Request,
    objective: Objective,
    source: Source,
    work: Work,
    archive: Callable[[], Archive] | None,
    run: Run,
    began: float,
    watch: Stopwatch,
    say: Callable[[str], None],
    show: Callable[[str], None],
) -> dict[str, Any]:
    """The slow part: weights and data loaded, subnets evolved and measured, the run written. `began`: when all did."""
    from ofa_mcu.search.run import SearchOptions, archive_for, search, write_run

    profile = request.budget.profile
    own_profile = request.profile_path.read_text() if request.profile_path is not None else None
    say(f"searching {source.predictor.space.size} subnets of {request.task} for {profile.name}")
    quality = source.predictor.quality
    if not quality.clear:
        say(
            f"prediction ranks subnets hardly better than their size does (Kendall tau {quality.kendall:.2f} against "
            f"{quality.kendall_macs:.2f}, held out), so up to {UNPREDICTED} of them are measured"
        )
    options = SearchOptions(request.budget, objective, request.give, request.seed, request.measure)
    with ThreadPoolExecutor(1) as loading:  # weights and data come while subnets are evolved
        coming = loading.submit(lambda: source.evaluator)
        found = archive() if archive is not None else archive_for(source.predictor, options, show)
        evaluator = coming.result()
    refining = _refining(request, source, run, watch, say, show) if request.finetune or request.qat else None
    result = search(evaluator, source.predictor, options, show, refining, found, work, began)

    def write_more() -> None:
        refinement = result.report["refinement"]
        if refinement is not None:
            _settle(run)
            if refinement["kept"] != "supernet":
                from ofa_mcu.quantization.refine import save_refined

                save_refined(run.network_path, result.pick, evaluator, refinement)
        remove(run.folder / REFINING)
        if own_profile is None:
            run.profile_path(profile.id).unlink(missing_ok=True)
        else:
            write_text(run.profile_path(profile.id), own_profile)

    scaling = evaluator.data.scaling
    meaning = {"labels": list(source.task.labels), "scaling": scaling.to_json() if scaling else None}
    report = write_run(run, result, {**request.to_json(), **meaning}, write_more)
    _note(request, source, report, len(evaluator.data.validation), say)
    return report


def _refining(
    request: Request,
    source: Source,
    run: Run,
    watch: Stopwatch,
    say: Callable[[str], None],
    show: Callable[[str], None],
) -> Callable[[Specialised], tuple[Specialised, dict[str, Any]]]:
    """What trains a pick further, in a folder of the run; where it was interrupted, the same training goes on."""
    import torch

    from ofa_mcu.quantization.refine import Refinement, refine

    wanted = Refinement(request.finetune, request.qat, seed=request.seed, weight_decay=source.weight_decay)
    budget = request.budget

    def fits(pick: Specialised) -> bool:
        return not budget.violations(settled(pick.graph, budget.profile, budget.runtime, budget.max_sram).cost)

    def trained_further(pick: Specialised) -> tuple[Specialised, dict[str, Any]]:
        folder = run.folder / REFINING
        of = {
            "version": __version__,
            "threads": torch.get_num_threads(),
            "subnet": str(pick.subnet),
            "supernet": source.fingerprint,
            "task": source.task.name,
            "data": digest_of(source.evaluator.data.train),
            **asdict(wanted),
        }
        note = folder / "of.json"
        if not note.is_file() or note.read_text() != json.dumps(of):
            remove(folder)
            write_text(note, json.dumps(of))
        with watch.exclude():  # both trainings keep ledgers of their own
            found = refine(pick, source.evaluator, source.task, wanted, folder, show, fits)
        for stage in found[1]["over_bounds"]:
            say(f"{pick.subnet} after {stage} breaks the bounds, for a layer's code depends on its weights: not kept")
        return found

    return trained_further


def _settle(run: Run) -> None:
    """The finished trainings of the pick take their place in the run."""
    for name in REFINED:
        if (run.folder / REFINING / name).exists():
            (run.folder / REFINING / name).rename(run.folder / name)


def _note(request: Request, source: Source, report: dict[str, Any], validated: int, say: Callable[[str], None]) -> None:
    """Keep what was measured, and the pick, among the results."""
    common = {"task": request.task, "supernet": source.fingerprint}
    pick = report["pick"]
    rows = [
        {"subnet": row["subnet"], "part": "validation", "precision": "int8", "examples": validated,
         "accuracy": row["accuracy_int8_validation"]}
        for row in report["front"]
        if row["accuracy_int8_validation"] is not None
    ]  # fmt: skip
    kept = report["refinement"] is None or report["refinement"]["kept"] == "supernet"
    if kept:
        rows += [
            {"subnet": pick["subnet"], "part": "test", "precision": precision, "examples": report["test_images"],
             "accuracy": pick[f"accuracy_{precision}"]}
            for precision in ("fp32", "int8")
        ]  # fmt: skip
    note_results("evaluations", [common | row for row in rows], say)
    costs = {name: pick[name] for name in ("subnet", "accuracy_int8", "sram_bytes", "flash_bytes", "instructions")}
    bounds = json.dumps(report["bounds"])
    note_results(
        "picks",
        [common | costs | {"board": report["board"], "bounds": bounds, "run": run_column(report["run"])}],
        say,
    )


def _check_serves(space: SearchSpace, task: Task) -> None:
    """Raise UsageError where the supernet reads other inputs or tells other classes apart than the task has."""
    size, channels, classes = task.shape[:2], task.shape[2], len(task.labels)
    if (space.input_size(resolution_of(size)), space.input_channels, space.classes) != (size, channels, classes):
        height, width = space.input_size(max(space.resolutions))
        raise UsageError(
            f"the supernet reads {height}x{width}x{space.input_channels} and tells {space.classes} classes apart, but "
            f"task '{task.name}' has inputs {size[0]}x{size[1]}x{channels} and {classes} classes; train one for it"
        )

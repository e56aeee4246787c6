"""One search from supernet to recommended subnet: what `ofa-mcu search` does."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa_mcu import __version__, schemas
from ofa_mcu.planning.runtime import Settled, settled, whose_figures
from ofa_mcu.planning.tflm import tflm_head_bytes
from ofa_mcu.runs import Run
from ofa_mcu.search.archive import Archive
from ofa_mcu.search.budget import Budget
from ofa_mcu.search.candidates import Candidate, CandidatePool, pareto_front
from ofa_mcu.search.feasibility import candidate_json, check_feasible, nothing_fits
from ofa_mcu.search.nsga import evolved, thinned
from ofa_mcu.search.pick import SHORTLIST, Measured, Objective, choose, next_to_measure
from ofa_mcu.search.predictor import Predictor
from ofa_mcu.search.work import Work
from ofa_mcu.space.subnet import Subnet

if TYPE_CHECKING:
    from ofa_mcu.quantization.evaluate import Evaluator, Specialised

__all__ = ["SearchOptions", "SearchResult", "archive_for", "search", "write_run"]

_MOST_PLANNED = 400
"""Subnets of the front that are planned."""

_TOLD = 8
"""Subnets that are measured between one word of how far it is and the next."""


@dataclass(frozen=True)
class SearchOptions:
    """What is asked of a search; `give` is the accuracy (0..1) given up for an objective other than accuracy.

    `measure`: how many subnets are measured before one is recommended, as `next_to_measure` takes it.
    """

    budget: Budget
    objective: Objective = Objective.ACCURACY
    give: float = 0.01
    seed: int = 0
    measure: int = SHORTLIST


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The recommendation, everything it was chosen from, and the report that goes to disk."""

    pick: Specialised
    model: bytes
    report: dict[str, Any]
    archive: Archive
    budget: Budget


def archive_for(predictor: Predictor, options: SearchOptions, report: Callable[[str], None]) -> Archive:
    """Subnets evolved for this budget; asks for no weights and no data."""
    budget = options.budget
    model = budget.table.model if budget.table is not None else None
    archive = Archive(predictor, budget.profile, model, budget.runtime, budget.bounds["sram"])
    return evolved(archive, budget, options.seed, report)


def search(
    evaluator: Evaluator,
    predictor: Predictor,
    options: SearchOptions,
    report: Callable[[str], None] = lambda text: None,
    refine: Callable[[Specialised], tuple[Specialised, dict[str, Any]]] | None = None,
    archive: Archive | None = None,
    work: Work | None = None,
    began: float | None = None,
) -> SearchResult:
    """The best fitting subnet: evolved by predicted accuracy and exact cost, chosen by measured int8 accuracy.

    Args:
        evaluator: of the supernet on its data.
        predictor: of the same supernet.
        options: what is asked.
        report: told what is going on.
        refine: may train the pick further; it gives it back with what `refinement` of the report is to say.
        archive: of a search for all budgets on this core; without it subnets are searched for this budget.
        work: who does what takes long; without it, this process.
        began: when work on the request began (`time.monotonic`), for the report's `seconds`; None: now.

    Raises:
        InfeasibleError: no subnet meets the constraints.
        MismatchError: the exported network differs from TFLite Micro in any byte.
    """
    began = time.monotonic() if began is None else began
    profile = options.budget.profile
    check_feasible(CandidatePool(predictor, options.budget))
    work = work or Work(predictor, lambda: evaluator)

    if archive is None:
        archive = archive_for(predictor, options, report)
    if archive.max_sram != options.budget.bounds["sram"]:
        archive = archive.fitted(options.budget.bounds["sram"])
    numbers = archive.front(options.budget)
    numbers = numbers[thinned(archive.objectives[numbers], _MOST_PLANNED)]
    if options.measure > SHORTLIST:
        numbers = np.concatenate([numbers, archive.likeliest(options.budget, options.measure)])
    # What tables promise is settled by the planner before anything else is done with it.
    found = [archive.genome.decode(genes) for genes in archive.genes[numbers].tolist()]
    planned = work.planned(options.budget, list(dict.fromkeys([*found, predictor.space.smallest])))
    fitting = {c.subnet: c for c in planned if c.fits}
    front = pareto_front(list(fitting.values()))
    nets: dict[Subnet, Specialised] = {}
    costs: dict[Specialised, Settled] = {}
    measured: list[Measured] = []

    def answers_for(candidates: list[Candidate]) -> Iterator[tuple[Candidate, tuple[Specialised, float, Settled]]]:
        for begin in range(0, len(candidates), _TOLD):
            part = candidates[begin : begin + _TOLD]
            which = f" ({begin + 1} to {begin + len(part)} of {len(candidates)})" if len(candidates) > _TOLD else ""
            report(f"measuring {', '.join(str(c.subnet) for c in part)} on validation images{which}")
            yield from zip(part, work.measured([c.subnet for c in part], options.budget), strict=True)

    while candidates := next_to_measure(
        front,
        measured,
        options.objective,
        options.give,
        predictor.quality,
        options.measure,
        list(fitting.values()) if options.measure > SHORTLIST else [],
    ):
        for candidate, (net, score, cost_with_weights) in answers_for(candidates):
            costs[net] = cost_with_weights
            # The weights can ask for more than shapes promise.
            violations = options.budget.violations(cost_with_weights.cost)
            if violations:
                del fitting[candidate.subnet]
                front = pareto_front(list(fitting.values()))
                if not front:
                    raise nothing_fits(candidate, violations)
                continue
            nets[candidate.subnet] = net
            measured.append(Measured(candidate, score))
    best = choose(measured, options.objective, options.give)
    beside = [m.candidate for m in measured if m.candidate not in front]

    pick = nets[best.candidate.subnet]
    refinement, validated = None, best.accuracy
    if refine is not None:
        pick, refinement = refine(pick)
        validated = refinement["accuracy_int8_validation"][refinement["kept"]]
    report("testing the pick")
    tested = work.tested(pick, options.seed)
    final = costs.get(pick) or settled(pick.graph, profile, options.budget.runtime, options.budget.max_sram)
    cost = final.cost
    estimates, lifetime = options.budget.estimates(cost), options.budget.lifetime
    estimated = estimates["ms"]["value"] if estimates["ms"] is not None else None
    by_measure = {m.candidate.subnet: m.accuracy for m in measured}
    body = {
        "schema": schemas.SEARCH,
        "board": profile.id,
        "runtime": options.budget.runtime.value,
        "framework": profile.platformio.framework if profile.platformio else None,
        "twin": profile.emulator is not None,
        "stand_in": whose_figures(profile, options.budget.runtime),
        "seconds": round(time.monotonic() - began, 2),
        "pick": {
            "subnet": str(pick.subnet),
            "macs": cost.macs,
            "parameters": pick.graph.structure.parameters,
            "accuracy_fp32": round(tested.fp32, 5),
            "accuracy_int8": round(tested.int8, 5),
            "accuracy_int8_validation": round(validated, 5),
            "accuracy_int8_apart": {name: round(value, 5) for name, value in tested.apart.items()},
            "sram_bytes": cost.sram_bytes,
            "flash_bytes": cost.flash_bytes,
            "instructions": round(cost.instructions) if options.budget.counted else None,
            "arena_bytes": cost.arena_bytes,
            "arena_lower_bound": final.arena_lower_bound,
            "tflm_head_bytes": tflm_head_bytes(pick.graph.structure),
            "model_crc32": zlib.crc32(tested.model),
            "estimates": estimates,
        },
        "battery": lifetime.to_json(estimated) if lifetime is not None else None,
        "refinement": refinement,
        "front": [
            candidate_json(c)
            | {"accuracy_int8_validation": round(by_measure[c.subnet], 5) if c.subnet in by_measure else None}
            for c in sorted([*front, *beside], key=lambda c: -c.accuracy)
        ],
        "predictor": {
            "kendall": round(predictor.quality.kendall, 3),
            "kendall_macs": round(predictor.quality.kendall_macs, 3),
            "relied_on": predictor.quality.clear,
        },
        "evaluations": len(archive),
        "evaluations_per_second": round(len(archive) / max(archive.seconds, 1e-9), 1),
        "hypervolume": round(archive.hypervolume(options.budget), 6),
        "bounds": dict(options.budget.bounds),
        "test_images": len(evaluator.data.test),
    }
    return SearchResult(pick, tested.model, body, archive, options.budget)


def write_run(
    run: Run,
    result: SearchResult,
    configuration: dict[str, Any],
    write_more: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Fill the run's folder; `report.json`, which makes it a run, comes last. The report, with the run's path.

    `write_more` adds what else belongs to the result, once what an earlier search left is gone.
    """
    run.forget()
    write_more()
    run.write("config.json", {"version": __version__, **configuration})
    run.write("evaluated.json", result.archive.to_json(result.budget))
    run.write_model(result.model)
    report = {"schema": result.report["schema"], "run": str(run.folder), **result.report}
    run.write("report.json", report)
    return report

"""One search from supernet to recommended subnet: what `ofa-mcu search` does."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa_mcu import __version__, schemas
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import probe_inputs, verify
from ofa_mcu.planning.compile import compile_graph
from ofa_mcu.planning.tflm import tflm_head_bytes
from ofa_mcu.runs import Run
from ofa_mcu.search.archive import Archive
from ofa_mcu.search.budget import Budget
from ofa_mcu.search.candidates import CandidatePool, pareto_front
from ofa_mcu.search.feasibility import candidate_json, check_feasible, nothing_fits
from ofa_mcu.search.nsga import evolve, thinned
from ofa_mcu.search.pick import Measured, Objective, choose, next_to_measure
from ofa_mcu.search.predictor import Predictor
from ofa_mcu.space.subnet import Subnet

if TYPE_CHECKING:
    from ofa_mcu.quantization.evaluate import Evaluator, Specialised

__all__ = ["SearchOptions", "SearchResult", "search", "write_run"]

_VERIFIED_IMAGES = 4
_MOST_PLANNED = 400
"""Subnets of the front that are planned."""


@dataclass(frozen=True)
class SearchOptions:
    """What is asked of a search; `give` is the accuracy (0..1) given up for an objective other than accuracy."""

    budget: Budget
    objective: Objective = Objective.ACCURACY
    give: float = 0.01
    seed: int = 0


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The recommendation, everything it was chosen from, and the report that goes to disk."""

    pick: Specialised
    model: bytes
    report: dict[str, Any]
    archive: Archive


def search(
    evaluator: Evaluator,
    predictor: Predictor,
    options: SearchOptions,
    report: Callable[[str], None] = lambda text: None,
    refine: Callable[[Specialised], tuple[Specialised, dict[str, Any]]] | None = None,
) -> SearchResult:
    """The best fitting subnet: evolved by predicted accuracy and exact cost, chosen by measured int8 accuracy.

    `refine` may train the pick further; it gives it back with what `refinement` of the report is to say.

    Raises:
        InfeasibleError: no subnet meets the constraints.
        MismatchError: the exported network differs from TFLite Micro in any byte.
    """
    began = time.monotonic()
    profile = options.budget.profile
    pool = CandidatePool(predictor, options.budget)
    check_feasible(pool)

    archive = Archive(predictor, options.budget)
    evolve(archive, options.seed, report=lambda text: report(_progress(text, archive, began)))
    searched = time.monotonic() - began
    numbers = archive.front()
    numbers = numbers[thinned(archive.objectives[numbers], _MOST_PLANNED)]
    # What tables promise is settled by the planner before anything else is done with it.
    planned = [pool(archive.genome.decode(genes)) for genes in archive.genes[numbers].tolist()]
    fitting = {c.subnet: c for c in planned if c.fits}
    front = pareto_front(list(fitting.values()))
    nets: dict[Subnet, Specialised] = {}
    measured: list[Measured] = []
    while candidates := next_to_measure(front, measured, options.objective, options.give, predictor.quality.margin):
        report(f"measuring {', '.join(str(c.subnet) for c in candidates)} on validation images")
        scored = evaluator.specialise_and_score([c.subnet for c in candidates], "validation")
        for candidate, (net, score) in zip(candidates, scored, strict=True):
            # The weights can ask for more than shapes promise.
            violations = options.budget.violations(compile_graph(net.graph, profile).cost)
            if violations:
                del fitting[candidate.subnet]
                front = pareto_front(list(fitting.values()))
                if not front:
                    raise nothing_fits(candidate, violations[0])
                continue
            nets[candidate.subnet] = net
            measured.append(Measured(candidate, score))
    best = choose(measured, options.objective, options.give)

    pick = nets[best.candidate.subnet]
    refinement, validated = None, best.accuracy
    if refine is not None:
        pick, refinement = refine(pick)
        validated = refinement["accuracy_int8_validation"][refinement["kept"]]
    report("testing the pick")
    model = write_tflite(pick.graph)
    probes = probe_inputs(pick.graph, seed=options.seed)
    name = pick.graph.structure.inputs[0]
    images = evaluator.codes("test", pick.subnet.resolution)[:_VERIFIED_IMAGES]
    verify(pick.graph, model, {name: np.concatenate([probes[name], images])})
    accuracy_fp32 = evaluator.float_accuracy(pick.network, "test")
    accuracy_int8 = evaluator.int8_accuracy(pick.graph, "test")
    compiled = compile_graph(pick.graph, profile)
    cost, memory = compiled.cost, compiled.plan.memory
    by_measure = {m.candidate.subnet: m.accuracy for m in measured}
    body = {
        "schema": schemas.SEARCH,
        "board": profile.id,
        "framework": profile.platformio.framework if profile.platformio else None,
        "twin": profile.emulator is not None,
        "seconds": round(time.monotonic() - began, 2),
        "pick": {
            "subnet": str(pick.subnet),
            "macs": cost.macs,
            "parameters": pick.graph.structure.parameters,
            "accuracy_fp32": round(accuracy_fp32, 5),
            "accuracy_int8": round(accuracy_int8, 5),
            "accuracy_int8_validation": round(validated, 5),
            "accuracy_int8_apart": {
                name: round(evaluator.int8_accuracy(pick.graph, name), 5) for name in evaluator.data.apart
            },
            "sram_bytes": cost.sram_bytes,
            "flash_bytes": cost.flash_bytes,
            "instructions": round(cost.instructions),
            "arena_bytes": memory.arena_bytes,
            "arena_lower_bound": memory.lower_bound,
            "tflm_head_bytes": tflm_head_bytes(pick.graph.structure),
            "model_crc32": zlib.crc32(model),
            "estimates": options.budget.estimates(cost),
        },
        "refinement": refinement,
        "front": [
            candidate_json(c)
            | {"accuracy_int8_validation": round(by_measure[c.subnet], 5) if c.subnet in by_measure else None}
            for c in front
        ],
        "evaluations": len(archive),
        "evaluations_per_second": round(len(archive) / max(searched, 1e-9), 1),
        "hypervolume": round(archive.hypervolume(), 6),
        "bounds": dict(options.budget.bounds),
        "test_images": len(evaluator.data.test),
    }
    return SearchResult(pick, model, body, archive)


def _progress(text: str, archive: Archive, began: float) -> str:
    pace = len(archive) / max(time.monotonic() - began, 1e-9)
    return f"{text}: {len(archive)} subnets, {pace:.0f} a second, {len(archive.front())} on the front"


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
    run.write("evaluated.json", result.archive.to_json())
    run.write_model(result.model)
    report = {"schema": result.report["schema"], "run": str(run.folder), **result.report}
    run.write("report.json", report)
    return report

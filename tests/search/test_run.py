"""One small search from weights to a run's folder; what it promises is counted again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.cli.search import print_report
from ofa_mcu.errors import InfeasibleError
from ofa_mcu.graph import reference
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.planning.compile import compile_graph
from ofa_mcu.profiles import load_profile
from ofa_mcu.quantization.evaluate import Evaluator
from ofa_mcu.runs import Run, find_run
from ofa_mcu.search.budget import budget_for
from ofa_mcu.search.pick import Objective
from ofa_mcu.search.run import SearchOptions, SearchResult, search, write_run
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.tasks.resample import resample, to_codes
from tests.search.made_up import predictor_of
from tests.space.spaces import TINY
from tests.supernet.networks import lively_supernet
from tests.training.made_up import DATA

BOARD = load_profile("stm32f746")
PREDICTOR = predictor_of(TINY)
EVALUATOR = Evaluator(lively_supernet(0), DATA)
OPTIONS = SearchOptions(budget_for(BOARD, max_instructions=60_000), seed=3)


@pytest.fixture(scope="module")
def result() -> SearchResult:
    return search(EVALUATOR, PREDICTOR, OPTIONS)


def test_the_report_holds_what_counting_again_gives(result: SearchResult) -> None:
    pick = result.report["pick"]
    subnet = Subnet.parse(pick["subnet"])
    structure = shape_graph(TINY, subnet)
    compiled = compile_graph(read_tflite(result.model), BOARD)
    cost, memory = compiled.cost, compiled.plan.memory
    assert (pick["sram_bytes"], pick["flash_bytes"]) == (cost.sram_bytes, cost.flash_bytes)
    assert pick["instructions"] == cost.instructions <= 60_000
    assert (pick["macs"], pick["parameters"]) == (structure.macs, structure.parameters)
    assert (pick["arena_bytes"], pick["arena_lower_bound"]) == (memory.arena_bytes, memory.lower_bound)

    graph = read_tflite(result.model)
    for part, key in ((DATA.test, "accuracy_int8"), (DATA.validation, "accuracy_int8_validation")):
        codes = to_codes(resample(part.inputs, subnet.resolution))
        (outputs,) = (
            reference.run(graph, {name: codes})[graph.structure.outputs[0]] for name in graph.structure.inputs
        )
        assert pick[key] == round(float((outputs.argmax(1) == part.labels).mean()), 5)


def test_the_pick_is_the_best_of_what_was_measured(result: SearchResult) -> None:
    front = result.report["front"]
    measured = {row["subnet"]: row for row in front if row["accuracy_int8_validation"] is not None}
    assert 1 <= len(measured) <= 4 and result.report["pick"]["subnet"] in measured
    best = max(row["accuracy_int8_validation"] for row in measured.values())
    reach = [row for row in measured.values() if row["accuracy_int8_validation"] >= best - 0.002]
    assert measured[result.report["pick"]["subnet"]]["instructions"] == min(row["instructions"] for row in reach)
    assert all(row["instructions"] <= 60_000 for row in front)
    rows = result.archive.to_json(OPTIONS.budget)["rows"]
    assert result.report["evaluations"] == len(result.archive) == len({row[0] for row in rows})
    assert 0 < result.report["hypervolume"] <= 1


def test_more_subnets_can_be_measured_and_the_best_of_them_is_picked() -> None:
    told: list[str] = []
    options = SearchOptions(budget_for(BOARD), seed=3)
    few, many = (search(EVALUATOR, PREDICTOR, replace(options, measure=count), told.append) for count in (3, 20))
    rows = {row["subnet"]: row for row in many.report["front"]}
    measured = {name: row for name, row in rows.items() if row["accuracy_int8_validation"] is not None}
    before = {row["subnet"] for row in few.report["front"]}
    assert len(measured) == 20 and before < set(rows) and set(measured) - before
    predicted = [row["accuracy_predicted"] for row in rows.values()]
    assert predicted == sorted(predicted, reverse=True)
    archive = many.archive
    likely = archive.genes[archive.likeliest(options.budget, 15)].tolist()
    assert {str(archive.genome.decode(genes)) for genes in likely} < set(measured)
    best = max(row["accuracy_int8_validation"] for row in measured.values())
    assert many.report["pick"]["accuracy_int8_validation"] >= best - 0.002
    assert best >= max(row["accuracy_int8_validation"] or 0 for row in few.report["front"])
    assert [text for text in told if "(9 to 16 of 20)" in text]


def test_examples_that_are_apart_are_tested_on_their_own(result: SearchResult) -> None:
    assert result.report["pick"]["accuracy_int8_apart"] == {}
    data = replace(DATA, apart={"silence (test)": DATA.test})
    pick = search(Evaluator(lively_supernet(0), data), PREDICTOR, OPTIONS).report["pick"]
    assert pick["accuracy_int8_apart"] == {"silence (test)": pick["accuracy_int8"]}


def test_the_same_seed_gives_the_same_bytes(result: SearchResult) -> None:
    again = search(Evaluator(lively_supernet(0), DATA), PREDICTOR, OPTIONS)
    assert again.model == result.model and np.array_equal(again.archive.genes, result.archive.genes)
    clock = ("seconds", "evaluations_per_second")
    assert {k: v for k, v in again.report.items() if k not in clock} == {
        k: v for k, v in result.report.items() if k not in clock
    }


def test_another_objective_gives_up_accuracy_for_it(result: SearchResult) -> None:
    options = SearchOptions(OPTIONS.budget, Objective.INSTRUCTIONS, give=1.0, seed=3)
    report = search(EVALUATOR, PREDICTOR, options).report
    cheap = report["pick"]
    assert cheap["subnet"] == min(report["front"], key=lambda row: row["instructions"])["subnet"]
    assert cheap["instructions"] < result.report["pick"]["instructions"]


def test_a_subnet_whose_weights_need_more_than_its_shapes_promise_is_not_picked(result: SearchResult) -> None:
    pick = result.report["pick"]
    (promised,) = (row["flash_bytes"] for row in result.report["front"] if row["subnet"] == pick["subnet"])
    bound = pick["flash_bytes"] - 1
    assert promised <= bound
    budget = budget_for(BOARD, max_instructions=60_000, max_flash=bound)
    other = search(EVALUATOR, PREDICTOR, SearchOptions(budget, seed=3)).report
    assert other["pick"]["flash_bytes"] <= bound and other["pick"]["subnet"] != pick["subnet"]
    assert pick["subnet"] not in [row["subnet"] for row in other["front"]]


def test_the_table_says_what_its_costs_are_planned_from(
    result: SearchResult, capsys: pytest.CaptureFixture[str]
) -> None:
    print_report({"run": "runs/x", **result.report})
    said = " ".join(capsys.readouterr().out.split())
    assert "these rows are planned from shapes alone" in said and "pick, below, are planned with its weights" in said


def test_nothing_fits_where_all_weights_need_too_much(result: SearchResult) -> None:
    smallest = int(result.archive.objectives[:, 2].min())
    with pytest.raises(InfeasibleError, match="with its weights, the last subnet left, r.* B of flash") as caught:
        search(EVALUATOR, PREDICTOR, SearchOptions(budget_for(BOARD, max_flash=smallest), seed=3))
    assert caught.value.details["constraint"] == "flash"


def test_nothing_is_measured_where_nothing_fits() -> None:
    told: list[str] = []
    with pytest.raises(InfeasibleError):
        search(EVALUATOR, PREDICTOR, SearchOptions(budget_for(BOARD, max_flash=100)), told.append)
    assert told == []


def test_a_run_is_complete_when_its_report_is_there(tmp_path: Path, result: SearchResult) -> None:
    run = Run(tmp_path / "run")
    report = write_run(run, result, {"seed": 3})
    assert find_run(run.folder).report() == json.loads(json.dumps(report))
    assert report["run"] == str(run.folder) and run.model() == result.model
    assert run.read("config.json")["seed"] == 3
    stored = json.loads((run.folder / "evaluated.json").read_text())
    rows = [dict(zip(stored["columns"], row, strict=True)) for row in stored["rows"]]
    assert len(rows) == len(result.archive)
    assert any(row["excess"] for row in rows)
    assert all((row["instructions"] > 60_000) == (row["excess"] > 0) for row in rows)
    written = sorted(run.folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert written[-1].name == "report.json"


def test_specialised_networks_leave_the_supernet_alone() -> None:
    before = [value.clone() for value in EVALUATOR.supernet.state_dict().values()]
    for subnet in TINY.sample_balanced(np.random.default_rng(0), 4):
        made = EVALUATOR.specialise(subnet)
        assert made.subnet == subnet and made.graph.structure.name == str(subnet)
        assert 0 <= EVALUATOR.int8_accuracy(made.graph, "validation") <= 1
    assert all(a.equal(b) for a, b in zip(before, EVALUATOR.supernet.state_dict().values(), strict=True))

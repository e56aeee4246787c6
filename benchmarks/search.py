"""How good and how quick searches are: against every subnet of a space, planner and tables, fleets, shipped supernets.

    python -m benchmarks.search [--parts exhaustive speed fleet boards promises weights]

- exhaustive: the front of a search against that of all subnets of the space of fashion-mnist, both by prediction.
- speed: subnets per second by table, milliseconds of the planner, seconds of a search for each shipped supernet.
- fleet: a thousand made-up boards searched once per core, and a sample of them searched each on its own.
- boards: one supernet for every board, everything measured, runs written.
- promises: random subnets of a shipped supernet, compiled and linked for the twins of four boards; SRAM, flash and
  instructions promised from shapes against linked and counted.
- weights: random subnets of every shipped supernet, planned for five cores from shapes and with weights.

Prints tables and updates benchmarks/results/search.json. Seconds are of the machine it ran on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ofa_mcu.devices.model_build import compile_model, model_files, try_on_twin, write_model_project
from ofa_mcu.files import write_json
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.planning.compile import CompileOptions
from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.places import sram_limit
from ofa_mcu.planning.plan import make_plan
from ofa_mcu.planning.runtime import Runtime, settled, shape_cost
from ofa_mcu.profiles import all_profiles, load_profile
from ofa_mcu.search.archive import Archive, hypervolume
from ofa_mcu.search.budget import budget_for
from ofa_mcu.search.features import Genome
from ofa_mcu.search.fleet import FleetRequest, drawn_budgets, made_up_fleet, picks
from ofa_mcu.search.nsga import evolve
from ofa_mcu.search.predictor import load_predictor
from ofa_mcu.search.recommend import Source
from ofa_mcu.search.tables import CostTables
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import SPACES
from ofa_mcu.supernet.shipped_files import PREDICTOR_FILE, supernet_folder

RESULTS = Path(__file__).parent / "results" / "search.json"
BOARD = "stm32f746"
PROMISED_ON = ("stm32f103", "rp2040", "stm32f746", "mps3_an547")
PLANNED_ON = ("rp2040", "stm32f103", "stm32f446", "stm32f746", "mps3_an547")
"""A board of each core."""
_RANDOM = 30
_SAMPLE = 20
_DRAWN = 50_000


def exhaustive() -> dict[str, Any]:
    """The front found against the true one."""
    predictor, profile = load_predictor(supernet_folder("fashion-mnist", None) / PREDICTOR_FILE), load_profile(BOARD)
    every = Archive(predictor, profile)
    every.evaluate(every.genome.encode_all(predictor.space))
    rows = []
    budgets = {
        "the board's own": budget_for(profile),
        "20 KB of SRAM, 64 KB of flash": budget_for(profile, 20_480, 65_536),
        "1 million instructions": budget_for(profile, max_instructions=1_000_000),
    }
    for name, budget in budgets.items():
        began = time.monotonic()
        archive = Archive(predictor, profile)
        evolve(archive, budget, 0)
        seconds = time.monotonic() - began
        fitting = every.objectives[every.excess(budget) <= 0]
        ends = fitting.min(0), fitting.max(0)
        found, true = archive.objectives[archive.front(budget)], every.objectives[every.front(budget)]
        volumes = [hypervolume(front, *ends) for front in (found, true)]
        rows.append(
            {
                "bounds": name,
                "subnets": len(every),
                "fitting": len(fitting),
                "evaluations": len(archive),
                "seconds": round(seconds, 2),
                "front": len(found),
                "true_front": len(true),
                "hypervolume_share": volumes[0] / volumes[1],
            }
        )
    return {"space": predictor.space.name, "rows": rows}


def speed() -> dict[str, Any]:
    """Tables and planner on the spaces, searches as a user runs them, each in a process of its own."""
    rows = []
    profile = load_profile(BOARD)
    figures = core_model(core_of(profile))
    for name, space in SPACES.items():
        rng = np.random.default_rng(0)
        options = [len(each) for each in Genome.of(space).options]
        genes = rng.integers(0, options, (_DRAWN, len(options)))
        tables = CostTables(space, profile)
        cold = _seconds(lambda: tables(genes))  # noqa: B023
        warm = _seconds(lambda: tables(genes))  # noqa: B023
        subnets = space.sample_balanced(rng, 200)
        planned = _seconds(lambda: [make_plan(shape_graph(space, s), figures) for s in subnets])  # noqa: B023
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "ofa_mcu", "search", "--board", BOARD, "--task", name, "--json"]
            began = time.monotonic()
            done = subprocess.run([*command, "--out", f"{folder}/run"], capture_output=True, text=True, check=True)
            searched = time.monotonic() - began
        report = json.loads(done.stdout)
        rows.append(
            {
                "task": name,
                "subnets": space.size,
                "per_second_cold": round(_DRAWN / cold),
                "per_second": round(_DRAWN / warm),
                "planner_ms": 1e3 * planned / len(subnets),
                "search_seconds": round(searched, 1),
                "evaluations": report["evaluations"],
                "pick": report["pick"]["subnet"],
                "accuracy_int8": report["pick"]["accuracy_int8"],
            }
        )
    return {"rows": rows}


def _seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def fleet() -> dict[str, Any]:
    """A thousand boards at once, and some of them one by one."""
    profiles = [profile for profile in all_profiles() if profile.emulator]
    request = FleetRequest(dict.fromkeys(profiles))
    report = made_up_fleet(request, 1000)
    predictor = load_predictor(supernet_folder("fashion-mnist", None) / PREDICTOR_FILE)
    budgets = drawn_budgets(profiles, 1000)
    chosen = np.random.default_rng(0).choice(1000, _SAMPLE, replace=False).tolist()
    differences = []
    for number in chosen:
        archive = Archive(predictor, budgets[number].profile)
        evolve(archive, budgets[number], 0)
        (single,) = picks(archive, [budgets[number]])
        pick = report["boards"][number]["pick"]
        assert (single is None) == (pick is None)
        if single is not None:
            differences.append(round(100 * (single.accuracy - pick["accuracy_predicted"]), 3))
    return {
        "boards": 1000,
        "seconds": report["seconds"],
        "feasible": sum(row["feasible"] for row in report["boards"]),
        "sample": _SAMPLE,
        "sample_feasible": len(differences),
        "largest_difference_points": max(differences),
        "mean_difference_points": float(np.mean(differences)),
    }


def boards() -> dict[str, Any]:
    """`ofa-mcu fleet --boards all`, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ofa_mcu", "fleet", "--boards", "all", "--json", "--out", folder]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds = time.monotonic() - began
    report = json.loads(done.stdout)
    rows = []
    for row in report["boards"]:
        pick = row["pick"] or {}
        names = ("subnet", "accuracy_int8", "sram_bytes", "flash_bytes", "instructions")
        rows.append({"board": row["board"], **{name: pick.get(name) for name in names}})
    return {"seconds": round(seconds, 1), "rows": rows}


def promises() -> dict[str, Any]:
    """What is promised from shapes alone, as for a front, and for the compiled weights, against linked and counted."""
    source = Source("fashion-mnist")
    rng = np.random.default_rng(1)
    graphs = [
        source.evaluator.specialise(subnet).graph for subnet in source.predictor.space.sample_balanced(rng, _RANDOM)
    ]
    rows = []
    for board in PROMISED_ON:
        profile = load_profile(board)
        pairs = []
        for graph in graphs:
            promise = shape_cost(graph.structure, profile, Runtime.COMPILED)
            if promise.flash_bytes > profile.flash_bytes or promise.sram_bytes > profile.ram_bytes:
                continue
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.tflite"
                path.write_bytes(write_tflite(graph))
                made = compile_model(path, profile, CompileOptions(max_sram=sram_limit(profile)))  # as a pick is
                trial = try_on_twin(made, write_model_project(made, Path(folder) / "project", model_files(made)))
            trial.check()
            pairs.append((promise, trial))
        over: dict[str, list[list[float]]] = {"shapes": [], "compiled": []}
        for shapes, trial in pairs:
            counted = trial.measurement.instructions
            assert counted is not None  # an emulator counts
            for kind, promise in (("shapes", shapes), ("compiled", trial.build.promise)):
                flash = promise.flash_bytes - trial.build.image.flash_bytes
                over[kind].append([flash, promise.instructions / counted.median - 1])
        bounds = {kind: (np.min(each, 0), np.max(each, 0)) for kind, each in over.items()}
        rows.append(
            {
                "board": board,
                "subnets": len(pairs),
                "sram_exact": sum(promise.sram_bytes == trial.build.image.sram_bytes for promise, trial in pairs),
                **{f"flash_over_{kind}": [least[0], most[0]] for kind, (least, most) in bounds.items()},
                **{f"instructions_over_{kind}": [least[1], most[1]] for kind, (least, most) in bounds.items()},
                "bytes_compared": sum(trial.measurement.bytes_compared for _, trial in pairs),
                "differing_bytes": sum(trial.differing_bytes for _, trial in pairs),
            }
        )
    return {"subnets": _RANDOM, "rows": rows}


def weights() -> dict[str, Any]:
    """What planning with weights, as for a pick, adds to planning from shapes, as for a front."""
    rows = []
    for task in SPACES:
        source, rng = Source(task), np.random.default_rng(1)
        subnets = source.predictor.space.sample_balanced(rng, _RANDOM)
        graphs = [source.evaluator.specialise(subnet).graph for subnet in subnets]
        for board in PLANNED_ON:
            profile = load_profile(board)
            shapes = [shape_cost(graph.structure, profile, Runtime.COMPILED) for graph in graphs]
            found = [settled(graph, profile, Runtime.COMPILED).cost for graph in graphs]
            pairs = list(zip(shapes, found, strict=True))
            more = [cost.flash_bytes - shape.flash_bytes for shape, cost in pairs]
            shares = {
                "flash_share": [cost.flash_bytes / shape.flash_bytes - 1 for shape, cost in pairs],
                "instructions_share": [cost.instructions / shape.instructions - 1 for shape, cost in pairs],
            }
            rows.append(
                {
                    "task": task,
                    "core": core_of(profile),
                    "sram_equal": sum(cost.sram_bytes == shape.sram_bytes for shape, cost in pairs),
                    "flash_more": [min(more), max(more)],
                    **{name: [round(min(each), 5), round(max(each), 5)] for name, each in shares.items()},
                }
            )
    return {"subnets": _RANDOM, "rows": rows}


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "exhaustive": exhaustive,
    "speed": speed,
    "fleet": fleet,
    "boards": boards,
    "promises": promises,
    "weights": weights,
}


def main() -> None:
    """Print and store what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    for part in parser.parse_args().parts:
        found = PARTS[part]()
        known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        write_json(RESULTS, known | {part: found})
        print(part, json.dumps({name: value for name, value in found.items() if name != "rows"}))
        for row in found.get("rows", []):
            print("  ", json.dumps(row), flush=True)


if __name__ == "__main__":
    main()

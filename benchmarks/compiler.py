"""The compiler's figures: whole models on emulated cores, whole layers by kind, the price of small code.

    python -m benchmarks.compiler [--models vww_96_int8 ...] [--parts models layers sizes cores]

Models come from OFA_MCU_MODELS (files) and from benchmarks/zoo.py (made here, random weights). Every model is compiled,
linked for the twin of a board with the core that a row names, run on random and extreme inputs and compared byte for
byte with TFLite Micro. Prints tables; stores them in benchmarks/results/compiler.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.zoo import NETWORKS
from benchmarks.zoo import models as zoo_models
from ofa_mcu.devices.model_build import compile_model, model_files, try_on_twin, write_model_project
from ofa_mcu.errors import InfeasibleError
from ofa_mcu.files import write_json
from ofa_mcu.graph.pipeline import optimize
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.planning.compile import CompileOptions
from ofa_mcu.planning.core_model import core_model
from ofa_mcu.planning.facts import analyse
from ofa_mcu.planning.plan import Optimize, make_plan
from ofa_mcu.profiles import BoardProfile
from ofa_mcu.reports.compilation import compilation_json
from ofa_mcu.space.shapes import Add, Conv2D, DepthwiseConv2D, FullyConnected, Operator, ShapeGraph
from tests.codegen.emulation import Emulator
from tests.planning.networks import roomy_board

RESULTS = Path(__file__).parent / "results" / "compiler.json"

CORES = ("cortex-m7", "cortex-m4", "cortex-m33", "cortex-m3", "cortex-m0plus", "cortex-m55")
GIVEN = ("vww_96_int8", "kws_ref_model", "mcunet_vww1", "micro_speech_quantized")

TFLM_CMSIS_NN: dict[str, tuple[float, int]] = {
    "vww_96_int8": (24.03, 100_708),
    "kws_ref_model": (7.65, 22_820),
    "mcunet_vww1": (47.80, 219_808),
    "micro_speech_quantized": (1.489, 6_836),
}
"""Million instructions and arena bytes of TFLite Micro with CMSIS-NN, counted in QEMU 7.2 mps2-an500 with the same
compiler; its arena counts the float tensors that mcunet_vww1 has at its borders."""


def model_paths(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The files of the models, those of the zoo written to the folder."""
    found: dict[str, Path] = {}
    given = os.environ.get("OFA_MCU_MODELS")
    for name in names:
        path = Path(given) / f"{name}.tflite" if given else None
        if path is not None and path.exists():
            found[name] = path
    if set(names) - set(found):
        for name, data in zoo_models().items():
            if name in names:
                found[name] = folder / f"{name}.tflite"
                found[name].write_bytes(data)
    return found


def roomy(core: str) -> BoardProfile:
    """A board with the core and memory for any model; that of Cortex-M55 is the emulated machine itself."""
    board = roomy_board(core)
    return board if core == "cortex-m55" else replace(board, flash_bytes=4 << 20, ram_bytes=2 << 20)


def compiled(model: Path, core: str, options: CompileOptions, *, emulate: bool = False) -> dict[str, Any] | None:
    """What `ofa-mcu compile --json` says of the model; None where it does not fit."""
    made = compile_model(model, roomy(core), options)
    files = model_files(made)
    try:
        made.check_fit()
    except InfeasibleError as error:
        print(error, file=sys.stderr)
        return None
    if not emulate:
        return compilation_json(made, None)
    with tempfile.TemporaryDirectory() as folder:
        project = write_model_project(made, Path(folder) / "project", files, lambda text: None)
        trial = try_on_twin(made, project)
        trial.check()
        return compilation_json(made, trial)


def whole_models(files: dict[str, Path], core: str) -> list[dict[str, Any]]:
    """One row per model and pass setting, emulated."""
    rows = []
    for name, path in files.items():
        for dead_channels in (True, False):
            if not dead_channels and name != "vww_96_int8":
                continue
            seen = compiled(path, core, CompileOptions(dead_channels=dead_channels), emulate=True)
            if seen is None:
                continue
            given, arena = TFLM_CMSIS_NN.get(name, (None, None))
            rows.append(
                {
                    "model": name if dead_channels else f"{name} (dead channels kept)",
                    "core": core,
                    **{key: seen[key] for key in ("macs", "live_macs", "instructions", "instructions_predicted")},
                    **{key: seen[key] for key in ("arena_bytes", "arena_lower_bound", "flash_code_bytes")},
                    **{key: seen[key] for key in ("flash_weight_bytes", "stack_used", "bytes_compared")},
                    "differing_bytes": seen["differing_bytes"],
                    "seconds": seen["seconds"],
                    "tflm_cmsis_nn_instructions": None if given is None or core != "cortex-m7" else given * 1e6,
                    "tflm_arena": arena,
                }
            )
    return rows


def kind_of(structure: ShapeGraph, operator: Operator) -> str | None:
    """The kind of layer in words, with what its cost per MAC depends on most."""
    depth = structure.shapes[operator.inputs[0]][-1]
    match operator:
        case Conv2D(kernel=(1, 1), stride=(1, 1)):
            return f"1x1 convolution, {depth} input channels"
        case Conv2D(kernel=(rows, columns)):
            return f"{rows}x{columns} convolution, {depth} input channels"
        case DepthwiseConv2D(kernel=(rows, columns), stride=(stride, _)):
            return f"{rows}x{columns} depthwise, stride {stride}"
        case FullyConnected():
            return "fully connected"
        case Add():
            return "add (per element)"
    return None


def layers(files: dict[str, Path], core: str) -> list[dict[str, Any]]:
    """Every layer of the models, counted one by one; promise beside it."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        emulator = Emulator(core, Path(folder))
        for name, path in files.items():
            graph = optimize(read_tflite(path.read_bytes(), path.name)).graph
            if graph.structure.floats:
                continue
            plan = make_plan(graph.structure, core_model(core), analyse(graph))
            if plan.arena_bytes > 100_000 or sum(one.way.constant_bytes for one in plan.ways) > 700_000:
                continue  # the machine that counts single instructions has 128 KB of RAM and 1 MB of flash
            size = sum(map(graph.structure.bytes_of, graph.structure.inputs))
            codes = np.random.default_rng(0).integers(-128, 128, (1, size)).astype(np.int8)
            for operator, one, seen in zip(
                graph.structure.operators, plan.ways, emulator.run(graph, codes, plan)[0], strict=True
            ):
                elements = graph.structure.bytes_of(operator.output)
                macs = graph.structure.macs_of(operator) or elements
                rows.append(
                    {
                        "core": core,
                        "model": name,
                        "layer": operator.name,
                        "kind": kind_of(graph.structure, operator),
                        "shape": list(graph.structure.shapes[operator.output][1:]),
                        "activation": getattr(operator, "activation", None) and operator.activation.value,  # type: ignore[attr-defined]
                        "kernel": f"{one.way.kernel} {one.way.variant}".strip(),
                        "macs": macs,
                        "instructions": seen.instructions,
                        "per_mac": round(seen.instructions / macs, 3),
                        "promised": round(one.instructions),
                        "error": round(one.instructions / max(seen.instructions, 1) - 1, 4),
                    }
                )
    return rows


def sizes(files: dict[str, Path], core: str) -> list[dict[str, Any]]:
    """What small code costs."""
    rows = []
    for name, path in files.items():
        row: dict[str, Any] = {"model": name}
        for goal in Optimize:
            seen = compiled(path, core, CompileOptions(goal))
            if seen is None:
                break
            how = goal.value
            row[f"{how}_code"] = seen["flash_code_bytes"]
            row[f"{how}_instructions"] = seen["instructions_predicted"]
        else:
            rows.append(row)
    return rows


def show(title: str, rows: Iterable[dict[str, Any]]) -> None:
    """A table of rows with equal keys."""
    rows = list(rows)
    table = Table(title=title)
    for key in rows[0] if rows else ():
        table.add_column(key.replace("_", " "), justify="left" if isinstance(rows[0][key], str) else "right")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int | float) else str(value) for value in row.values()))
    Console(width=220).print(table)


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Instructions per MAC by kind of layer."""
    kinds: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["kind"]:
            kinds[row["core"], row["kind"]].append(row)
    return [
        {
            "core": core,
            "kind": kind,
            "layers": len(found),
            "best": min(row["per_mac"] for row in found),
            "whole": round(sum(row["instructions"] for row in found) / sum(row["macs"] for row in found), 3),
            "worst": max(row["per_mac"] for row in found),
        }
        for (core, kind), found in sorted(kinds.items())
    ]


def main() -> None:
    """Print and store what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=[*GIVEN, *NETWORKS])
    parser.add_argument("--parts", nargs="+", default=["models", "cores", "layers", "sizes"])
    asked = parser.parse_args()
    stored: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = model_paths(folder, asked.models)
        some = {key: path for key, path in files.items() if key in GIVEN}
        if "models" in asked.parts:
            stored["models"] = whole_models(files, "cortex-m7")
            show("Whole models, Cortex-M7", stored["models"])
        if "cores" in asked.parts:
            stored["cores"] = [row for core in CORES[1:] for row in whole_models(some, core)]
            show("Whole models, other cores", stored["cores"])
        if "layers" in asked.parts:
            stored["layers"] = layers(files, "cortex-m7") + layers(some, "cortex-m55")
            show("Layers", stored["layers"])
            stored["kinds"] = summary(stored["layers"])
            show("Layers by kind, instructions per MAC", stored["kinds"])
        if "sizes" in asked.parts:
            stored["sizes"] = sizes(files, "cortex-m7")
            show("Code bytes and instructions", stored["sizes"])
    write_json(RESULTS, stored)


if __name__ == "__main__":
    main()

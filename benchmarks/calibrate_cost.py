"""Measures what the planner's cost model needs to know of each core: writes ofa_mcu/planning/data/<core>.json.

Instructions: random layers, generated as C and counted one by one in QEMU; the weights of each kernel's loops are
fitted on two thirds of them (non-negative, least relative error) and held against the rest. Sizes: linked firmware of
small models, each kernel alone and together, and of networks of the fashion-mnist space. What an inference takes
besides its layers: from the counts those networks report over the serial line. Prints the errors; asserts nothing.

Same toolchain, same figures. Run from the root of a checkout (a minute per core):

    python -m benchmarks.calibrate_cost [--cores cortex-m7 ...]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmarks.cost_probes import probe_graph
from ofa_mcu.devices.build import build_project
from ofa_mcu.devices.elf import Image, read_image
from ofa_mcu.devices.project import write_project
from ofa_mcu.files import write_json
from ofa_mcu.planning.core_model import DATA
from ofa_mcu.planning.features import FEATURES, layer_features
from ofa_mcu.planning.layout import kernel_of, weight_bytes
from ofa_mcu.profiles import BoardProfile, all_profiles
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.shapes import (
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Operator,
    Padding,
    Shape,
    ShapeGraph,
)
from tests.codegen.emulation import Emulator
from tests.kernels.toolchain import ARM_CORES
from tests.planning.networks import link, model_files, quantized, roomy_board, run_once

FLAGS = ("-O2", "-std=gnu11", "-ffunction-sections", "-fdata-sections")
PROBE_GRAPHS = 44
SIZE_INPUT: Shape = (1, 6, 6, 8)
SHORTEST = 300
"""Instructions; in shorter layers the address of a buffer, an instruction longer or shorter, shows."""
SHARED = ("ofa_fully_connected ofa_pointwise", "ofa_conv2d ofa_depthwise")
"""Kernels with code in common."""


Rows = dict[str, list[tuple[tuple[float, ...], int]]]


def measure_layers(core: str, folder: Path) -> Rows:
    """By kernel: the numbers of each probe layer and the instructions it took."""
    rng = np.random.default_rng(0)
    emulator = Emulator(core, folder)
    rows: Rows = {kernel: [] for kernel in FEATURES}
    for _ in range(PROBE_GRAPHS):
        graph = quantized(probe_graph(rng), rng)
        size = graph.structure.bytes_of("input")
        seen = emulator.run(graph, rng.integers(-128, 128, (1, size)).astype(np.int8))[0]
        for operator, observation in zip(graph.structure.operators, seen, strict=True):
            kernel, counts = layer_features(graph.structure, operator)
            if observation.instructions >= SHORTEST:
                rows[kernel].append((counts, observation.instructions))
    return rows


def fit(rows: Sequence[tuple[tuple[float, ...], int]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The weights, and the relative errors on the third that was held out."""
    counts = np.array([row[0] for row in rows], float)
    relative = counts / np.array([[row[1]] for row in rows], float)
    held = np.arange(len(rows)) % 3 == 2
    weights = np.round(nnls(relative[~held], np.ones((~held).sum()))[0], 3)
    return weights, relative[held] @ weights - 1


def size_layer(kernel: str, name: str, source: str) -> tuple[Operator, Shape]:
    """A layer that the kernel runs, reading 6x6x8 codes, and its output's shape."""
    at = {"name": name, "inputs": (source,), "output": name}
    window = {"kernel": (3, 3), "padding": Padding(1, 1, 1, 1)}
    match kernel:
        case "ofa_pointwise":
            return Conv2D(**at, kernel=(1, 1)), SIZE_INPUT
        case "ofa_conv2d":
            return Conv2D(**at, **window), SIZE_INPUT
        case "ofa_depthwise":
            return DepthwiseConv2D(**at, **window), SIZE_INPUT
        case "ofa_add":
            return Add(name=name, inputs=(source, source), output=name), SIZE_INPUT
        case "ofa_mean":
            return Mean(**at), (1, SIZE_INPUT[-1])
        case "ofa_fully_connected":
            return FullyConnected(**at), (1, 10)
    raise ValueError(kernel)


def size_model(*kernels: str) -> ShapeGraph:
    """A model of one layer per name; those with maps as outputs follow one another."""
    operators: list[Operator] = []
    shapes: dict[str, Shape] = {"input": SIZE_INPUT}
    source = "input"
    for index, kernel in enumerate(kernels):
        operator, shape = size_layer(kernel, f"layer{index}", source)
        operators.append(operator)
        shapes[operator.output] = shape
        source = operator.output if len(shape) == 4 else source
    return ShapeGraph("size", shapes, tuple(operators), ("input",), (operators[-1].output,))


def size_models() -> list[ShapeGraph]:
    """Each kernel alone, once and often, and those with code in common together."""
    alone = [size_model(*[kernel] * count) for kernel in FEATURES for count in (1, 5)]
    return [*alone, *(size_model(*names.split()) for names in SHARED)]


def networks() -> list[ShapeGraph]:
    """The corners of the fashion-mnist space and two networks inside; the last two are not fitted."""
    rng = np.random.default_rng(1)
    subnets = [FASHION_MNIST.smallest, FASHION_MNIST.largest, FASHION_MNIST.sample(rng), FASHION_MNIST.sample(rng)]
    return [shape_graph(FASHION_MNIST, subnet) for subnet in subnets]


def link_nothing(folder: Path, profile: BoardProfile) -> Image:
    """The firmware with a model of 16 bytes that does nothing."""
    files = model_files(quantized(size_model("ofa_add"), np.random.default_rng(0)))[0]
    header = files["ofa_model.h"].splitlines()
    header = [" ".join([*line.split()[:2], "16"]) if "_BYTES" in line else line for line in header]
    source = """\
#include "ofa_model.h"
int8_t ofa_arena[OFA_MODEL_ARENA_BYTES] __attribute__((section(".ofa_arena"), aligned(16)));
int8_t *ofa_model_input(void) { return ofa_arena; }
const int8_t *ofa_model_output(void) { return ofa_arena; }
void ofa_model_run(void) { }
"""
    texts = dict.fromkeys(files, "") | {"ofa_model.h": "\n".join([*header, ""]), "ofa_model.c": source}
    build = build_project(write_project(folder / "project", profile, texts), build_dir=folder / "build", jobs=1)
    return read_image(build.elf)


def code_terms(structure: ShapeGraph) -> list[float]:
    """How often a model has each term of the code size: kernels, common code, layers by kernel."""
    kernels = [kernel_of(operator) for operator in structure.operators]
    shared = [any(kernel in names.split() for kernel in kernels) for names in SHARED]
    return [*(kernel in kernels for kernel in FEATURES), *shared, *(kernels.count(kernel) for kernel in FEATURES)]


def solve_sizes(base: int, code: Iterable[tuple[ShapeGraph, int]]) -> NDArray[np.float64]:
    """Bytes of each term from the code sizes of models, constants taken away."""
    rows = [(code_terms(structure), size - base) for structure, size in code]
    terms = np.array([row[0] for row in rows], float)
    return np.asarray(nnls(terms, np.array([row[1] for row in rows], float))[0])


def table(core: str, lines: Sequence[Sequence[str]]) -> None:
    """Prints aligned columns."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    print(f"\n{core}")
    for line in lines:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def calibrate(core: str, folder: Path) -> dict[str, object]:
    """Every figure of one core, JSON-ready; prints the errors."""
    rng = np.random.default_rng(2)
    profile = roomy_board(core)
    weights: dict[str, dict[str, float]] = {}
    errors: dict[str, dict[str, float]] = {}
    lines = [("kernel", "layers", "held out", "largest error", "mean error")]
    (folder / "probes").mkdir(parents=True)
    for kernel, rows in measure_layers(core, folder / "probes").items():
        found, error = fit(rows)
        weights[kernel] = dict(zip(FEATURES[kernel], found.tolist(), strict=True))
        largest, mean = float(abs(error).max()), float(abs(error).mean())
        errors[kernel] = {"layers": len(error), "largest": round(largest, 5), "mean": round(mean, 5)}
        lines.append((kernel, str(len(rows)), str(len(error)), f"{largest:.3%}", f"{mean:.3%}"))
    table(core, lines)

    empty = link_nothing(folder, profile)
    static = empty.sram_bytes - empty.sram[".stack"] - empty.sram[".ofa_arena"]
    linked = [link(folder, profile, quantized(structure, rng)) for structure in size_models()]
    sizes = [(one.graph.structure, one.image.flash_bytes - weight_bytes(one.graph.structure)) for one in linked]
    counts: list[tuple[int, float]] = []
    checked: list[tuple[ShapeGraph, int]] = []
    for structure in networks():
        one = link(folder, profile, quantized(structure, rng))
        checked.append((structure, one.image.flash_bytes))
        layers = [layer_features(structure, operator) for operator in structure.operators]
        promised = sum(float(np.dot(list(weights[kernel].values()), values)) for kernel, values in layers)
        counts.append((run_once(one, rng), promised))
    fitted = [*sizes, *((structure, flash - weight_bytes(structure)) for structure, flash in checked[:2])]
    terms = solve_sizes(empty.flash_bytes, fitted)
    # Least relative error, so that the error of the largest network's layers does not count as overhead.
    relative = np.array([[1 / seen, 1 - promised / seen] for seen, promised in counts[:2]])
    inference = float(nnls(relative[:, :1], relative[:, 1])[0][0])
    lines = [("network", "instructions", "error", "flash", "error")]
    for (structure, flash), (seen, promised) in zip(checked, counts, strict=True):
        size = empty.flash_bytes + float(np.dot(code_terms(structure), terms)) + weight_bytes(structure)
        error = (promised + inference) / seen - 1
        lines.append((structure.name, f"{seen:,}", f"{error:+.3%}", f"{flash:,}", f"{size - flash:+.0f} B"))
    table(core, lines)

    kernels, shared = len(FEATURES), len(SHARED)
    code = np.round(terms, 1).tolist()
    return {
        "core": core,
        "compiler": compiler(),
        "flags": " ".join((*ARM_CORES[core][:2], *FLAGS)),
        "static_bytes": static,
        "base_flash_bytes": empty.flash_bytes,
        "kernel_code_bytes": {name: round(size) for name, size in zip(FEATURES, code[:kernels], strict=True)},
        "shared_code_bytes": {
            name: round(size) for name, size in zip(SHARED, code[kernels : kernels + shared], strict=True)
        },
        "layer_code_bytes": dict(zip(FEATURES, code[kernels + shared :], strict=True)),
        "instructions": weights,
        "inference_instructions": round(inference, 1),
        "errors": errors,
    }


def compiler() -> str:
    """The compiler's own first line about itself."""
    done = subprocess.run(["arm-none-eabi-gcc", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def main() -> None:
    """Measures the cores and writes their files, each atomically."""
    everything = sorted({profile.emulator.core for profile in all_profiles() if profile.emulator is not None})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", default=everything, choices=everything, metavar="CORE")
    for core in parser.parse_args().cores:
        with tempfile.TemporaryDirectory() as name:
            os.environ["PLATFORMIO_CORE_DIR"] = str(Path(name) / "core")
            write_json(DATA / f"{core}.json", calibrate(core, Path(name)))


if __name__ == "__main__":
    main()

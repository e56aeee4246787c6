"""Measures what the planner's cost model needs to know of each core: writes ofa_mcu/planning/data/<core>.json.

Instructions: random layers, generated as C in every way there is and counted one by one in QEMU; the weights of each
kernel's numbers are fitted on two thirds of them (non-negative, least relative error) and held against the rest. Sizes:
of the functions that those layers and their kernels were compiled to. What an inference takes besides its layers: from
the counts that networks report over the serial line, with their linked sizes as a check. Prints the errors; asserts
nothing.

Same toolchain, same figures. Run from the root of a checkout (some minutes per core):

    python -m benchmarks.calibrate_cost [--cores cortex-m7 ...] [--kinds depthwise ...] [--kernels ofa_depthwise ...]

The loops of cascades alone (some minutes per core):

    python -m benchmarks.calibrate_cost --cascades

After a change of the firmware around the models, its own figures alone (a minute per core):

    python -m benchmarks.calibrate_cost --firmware
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from benchmarks.cascade_probes import cascade_rows
from benchmarks.cost_probes import FILTERS, OTHERS, PROBE_KINDS, probe_graph
from benchmarks.m4_timing import cycles_of, plugin, profile_command
from ofa_mcu.codegen.layers import make_layers
from ofa_mcu.devices.build import build_project
from ofa_mcu.devices.elf import Image, read_image
from ofa_mcu.devices.project import write_project
from ofa_mcu.files import write_json
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.planning.core_model import DATA, core_model
from ofa_mcu.planning.cost import estimate
from ofa_mcu.planning.facts import analyse
from ofa_mcu.planning.kernels import KERNELS
from ofa_mcu.planning.kernels.base import Code, Flavour, Kernel, Way
from ofa_mcu.planning.memory import lifetimes, place
from ofa_mcu.planning.plan import Plan, make_plan
from ofa_mcu.planning.priced import PricedWay, kernel_named, variant_name
from ofa_mcu.profiles import BoardProfile, all_profiles
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.shapes import ShapeGraph
from tests.codegen.emulation import FLAVOURS, Emulator
from tests.codegen.models import side_by_side, ways_of
from tests.kernels.toolchain import ARM_CORES
from tests.planning.networks import link, quantized, roomy_board, run_once

FLAGS = ("-O2", "-std=gnu11", "-ffunction-sections", "-fdata-sections")
GRAPHS_PER_KIND = 10
ENOUGH = 24
"""Layers that a kernel needs for its weights to be told from each other."""
COVERED, COVER_GRAPHS = 6, 150
"""Layers in which every number of a kernel that can be other than zero is to be; graphs of a kind tried for that."""
GRAPHS = {"others": 45, "sum": 60, "depthwise": 30, "wide": 30, "vectors": 60, "dots": 40}
"""Where they are not `GRAPHS_PER_KIND`."""
OTHERS_PER_GRAPH = 8
WAYS_PER_GRAPH = 5
MOST_SCRATCH, MOST_ARENA = 40_000, 100_000
"""Bytes, of 128 KB of RAM."""
TIMED = ("cortex-m4",)
"""Cores whose published timing is known to `m4_timing`."""
TIMED_GRAPHS = 3
_NEEDS = {"sum": Flavour.DSP, "vectors": Flavour.MVE, "dots": Flavour.MVE}
SHORTEST = 400
"""Instructions; in shorter layers the address of a buffer, an instruction longer or shorter, shows."""


@dataclass
class Samples:
    """What was measured: by kernel the numbers and instructions of layers and the bytes of their own functions;
    generated functions' terms and bytes; how often each variant was drawn."""

    layers: dict[str, list[tuple[tuple[float, ...], int]]] = field(default_factory=lambda: defaultdict(list))
    own: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    generated: list[tuple[tuple[Code, ...], int]] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def symbols(elf: Path) -> dict[str, int]:
    """Bytes of every function of a linked program."""
    done = subprocess.run(["arm-none-eabi-nm", "-S", str(elf)], capture_output=True, text=True, check=True)
    rows = [line.split() for line in done.stdout.splitlines()]
    return {row[3]: -(-int(row[1], 16) // 4) * 4 for row in rows if len(row) == 4 and row[2] in "tTW"}


def free_plan(graph: Int8Graph, ways: Sequence[Way]) -> Plan:
    """A plan of these ways with every buffer in a place of its own, or overlapping where that would not fit."""
    memory = side_by_side(graph.structure, ways)
    if memory.arena_bytes > 90_000:
        memory = place(lifetimes(graph.structure), ways)
    return Plan(graph.structure, tuple(PricedWay(way, 0.0) for way in ways), memory, "probe")


def measure(core: str, folder: Path, kinds: Sequence[str] = PROBE_KINDS) -> Samples:
    """Every way of random layers of these kinds, names in `PROBE_KINDS` or of operators."""
    rng = np.random.default_rng(0)
    emulator = Emulator(core, folder)
    samples = Samples()
    named = {kind.__name__: kind for kind in OTHERS}
    for kind in kinds:
        if not meant_for(core, kind):
            continue
        # What runs kernels of every flavour needs more layers for each of them.
        graphs = GRAPHS.get(kind, GRAPHS_PER_KIND) * (1 + (FLAVOURS[core] is Flavour.MVE and kind in (*FILTERS, "sum")))
        for index in range(graphs):
            others = [OTHERS[(index * OTHERS_PER_GRAPH + i) % len(OTHERS)] for i in range(OTHERS_PER_GRAPH)]
            if kind in named:
                others = [named[kind]] * OTHERS_PER_GRAPH
            graph = probe_graph(rng, "others" if kind in named else kind, others=others)
            options = runnable(graph, core)
            for _ in range(min(WAYS_PER_GRAPH, max(map(len, options)))):
                ways = [rarest(samples, each, rng) for each in options]
                collect(samples, emulator, graph, free_plan(graph, ways), rng)
    cover(samples, core, emulator, kinds)
    return samples


def cover(samples: Samples, core: str, emulator: Emulator, kinds: Sequence[str]) -> None:
    """Goes on until every number that any way of a few hundred more layers has was measured, in some layers of its own.

    What was never measured has no price, and the planner would not use it.
    """
    rng = np.random.default_rng(1)
    seen: dict[tuple[str, str], int] = defaultdict(int)
    features = {name: kernel.features for name, kernel in kernels_of(core).items()}

    def rare(way: Way) -> list[tuple[str, str]]:
        pairs = zip(features[way.kernel], all_counts(way), strict=True)
        found = [(way.kernel, feature) for feature, count in pairs if count]
        return [one for one in found if seen[one] < COVERED]

    def count(kernel: str, counts: Sequence[float]) -> None:
        for feature, number in zip(features[kernel], counts, strict=True):
            seen[kernel, feature] += number > 0

    for kernel, rows in samples.layers.items():
        for counts, _ in rows:
            count(kernel, counts)
    for kind in dict.fromkeys(kinds):
        if not meant_for(core, kind):
            continue
        for _ in range(COVER_GRAPHS):
            graph = probes_of(kind, rng)
            options = runnable(graph, core)
            ways = [max(each, key=lambda way: len(rare(way))) for each in options]
            if any(rare(way) for way in ways):
                before = {kernel: len(rows) for kernel, rows in samples.layers.items()}
                collect(samples, emulator, graph, free_plan(graph, ways), rng)
                for kernel, rows in samples.layers.items():
                    for counts, _ in rows[before.get(kernel, 0) :]:
                        count(kernel, counts)


def runnable(graph: Int8Graph, core: str) -> list[list[Way]]:
    """The ways of every layer that work in little enough memory for the machine, or that of least."""
    return [
        [way for way in ways if way.scratch_bytes <= MOST_SCRATCH] or [min(ways, key=lambda way: way.scratch_bytes)]
        for ways in ways_of(graph, analyse(graph), FLAVOURS[core])
    ]


def meant_for(core: str, kind: str) -> bool:
    """Whether the core runs what probes of the kind are there for."""
    return _NEEDS.get(kind, Flavour.PORTABLE) in FLAVOURS[core].runs


def probes_of(kind: str, rng: np.random.Generator) -> Int8Graph:
    """Layers of a kind: one of `PROBE_KINDS`, or the name of an operator."""
    named = {one.__name__: one for one in OTHERS}
    if kind in named:
        return probe_graph(rng, "others", others=[named[kind]] * OTHERS_PER_GRAPH)
    return probe_graph(rng, kind, others=[OTHERS[int(i)] for i in rng.integers(len(OTHERS), size=OTHERS_PER_GRAPH)])


def rarest(samples: Samples, ways: Sequence[Way], rng: np.random.Generator) -> Way:
    """One of the ways whose variant was seen least so far, with some chance."""
    fewest = min(samples.seen[sort_of(way)] for way in ways)
    few = [way for way in ways if samples.seen[sort_of(way)] <= fewest + 2]
    way = few[int(rng.integers(len(few)))]
    samples.seen[sort_of(way)] += 1
    return way


def sort_of(way: Way) -> str:
    """The variant, the same for bands of any size but 1 and 4: else new sizes would be drawn again and again."""
    return re.sub(r"band (?!1$|4$)\d+", "band", variant_name(way))


AROUND = frozenset(
    (
        *("main", "Reset_Handler", "fault", "leave", "put", "semihost", "now", "start_timer"),
        *("ofa_model_observe", "ofa_model_run", "ofa_model_input", "ofa_model_output"),
    )
)
"""Functions of the program around the layers of a model."""


def random_input(graph: Int8Graph, rng: np.random.Generator) -> NDArray[np.int8]:
    """Codes, or the bytes of floats, for the graph's input: (1, bytes)."""
    size = graph.structure.bytes_of("input")
    if "input" in graph.structure.floats:
        return rng.standard_normal((1, size // 4)).astype(np.float32).view(np.int8)
    return rng.integers(-128, 128, (1, size)).astype(np.int8)


def collect(samples: Samples, emulator: Emulator, graph: Int8Graph, plan: Plan, rng: np.random.Generator) -> None:
    """Runs one model and files what it took; nothing where its arena is larger than the machine's memory."""
    if plan.memory.arena_bytes > MOST_ARENA:
        return
    seen = emulator.run(graph, random_input(graph, rng), plan)[0]
    sizes: dict[str, int] = defaultdict(int)
    for name, count in symbols(emulator.program).items():
        sizes[name.split(".")[0]] += count
    for layer, one, observation in zip(make_layers(graph, plan, analyse(graph)), plan.ways, seen, strict=True):
        if observation.instructions >= SHORTEST:
            samples.layers[one.way.kernel].append((all_counts(one.way), observation.instructions))
        samples.own[one.way.kernel].append(sizes.get(layer.symbol, 0))
        codes = tuple(code for code in one.way.code if code.key)
        if codes and layer.code.functions:
            samples.generated.append((codes, sum(sizes[name] for name in layer.code.functions)))


def all_counts(way: Way) -> tuple[float, ...]:
    """A number for every feature of the way's kernel."""
    names = kernel_named(way.kernel).features
    known = dict(zip(way.features or names, way.counts, strict=True))
    return tuple(known.get(name, 0) for name in names)


def measure_cycles(core: str, folder: Path, kinds: Sequence[str] = PROBE_KINDS) -> dict[str, float]:
    """Cycles per instruction of every kernel's variants, by the core's published timing, on layers of the kinds."""
    rng = np.random.default_rng(4)
    emulator, library, out = Emulator(core, folder), plugin(folder), folder / "profile"
    found: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for kind in (*kinds, *kinds, *["others"] * (3 * ("others" in kinds))):
        for _ in range(TIMED_GRAPHS):
            graph = probe_graph(rng, kind, layers=1)
            if len(graph.structure.operators) > 1:
                continue
            for (way,) in zip(*ways_of(graph, analyse(graph), FLAVOURS[core]), strict=True):
                if len(found[variant_name(way)]) >= TIMED_GRAPHS:
                    continue
                codes = random_input(graph, rng)
                emulator.run(
                    graph,
                    codes,
                    free_plan(graph, [way]),
                    lambda program: profile_command(library, program, "ofa_model_run", "ofa_model_observe", out),
                )
                found[variant_name(way)].append(cycles_of(emulator.program, out))
    rates = {name: sum(c for _, c in pairs) / sum(i for i, _ in pairs) for name, pairs in found.items()}
    return {name: round(rate, 3) for name, rate in sorted(rates.items())}


def fit(rows: Sequence[tuple[tuple[float, ...], int]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The weights, NaN where no row tells, and the relative errors on the third that was held out.

    Rows that come more than once are taken once, so that none of those held out is fitted.
    """
    rows = list(dict.fromkeys(rows))
    counts = np.array([row[0] for row in rows], float)
    relative = counts / np.array([[row[1]] for row in rows], float)
    held = np.arange(len(rows)) % 3 == 2
    if held.sum() < 2 or (~held).sum() < 2:
        held[:] = False
    weights = np.round(nnls(relative[~held], np.ones((~held).sum()), maxiter=10_000)[0], 4)
    unknown = ~counts[~held].any(axis=0)
    tested = held & ~counts[:, unknown].any(axis=1)
    weights[unknown] = np.nan
    return weights, relative[tested] @ np.nan_to_num(weights) - 1


def fit_code(samples: Samples, terms: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, float]]:
    """Bytes per unit of every term of every kind of generated function."""
    kinds = sorted({code.kind for codes, _ in samples.generated for code in codes})
    columns = [(kind, position) for kind in kinds for position in range(len(terms[kind]))]
    index = {column: number for number, column in enumerate(columns)}
    matrix = np.zeros((len(samples.generated), len(columns)))
    for row, (codes, _) in zip(matrix, samples.generated, strict=True):
        for code in codes:
            for position, count in enumerate(code.counts):
                row[index[code.kind, position]] += count
    found = _least(matrix, [size for _, size in samples.generated])
    result: dict[str, dict[str, float]] = {}
    for (kind, position), value in zip(columns, found, strict=True):
        result.setdefault(kind, {})[terms[kind][position]] = round(float(value), 2)
    return result


def library_code(emulator: Emulator, terms: Iterable[str], known: frozenset[str]) -> list[dict[str, object]]:
    """Functions that library functions bring along, by which of these bring them; those in `known` are there anyway."""
    brought: dict[str, set[str]] = defaultdict(set)
    sizes: dict[str, int] = {}
    for kind in sorted(kind for kind in terms if kind.startswith("ofa_")):
        program = emulator.link_alone(kind)
        for name, size in symbols(program).items():
            if name not in known and name not in AROUND:
                brought[name].add(kind)
                sizes[name] = size
    groups: dict[frozenset[str], int] = defaultdict(int)
    for name, reasons in brought.items():
        groups[frozenset(reasons)] += sizes[name]
    return [
        {"functions": sorted(group), "bytes": size}
        for group, size in sorted(groups.items(), key=lambda g: sorted(g[0]))
    ]


def _least(matrix: NDArray[np.float64], sizes: Sequence[int]) -> NDArray[np.float64]:
    """Non-negative weights of least relative error; zeros where there is nothing to fit."""
    if not len(matrix):
        return np.zeros(matrix.shape[1])
    scale = 1 / np.maximum(np.array(sizes, float), 200)
    return np.asarray(nnls(matrix * scale[:, None], np.array(sizes, float) * scale, maxiter=100_000)[0])


def networks() -> list[ShapeGraph]:
    """The corners of the fashion-mnist space and two networks inside."""
    rng = np.random.default_rng(1)
    subnets = [FASHION_MNIST.smallest, FASHION_MNIST.largest, FASHION_MNIST.sample(rng), FASHION_MNIST.sample(rng)]
    return [shape_graph(FASHION_MNIST, subnet) for subnet in subnets]


def link_nothing(folder: Path, profile: BoardProfile) -> tuple[Path, Image]:
    """The firmware with a model of 16 bytes that does nothing."""
    header = """\
#ifndef OFA_MODEL_H
#define OFA_MODEL_H
#include <stdint.h>
#define OFA_MODEL_NAME "nothing"
#define OFA_MODEL_CRC32 0u
#define OFA_MODEL_INPUT_BYTES 16
#define OFA_MODEL_OUTPUT_BYTES 16
#define OFA_MODEL_ARENA_BYTES 16
int8_t *ofa_model_input(void);
const int8_t *ofa_model_output(void);
void ofa_model_run(void);
#endif
"""
    source = """\
#include "ofa_model.h"
int8_t ofa_arena[OFA_MODEL_ARENA_BYTES] __attribute__((section(".ofa_arena"), aligned(16)));
int8_t *ofa_model_input(void) { return ofa_arena; }
const int8_t *ofa_model_output(void) { return ofa_arena; }
void ofa_model_run(void) { }
"""
    texts = {"ofa_model.h": header, "ofa_model.c": source, "ofa_weights.h": "", "ofa_weights.c": ""}
    build = build_project(write_project(folder / "project", profile, texts), build_dir=folder / "build", jobs=1)
    return build.elf, read_image(build.elf)


def table(core: str, lines: Sequence[Sequence[str]]) -> None:
    """Prints aligned columns."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    print(f"\n{core}")
    for line in lines:
        print(
            "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip(), flush=True
        )


def kernels_of(core: str) -> dict[str, Kernel]:
    """The kernels that the core runs, by name."""
    return {kernel.name: kernel for kernel in KERNELS if kernel.flavour in FLAVOURS[core].runs}


def code_terms(kernels: Mapping[str, Kernel]) -> dict[str, tuple[str, ...]]:
    """The terms of every kind of function that the kernels use."""
    return {kind: names for kernel in kernels.values() for kind, names in kernel.code_terms.items()}


def fitted(
    kernel: Kernel, rows: Sequence[tuple[tuple[float, ...], int]]
) -> tuple[dict[str, float], dict[str, float], tuple[str, ...]]:
    """A kernel's weights, errors on held-out layers, and a line that tells of them."""
    found, error = fit(rows)
    pairs = zip(kernel.features, found.tolist(), strict=True)
    weights = {feature: weight for feature, weight in pairs if weight == weight}
    largest, mean = (float(abs(error).max()), float(abs(error).mean())) if len(error) else (0.0, 0.0)
    errors = {"layers": len(error), "largest": round(largest, 5), "mean": round(mean, 5)}
    return weights, errors, (kernel.name, str(len(rows)), str(len(error)), f"{largest:.3%}", f"{mean:.3%}")


def pooled(samples: Samples, kernels: Mapping[str, Kernel], name: str) -> list[tuple[tuple[float, ...], int]]:
    """Rows of all kernels whose features are the kernel's: they are made of the same functions."""
    mine = kernels[name]
    alike = [
        other
        for other, kernel in kernels.items()
        if kernel.features == mine.features and kernel.code_terms.keys() == mine.code_terms.keys()
    ]
    return [row for other in sorted(alike) for row in samples.layers[other]]


def calibrate(core: str, folder: Path) -> None:
    """Measures one core and writes its figures; prints the errors."""
    (folder / "probes").mkdir(parents=True)
    samples = measure(core, folder / "probes")
    kernels = kernels_of(core)
    terms = code_terms(kernels)
    weights: dict[str, dict[str, float]] = {}
    errors: dict[str, dict[str, float]] = {}
    lines: list[tuple[str, ...]] = [("kernel", "layers", "held out", "largest error", "mean error")]
    for name, kernel in kernels.items():
        rows = pooled(samples, kernels, name)
        if len(rows) < 3:
            lines.append((name, str(len(rows)), "-", "too few", "-"))
            continue
        weights[name], errors[name], line = fitted(kernel, rows)
        lines.append(line)
    table(core, lines)
    elf, empty = link_nothing(folder, roomy_board(core))
    figures: dict[str, Any] = {
        "core": core,
        "flavour": FLAVOURS[core].value,
        "compiler": compiler(),
        "flags": " ".join((*ARM_CORES[core][:2], *FLAGS)),
        "static_bytes": own_bytes(empty),
        "code": fit_code(samples, terms),
        "library": library_code(Emulator(core, folder / "probes"), terms, frozenset(symbols(elf))),
        "layer_code_bytes": {name: round(float(np.mean(samples.own[name] or [30])), 1) for name in weights},
        "instructions": weights,
        "cycles": measure_cycles(core, folder / "probes") if core in TIMED else {},
        "errors": errors,
    }
    settle(core, folder, figures, empty)
    measure_cascades(core, folder / "cascades")


def settle(core: str, folder: Path, figures: dict[str, Any], empty: Image) -> None:
    """Writes the figures, with what whole networks take besides their layers."""
    figures["base_flash_bytes"], figures["inference_instructions"] = empty.flash_bytes, 0.0
    write_json(DATA / f"{core}.json", figures)
    figures["inference_instructions"], missing = check_networks(core, folder, roomy_board(core))
    figures["base_flash_bytes"] = empty.flash_bytes + missing
    write_json(DATA / f"{core}.json", figures)


def check_networks(core: str, folder: Path, profile: BoardProfile) -> tuple[float, int]:
    """Links and runs networks, prints how far off they are.

    The instructions an inference takes besides its layers, and the bytes that images usually have beyond the promise.
    """
    rng = np.random.default_rng(2)
    core_model.cache_clear()
    model = core_model(core)
    over, beyond = [], []
    lines = [("network", "instructions", "error", "flash", "error")]
    for structure in networks():
        one = link(folder, profile, quantized(structure, rng))
        promise = estimate(make_plan(structure, model), profile)
        seen, flash = run_once(one, rng), one.image.flash_bytes
        over.append(seen - promise.instructions)
        beyond.append(flash - promise.flash_bytes)
        error = promise.instructions / seen - 1
        lines.append((structure.name, f"{seen:,}", f"{error:+.3%}", f"{flash:,}", f"{promise.flash_bytes - flash:+} B"))
    table(core, lines)
    core_model.cache_clear()
    return float(np.clip(over[0], 0, 200)), max(0, round(float(np.median(beyond))))


def compiler() -> str:
    """The compiler's own first line about itself."""
    done = subprocess.run(["arm-none-eabi-gcc", "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def amend(core: str, folder: Path, kinds: Sequence[str], only: Sequence[str]) -> None:
    """Measures kernels anew on layers of some kinds, and the functions generated for them: those with enough layers for
    a fit of their own. Of functions that several kinds of layers share, all these kinds must be given.

    Sizes of library functions, and what networks take besides their layers, are measured anew. Features that kernels no
    longer have go.
    """
    (folder / "probes").mkdir(parents=True)
    figures = json.loads((DATA / f"{core}.json").read_text())
    samples, kernels = measure(core, folder / "probes", kinds), kernels_of(core)
    code = fit_code(samples, code_terms(kernels))
    amended = []
    for name, kernel in kernels.items():
        if name in figures["instructions"]:
            known = figures["instructions"][name]
            figures["instructions"][name] = {feature: known[feature] for feature in kernel.features if feature in known}
        rows = pooled(samples, kernels, name)
        if len(rows) < ENOUGH or (only and name not in only):
            continue
        amended.append(name)
        figures["instructions"][name], figures["errors"][name], line = fitted(kernel, rows)
        figures["layer_code_bytes"][name] = round(float(np.mean(samples.own[name] or [30])), 1)
        figures["code"] |= {kind: code[kind] for kind in kernel.code_terms if kind in code}
        print(core, *line, flush=True)
    elf, empty = link_nothing(folder, roomy_board(core))
    emulator = Emulator(core, folder / "probes")
    figures["library"] = library_code(emulator, code_terms(kernels), frozenset(symbols(elf)))
    if core in TIMED:
        kept = {name: rate for name, rate in figures["cycles"].items() if name.split()[0] not in amended}
        found = measure_cycles(core, folder / "probes", kinds)
        new = {name: rate for name, rate in found.items() if name.split()[0] in amended}
        figures["cycles"] = dict(sorted((kept | new).items()))
    settle(core, folder, figures, empty)


def measure_firmware(core: str, folder: Path) -> None:
    """Measures anew what is the firmware's own: variables, flash, and which library functions it brings along."""
    (folder / "probes").mkdir(parents=True)
    figures = json.loads((DATA / f"{core}.json").read_text())
    elf, empty = link_nothing(folder, roomy_board(core))
    figures["static_bytes"] = own_bytes(empty)
    terms = code_terms(kernels_of(core))
    figures["library"] = library_code(Emulator(core, folder / "probes"), terms, frozenset(symbols(elf)))
    settle(core, folder, figures, empty)


def measure_cascades(core: str, folder: Path) -> None:
    """Measures the loops around the layers of cascades, where the core's other figures are known."""
    (folder / "probes").mkdir(parents=True)
    emulator, kernel = Emulator(core, folder / "probes"), kernel_named("ofa_cascade")
    figures = json.loads((DATA / f"{core}.json").read_text())
    # Until they are known they cost nothing, so that there are ways to measure.
    figures["instructions"][kernel.name] = dict.fromkeys(kernel.features, 0.0)
    write_json(DATA / f"{core}.json", figures)
    core_model.cache_clear()
    found = list(cascade_rows(core_model(core), emulator, lambda: symbols(emulator.program)))
    figures["instructions"][kernel.name], figures["errors"][kernel.name], line = fitted(
        kernel, [(counts, instructions) for counts, instructions, _ in found if instructions >= SHORTEST]
    )
    figures["layer_code_bytes"][kernel.name] = round(float(np.mean([size for *_, size in found])), 1)
    print(core, *line, flush=True)
    elf, _ = link_nothing(folder, roomy_board(core))
    figures["library"] = library_code(emulator, code_terms(kernels_of(core)), frozenset(symbols(elf)))
    write_json(DATA / f"{core}.json", figures)
    core_model.cache_clear()


def own_bytes(empty: Image) -> int:
    """SRAM of the firmware's variables."""
    return empty.sram_bytes - empty.sram[".stack"] - empty.sram[".ofa_arena"]


def main() -> None:
    """Measures the cores and writes their files, each atomically."""
    everything = sorted({profile.emulator.core for profile in all_profiles() if profile.emulator is not None})
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", default=everything, choices=everything, metavar="CORE")
    parser.add_argument("--kinds", nargs="+", metavar="KIND", help="only amend what layers of these kinds tell")
    parser.add_argument("--kernels", nargs="+", default=(), metavar="KERNEL", help="with --kinds: only these kernels")
    parser.add_argument("--cascades", action="store_true", help="only the loops of cascades")
    parser.add_argument("--firmware", action="store_true", help="only what is the firmware's own")
    asked = parser.parse_args()
    for core in asked.cores:
        with tempfile.TemporaryDirectory() as name:
            os.environ["PLATFORMIO_CORE_DIR"] = str(Path(name) / "core")
            if asked.firmware:
                measure_firmware(core, Path(name))
            elif asked.cascades:
                measure_cascades(core, Path(name))
            elif asked.kinds:
                amend(core, Path(name), asked.kinds, asked.kernels)
            else:
                calibrate(core, Path(name))


if __name__ == "__main__":
    main()

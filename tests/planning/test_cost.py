"""What the cost model promises against its own definitions and against linked and running firmware."""

from __future__ import annotations

import json
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest

from benchmarks.zoo import NETWORKS
from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.graph.pipeline import optimize
from ofa_mcu.planning import core_model as core_models
from ofa_mcu.planning.core_model import core_model, core_of, known_cores, stand_in
from ofa_mcu.planning.cost import Cost, estimate, millijoules, milliseconds
from ofa_mcu.planning.facts import analyse
from ofa_mcu.planning.kernels import KERNELS
from ofa_mcu.planning.kernels.base import LayerView
from ofa_mcu.planning.plan import make_plan
from ofa_mcu.planning.priced import code_bytes, price
from ofa_mcu.profiles import BoardProfile, all_profiles, load_profile
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.shapes import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Operator,
    Padding,
    ShapeGraph,
    same_padding,
)
from tests.codegen.emulation import needs_emulator
from tests.graph.wide import wide_graph
from tests.planning.networks import link, quantized, roomy_board, run_once

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m33", "cortex-m4", "cortex-m55", "cortex-m7")
DISCO = load_profile("stm32f746")
LARGEST = shape_graph(FASHION_MNIST, FASHION_MNIST.largest)


def cost_of(graph: ShapeGraph, profile: BoardProfile = DISCO) -> Cost:
    return estimate(make_plan(graph, core_model(core_of(profile))), profile)


def same(height: int, width: int, kernel: int, stride: int) -> Padding:
    return Padding(*same_padding(height, kernel, stride), *same_padding(width, kernel, stride))


def odd_network() -> ShapeGraph:
    """Nothing is a multiple of four, no map is square, kernels of 7, a stride on a pointwise layer."""
    shapes = {
        "input": (1, 15, 9, 3),
        "a": (1, 8, 5, 21),
        "b": (1, 8, 5, 21),
        "c": (1, 8, 5, 21),
        "d": (1, 4, 3, 50),
        "e": (1, 4, 3, 50),
        "f": (1, 50),
        "g": (1, 7),
    }
    operators = (
        Conv2D(name="a", inputs=("input",), output="a", kernel=(5, 5), stride=(2, 2), padding=same(15, 9, 5, 2)),
        DepthwiseConv2D(name="b", inputs=("a",), output="b", kernel=(7, 7), padding=same(8, 5, 7, 1)),
        Add(name="c", inputs=("a", "b"), output="c"),
        Conv2D(name="d", inputs=("c",), output="d", kernel=(1, 1), stride=(2, 2), activation=Activation.RELU6),
        Conv2D(name="e", inputs=("d",), output="e", kernel=(1, 1)),
        Mean(name="f", inputs=("e",), output="f"),
        FullyConnected(name="g", inputs=("f",), output="g"),
    )
    return ShapeGraph("odd", shapes, operators, ("input",), ("g",))


def test_figures_exist_for_the_cores_of_all_boards() -> None:
    assert known_cores() == CORES
    assert {core_of(profile) for profile in all_profiles()} <= set(CORES)


@pytest.mark.parametrize("core", CORES)
def test_figures_of_a_core(core: str) -> None:
    figures = core_model(core)
    assert figures is core_model(core)
    assert figures.core == core
    assert "arm-none-eabi-gcc" in figures.compiler
    assert f"-mcpu={core}" in figures.flags.split()
    runs = {kernel.name: kernel for kernel in KERNELS if kernel.flavour in figures.flavour.runs}
    assert set(figures.instructions) == set(figures.errors) == set(runs)
    for name, kernel in runs.items():
        assert set(figures.instructions[name]) <= set(kernel.features)
        generated = {kind: terms for kind, terms in kernel.code_terms.items() if kind in figures.code}
        assert all(set(figures.code[kind]) == set(terms) for kind, terms in generated.items())
        error = figures.errors[name]
        assert error.mean <= error.largest < 0.10 and error.mean < 0.05, name


def test_unknown_core() -> None:
    with pytest.raises(UsageError, match="core 'cortex-m23', only for cortex-m0plus, cortex-m3, .*calibrate_cost"):
        core_model("cortex-m23")
    with pytest.raises(UsageError, match="cortex-m23"):
        cost_of(LARGEST, replace(DISCO, core="cortex-m23", emulator=None))


def test_broken_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = json.loads((core_models.DATA / "cortex-m4.json").read_text())
    monkeypatch.setattr(core_models, "DATA", tmp_path)
    for index, text in enumerate(["{", "[]", json.dumps({**good, "instructions": []}), json.dumps({"core": "x"})]):
        (tmp_path / f"broken{index}.json").write_text(text)
        with pytest.raises(OfaMcuError, match=r"broken\d.json does not hold .* run benchmarks/calibrate_cost.py"):
            core_model(f"broken{index}")


def test_the_twins_core_counts() -> None:
    with_twin = replace(DISCO, core="cortex-m4")
    assert cost_of(LARGEST, with_twin).core == "cortex-m7"
    assert cost_of(LARGEST, replace(with_twin, emulator=None)).core == "cortex-m4"


def test_figures_that_stand_in() -> None:
    """A core nothing was measured on is planned as the one its profile names, in portable kernels, and says so."""
    board = load_profile("esp32c3")
    named = replace(board, core="cortex-m3", figures_of=None)
    assert cost_of(LARGEST, board) == cost_of(LARGEST, named) and stand_in(named) is None
    sentence = stand_in(board)
    assert sentence is not None and "those of cortex-m3, which stands in for rv32imc (QEMU counts 1.4" in sentence
    time = milliseconds(cost_of(LARGEST, board), board, 1.5)
    assert time.band is None and "instructions of cortex-m3 at 160 MHz" in time.basis
    with pytest.raises(UsageError, match="no cycles_per_instruction.*give --cycles-per-instruction"):
        milliseconds(cost_of(LARGEST, board), board)
    with pytest.raises(UsageError, match="esp32c3 names cortex-m7, .*: name one of cortex-m0plus, cortex-m3"):
        core_of(replace(board, figures_of="cortex-m7"))
    with pytest.raises(UsageError, match="measured for core 'rv64'"):
        core_of(replace(board, figures_of="rv64"))


def test_sums() -> None:
    figures = core_model("cortex-m7")
    plan = make_plan(LARGEST, figures)
    cost = estimate(plan, DISCO, stack_bytes=4096)
    arena = -(-plan.arena_bytes // 8) * 8
    assert (cost.arena_bytes, cost.stack_bytes, cost.static_bytes) == (arena, 4096, figures.static_bytes)
    assert cost.sram_bytes == cost.arena_bytes + cost.static_bytes + cost.stack_bytes
    assert cost.flash_bytes == cost.flash_firmware_bytes + cost.flash_code_bytes + cost.flash_weight_bytes
    assert cost.flash_firmware_bytes == figures.base_flash_bytes
    assert cost.flash_weight_bytes == sum(one.way.constant_bytes for one in plan.ways)
    assert cost.macs == LARGEST.macs == sum(layer.macs for layer in cost.layers)
    layers = sum(layer.instructions for layer in cost.layers)
    assert cost.instructions == round(layers + figures.inference_instructions)
    assert [layer.name for layer in cost.layers] == [operator.name for operator in LARGEST.operators]
    for one, layer in zip(plan.ways, cost.layers, strict=True):
        assert layer.instructions == price(one.way, figures) > 0
    assert estimate(make_plan(LARGEST, figures), DISCO, stack_bytes=4096) == cost


def test_shared_functions_count_once() -> None:
    figures = core_model("cortex-m7")
    plan = make_plan(LARGEST, figures)
    codes = [code for one in plan.ways for code in one.way.code]
    once = {(code.kind, code.key): code for code in codes}
    assert len(once) < len(codes)
    assert code_bytes(codes, figures) == pytest.approx(code_bytes(once.values(), figures))
    apart = sum(code_bytes([code], figures) for code in once.values())
    assert 0 < code_bytes(codes, figures) <= apart  # library functions may bring the same code along


def test_a_layer_without_kernel_is_named() -> None:
    odd = Operator(name="swish", inputs=("input",), output="x")
    with pytest.raises(OfaMcuError, match="layer 'swish'"):
        cost_of(ShapeGraph("x", {"input": (1, 2, 2, 4), "x": (1, 2, 2, 4)}, (odd,), ("input",), ("x",)))


def test_milliseconds() -> None:
    cost = cost_of(LARGEST)
    known = milliseconds(cost, DISCO)
    assert DISCO.cycles_per_instruction is not None
    assert known.value == pytest.approx(cost.instructions * DISCO.cycles_per_instruction / DISCO.clock_hz * 1e3)
    assert known.band == pytest.approx(1.25 * 1.05 - 1)
    assert str(DISCO.cycles_basis) in known.basis and "216 MHz" in known.basis
    given_figure = milliseconds(cost, DISCO, cycles_per_instruction=2.0)
    assert given_figure.value == pytest.approx(cost.instructions * 2 / DISCO.clock_hz * 1e3)
    assert given_figure.band is None and "as given" in given_figure.basis
    with pytest.raises(
        UsageError, match=r"rp2040 has no cycles_per_instruction, .*give --cycles-per-instruction .*, or measure"
    ):
        milliseconds(cost, load_profile("rp2040"))
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(UsageError, match="--cycles-per-instruction must be above 0"):
            milliseconds(cost, DISCO, cycles_per_instruction=wrong)


def test_millijoules() -> None:
    cost = cost_of(LARGEST)
    board = load_profile("stm32l4r5")
    assert board.active_power_mw is not None
    time = milliseconds(cost, board).value
    assert millijoules(cost, board).value == pytest.approx(time * board.active_power_mw / 1e3)
    assert str(board.power_basis) in millijoules(cost, board).basis
    assert millijoules(cost, DISCO, power_mw=500).value == pytest.approx(milliseconds(cost, DISCO).value / 2)
    with pytest.raises(UsageError, match=r"stm32f746 has no active_power_mw, .*give --power-mw .*, or a profile"):
        millijoules(cost, DISCO)
    with pytest.raises(UsageError, match="no active_power_mw and cycles_per_instruction, .*give --power-mw and --cyc"):
        millijoules(cost, load_profile("rp2040"))
    with pytest.raises(UsageError, match="no cycles_per_instruction, "):
        millijoules(cost, load_profile("rp2040"), power_mw=50)
    with pytest.raises(UsageError, match="--power-mw must be above 0"):
        millijoules(cost, DISCO, power_mw=0)


@needs_emulator
@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
def test_promise_and_firmware(core: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2026)
    profile = roomy_board(core)
    structures = [shape_graph(FASHION_MNIST, FASHION_MNIST.sample(rng)), odd_network()]
    for structure in structures:
        linked = link(tmp_path, profile, quantized(structure, rng))
        promise = cost_of(structure, profile)
        assert promise.sram_bytes == linked.image.sram_bytes
        flash = linked.image.flash_bytes
        assert abs(promise.flash_bytes - flash) <= max(0.02 * flash, 512)
        seen = run_once(linked, rng)
        assert abs(promise.instructions - seen) <= 0.05 * seen, (promise.instructions, seen)


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
def test_every_way_has_a_price(core: str) -> None:
    """What was not measured has none, and the planner would not know that it is there."""
    figures = core_model(core)
    kernels = [kernel for kernel in KERNELS if kernel.flavour in figures.flavour.runs]
    graphs = [optimize(build()).graph for name, build in NETWORKS.items() if name != "mobilenet_v2_224"]
    graphs += [optimize(wide_graph(np.random.default_rng([seed, 3]), max_ops=8)).graph for seed in range(60)]
    missing = set()
    for graph in graphs:
        facts = analyse(graph)
        for operator in graph.structure.operators:
            view = LayerView(graph.structure, operator, facts.of(operator))
            for way in (way for kernel in kernels for way in kernel.ways(view)):
                if price(way, figures) == inf:
                    missing.add((way.kernel, way.variant))
    assert missing == set()

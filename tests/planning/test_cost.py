"""What the cost model promises against its own definitions, the kernels' loops, and linked and running firmware."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.planning import core_model as core_models
from ofa_mcu.planning.core_model import core_model, core_of, known_cores
from ofa_mcu.planning.cost import (
    Cost,
    estimate,
    layer_instructions,
    millijoules,
    milliseconds,
)
from ofa_mcu.planning.features import FEATURES, layer_features
from ofa_mcu.planning.layout import weight_bytes
from ofa_mcu.profiles import all_profiles, load_profile
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
from tests.planning.networks import link, quantized, roomy_board, run_once

CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m55", "cortex-m7")
DISCO = load_profile("stm32f746")
LARGEST = shape_graph(FASHION_MNIST, FASHION_MNIST.largest)


def cost_of(graph: ShapeGraph, arena: int = 1000) -> Cost:
    return estimate(graph, arena, DISCO)


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
    assert set(figures.errors) == set(FEATURES)
    for kernel, error in figures.errors.items():
        assert error.layers >= 8 and error.mean <= error.largest < 0.02, kernel


def test_unknown_core() -> None:
    with pytest.raises(UsageError, match="core 'cortex-m33', only for cortex-m0plus, cortex-m3, .*calibrate_cost"):
        core_model("cortex-m33")
    with pytest.raises(UsageError, match="cortex-m33"):
        estimate(LARGEST, 1000, replace(DISCO, core="cortex-m33", emulator=None))


def test_broken_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = json.loads((core_models.DATA / "cortex-m4.json").read_text())
    monkeypatch.setattr(core_models, "DATA", tmp_path)
    for index, text in enumerate(["{", "[]", json.dumps({**good, "instructions": {}}), json.dumps({"core": "x"})]):
        (tmp_path / f"broken{index}.json").write_text(text)
        with pytest.raises(OfaMcuError, match=r"broken\d.json does not hold .* run benchmarks/calibrate_cost.py"):
            core_model(f"broken{index}")


def test_the_twins_core_counts() -> None:
    with_twin = replace(DISCO, core="cortex-m4")
    assert estimate(LARGEST, 1000, with_twin).core == "cortex-m7"
    assert estimate(LARGEST, 1000, replace(with_twin, emulator=None)).core == "cortex-m4"


def test_sums() -> None:
    cost = estimate(LARGEST, 1001, DISCO, stack_bytes=4096)
    figures = core_model("cortex-m7")
    assert (cost.arena_bytes, cost.stack_bytes, cost.static_bytes) == (1008, 4096, figures.static_bytes)
    assert cost.sram_bytes == cost.arena_bytes + cost.static_bytes + cost.stack_bytes
    assert cost.flash_bytes == cost.flash_code_bytes + cost.flash_weight_bytes
    assert cost.flash_weight_bytes == weight_bytes(LARGEST) == sum(layer.weight_bytes for layer in cost.layers)
    assert cost.macs == LARGEST.macs == sum(layer.macs for layer in cost.layers)
    layers = sum(layer.instructions for layer in cost.layers)
    assert cost.instructions == round(layers + figures.inference_instructions)
    assert [layer.name for layer in cost.layers] == [operator.name for operator in LARGEST.operators]
    for operator, layer in zip(LARGEST.operators, cost.layers, strict=True):
        assert layer.instructions == layer_instructions(LARGEST, operator, figures) > 0
    assert estimate(LARGEST, 1001, DISCO, stack_bytes=4096) == cost


def test_code_of_a_kernel_counts_once() -> None:
    def network(*operators: Operator) -> ShapeGraph:
        shapes = {"input": (1, 4, 4, 8), **{operator.output: (1, 4, 4, 8) for operator in operators}}
        return ShapeGraph("x", shapes, operators, ("input",), (operators[-1].output,))

    def depthwise(name: str) -> DepthwiseConv2D:
        return DepthwiseConv2D(name=name, inputs=("input",), output=name, kernel=(3, 3), padding=Padding(1, 1, 1, 1))

    full = Conv2D(name="full", inputs=("input",), output="full", kernel=(3, 3), padding=Padding(1, 1, 1, 1))
    once, twice = cost_of(network(depthwise("a"))), cost_of(network(depthwise("a"), depthwise("b")))
    figures = core_model("cortex-m7")
    per_layer = figures.layer_code_bytes["ofa_depthwise"]
    assert twice.flash_code_bytes - once.flash_code_bytes == pytest.approx(per_layer, abs=1)
    alone, both = cost_of(network(full)), cost_of(network(depthwise("a"), full))
    shared = dict(figures.shared_code)[frozenset({"ofa_conv2d", "ofa_depthwise"})]
    base = figures.base_flash_bytes
    apart = (once.flash_code_bytes - base) + (alone.flash_code_bytes - base)
    assert apart - (both.flash_code_bytes - base) == pytest.approx(shared, abs=2)


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
    with pytest.raises(UsageError, match=r"rp2040 has no cycles_per_instruction, .*give --cycles-per-instruction$"):
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
    with pytest.raises(UsageError, match=r"stm32f746 has no active_power_mw, .*give --power-mw$"):
        millijoules(cost, DISCO)
    with pytest.raises(UsageError, match="no active_power_mw and cycles_per_instruction, .*give --power-mw and --cyc"):
        millijoules(cost, load_profile("rp2040"))
    with pytest.raises(UsageError, match="no cycles_per_instruction, "):
        millijoules(cost, load_profile("rp2040"), power_mw=50)
    with pytest.raises(UsageError, match="--power-mw must be above 0"):
        millijoules(cost, DISCO, power_mw=0)


def walk(structure: ShapeGraph, operator: Conv2D | DepthwiseConv2D) -> dict[str, int]:
    """Turns of every loop, counted by walking through them as the kernels do."""
    _, height, width, depth = structure.shapes[operator.inputs[0]]
    _, out_height, out_width, channels = structure.shapes[operator.output]
    deep = isinstance(operator, Conv2D)
    depth = depth if deep else 1
    count = dict.fromkeys(FEATURES["ofa_conv2d" if deep else "ofa_depthwise"], 0)

    def add(**turns: int) -> None:
        for name, turn in turns.items():
            if name in count:
                count[name] += turn

    add(calls=1, rows=out_height)
    for y in range(out_height):
        top = y * operator.stride[0] - operator.padding.top
        inside_y = [r for r in range(operator.kernel[0]) if 0 <= top + r < height]
        for x in range(out_width):
            left = x * operator.stride[1] - operator.padding.left
            inside_x = [c for c in range(operator.kernel[1]) if 0 <= left + c < width]
            add(pixels=1)
            for block in range(0, channels, 4):
                here = min(4, channels - block)
                taps = len(inside_x) * depth
                add(blocks=1, channels=here)
                for _ in inside_y:
                    add(quads=taps // 4, singles=taps % 4, blocks_with_quads=int(taps >= 4))
                    add(blocks_with_singles=int(taps % 4 > 0))
                if deep or here == 4:
                    add(full_blocks=1, window_rows=len(inside_y), taps=len(inside_y) * taps)
                else:
                    add(last_blocks=1, last_channels=here, last_window_rows=here * len(inside_y))
                    add(last_taps=here * len(inside_y) * taps)
                if len(inside_y) == operator.kernel[0] and len(inside_x) == operator.kernel[1]:
                    continue
                add(padded_blocks=1, padding_rows=len(inside_y) + 1)
                taps_of_window = product(range(operator.kernel[0]), range(operator.kernel[1]))
                mask = [r in inside_y and c in inside_x for r, c in taps_of_window]
                runs = sum(before and not now for before, now in pairwise([True, *mask]))
                add(padding_runs=runs, padding_taps=depth * mask.count(False))
    return count


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from([1, 2, 3, 5, 7]),
    st.integers(1, 2),
    st.tuples(st.integers(1, 6), st.integers(1, 10)),
    st.booleans(),
)
def test_numbers_are_what_the_loops_do(
    size: tuple[int, int], kernel: int, stride: int, channels: tuple[int, int], deep: bool
) -> None:
    at = {"name": "x", "inputs": ("input",), "output": "x"}
    window = {"kernel": (kernel, kernel), "stride": (stride, stride), "padding": same(*size, kernel, stride)}
    operator = Conv2D(**at, **window) if deep else DepthwiseConv2D(**at, **window)  # type: ignore[arg-type]
    shapes = {
        "input": (1, *size, channels[0] if deep else channels[1]),
        "x": (1, -(-size[0] // stride), -(-size[1] // stride), channels[1]),
    }
    structure = ShapeGraph("x", shapes, (operator,), ("input",), ("x",))
    kind, numbers = layer_features(structure, operator)
    if kind != "ofa_pointwise":
        assert dict(zip(FEATURES[kind], numbers, strict=True)) == walk(structure, operator)


@given(st.integers(0, 10_000))
def test_numbers_are_complete(seed: int) -> None:
    graph = shape_graph(FASHION_MNIST, FASHION_MNIST.sample(np.random.default_rng(seed)))
    for operator in graph.operators:
        kernel, numbers = layer_features(graph, operator)
        assert len(numbers) == len(FEATURES[kernel]) and min(numbers) >= 0


@needs_emulator
@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
def test_promise_and_firmware(core: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2026)
    profile = roomy_board(core)
    for structure in (shape_graph(FASHION_MNIST, FASHION_MNIST.sample(rng)), odd_network()):
        linked = link(tmp_path, profile, quantized(structure, rng))
        promise = estimate(structure, linked.arena_bytes, profile)
        assert promise.sram_bytes == linked.image.sram_bytes
        flash = linked.image.flash_bytes
        assert abs(promise.flash_bytes - flash) <= max(0.02 * flash, 512)
        seen = run_once(linked, rng)
        assert abs(promise.instructions - seen) <= 0.05 * seen, (promise.instructions, seen)

"""Fully connected layers with the DSP extension: generated C against the reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ofa_mcu.graph.ir import Int8Graph, Parameters
from ofa_mcu.graph.reference import run
from ofa_mcu.planning.facts import analyse
from ofa_mcu.planning.kernels.base import Flavour, Rounding, Way
from ofa_mcu.space.shapes import Activation, FullyConnected, Operator
from tests.codegen.emulation import Emulator, needs_emulator
from tests.codegen.models import plan_with
from tests.graph.wide import WideBuilder, quantization
from tests.kernels.generated import Host, drawn_inputs


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("host"))


def dense(rng: np.random.Generator, widths: Sequence[int], activation: Activation, spread: float) -> Int8Graph:
    """Layers of these widths; the spread is of the scales, per channel where it is not 0."""
    build = WideBuilder(rng)
    current = build.tensor("input", (1, widths[0]), quantization(0.05, 3))
    for index, width in enumerate(widths[1:]):
        taps = build.shapes[current][-1]
        output = build.tensor(f"out{index}", (1, width), quantization(0.07, -128 if index % 2 else 5))
        scales = np.exp(spread * rng.standard_normal(width if spread else 1)) * 0.02 / np.sqrt(taps)
        build.parameters[f"fc{index}"] = Parameters(
            rng.integers(-127, 128, (width, taps), dtype=np.int8),
            rng.integers(-3000, 3000, width, dtype=np.int32),
            scales.astype(np.float32),
        )
        build.operators.append(
            FullyConnected(name=f"fc{index}", inputs=(current,), output=output, activation=activation)
        )
        current = output
    return build.done("dense", (current,))


def dsp(operator: Operator, ways: Sequence[Way]) -> Way:
    """The way with the DSP extension."""
    return next(way for way in ways if way.kernel.startswith("ofa_dsp_dense"))


@pytest.mark.slow
@pytest.mark.parametrize("activation", [Activation.NONE, Activation.RELU, Activation.RELU6])
@pytest.mark.parametrize("spread", [0.0, 0.6, 4.0])
def test_odd_widths(host: Host, activation: Activation, spread: float) -> None:
    rng = np.random.default_rng(11)
    graph = dense(rng, [37, 1, 2, 3, 4, 5, 18, 7, 64, 12], activation, spread)
    host.check(graph, plan_with(graph, Flavour.DSP, dsp), drawn_inputs(graph, rng, 6))


def test_sums_beyond_the_fast_rounding(host: Host) -> None:
    rng = np.random.default_rng(12)
    graph = dense(rng, [3001, 6, 1201, 3], Activation.NONE, 0.0)
    assert analyse(graph).facts["fc0"].rounding is Rounding.GENERAL
    images = drawn_inputs(graph, rng, 3)
    images[0], images[1] = -128, 127
    host.check(graph, plan_with(graph, Flavour.DSP, dsp), images)


@pytest.mark.slow
@needs_emulator
def test_on_a_core(tmp_path: Path) -> None:
    rng = np.random.default_rng(13)
    graph = dense(rng, [130, 128, 10, 2], Activation.NONE, 0.4)
    images = drawn_inputs(graph, rng, 2)
    wanted = run(graph, {"input": images})
    observed = Emulator("cortex-m7", tmp_path).run(graph, images, plan_with(graph, Flavour.DSP, dsp))
    for image, layers in enumerate(observed):
        for operator, seen in zip(graph.structure.operators, layers, strict=True):
            assert (seen.tensor == wanted[operator.output][image].ravel()).all(), operator
    # The first layer's instructions for each of its 16,640 products.
    assert observed[0][0].instructions < 1.4 * 130 * 128

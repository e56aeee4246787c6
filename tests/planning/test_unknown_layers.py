"""Layers of the int8 graph that have no C kernel yet: planner, generator and fast evaluation say so in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ofa_mcu.codegen import emit_c
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.planning.features import layer_features
from ofa_mcu.planning.layout import weight_bytes
from ofa_mcu.planning.memory import plan_memory
from ofa_mcu.quantization.fast import Int8Network
from ofa_mcu.space.shapes import Activation, Add, Conv2D, DepthwiseConv2D, FullyConnected, Mean, Operator
from tests.graph.wide import KINDS, WideBuilder

PLAIN = (Conv2D, DepthwiseConv2D, FullyConnected, Add, Mean)


def refuse(graph: Int8Graph, words: str) -> None:
    """All say no; planning memory alone works for any layer."""
    structure = graph.structure
    plan = plan_memory(structure)
    for attempt in (
        lambda: [layer_features(structure, operator) for operator in structure.operators],
        lambda: weight_bytes(structure),
        lambda: emit_c(graph, plan.offsets, plan.arena_bytes, name="m", model_crc32=0),
    ):
        with pytest.raises(OfaMcuError, match=words) as caught:
            attempt()
        assert "\n" not in str(caught.value)
    with pytest.raises(OfaMcuError, match="outside what the fast int8 evaluation computes"):
        Int8Network(graph)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in PLAIN])
def test_kinds_without_a_kernel(kind: type[Operator]) -> None:
    build = WideBuilder(np.random.default_rng(3))
    build.tensor("input", (1, 6, 5, 4))
    refuse(build.done("kind", (build.grow(kind, "input"),)), "has no C kernel: use only operators")


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        (Conv2D, {"kernel": (2, 2), "dilation": (2, 1)}, r"layer 'conv2d0' has dilation \(2, 1\)"),
        (DepthwiseConv2D, {"kernel": (2, 2), "depth_multiplier": 2}, "layer 'depthwiseconv2d0' has depth multiplier 2"),
        (Mean, {"axes": (2, 3)}, r"layer 'mean0' has a mean over axes \(2, 3\)"),
        (FullyConnected, {"keep_num_dims": True}, "layer 'fullyconnected0' multiplies 30 rows"),
        (Add, {}, "layer 'add0' reads a constant tensor"),
    ],
)
def test_options_without_a_kernel(kind: type[Operator], options: dict[str, Any], words: str) -> None:
    build = WideBuilder(np.random.default_rng(3))
    build.tensor("input", (1, 6, 5, 4))
    name = f"{kind.__name__.lower()}0"
    build.quantization[f"{name}/out"] = target = build.near("input")
    weights = {Conv2D: (4, 2, 2, 4), DepthwiseConv2D: (1, 2, 2, 8), FullyConnected: (4, 4)}.get(kind)
    if weights:
        build._weights(name, "input", f"{name}/out", weights, weights[-1] if len(weights) == 4 else 4, 16)
    sources = ("input", build.constant((1, 6, 5, 4))) if kind is Add else ("input",)
    refuse(build.done("options", (build.append(kind, sources, target, **options),)), words)


def test_activations_are_clamps_and_need_no_kernel_of_their_own() -> None:
    build = WideBuilder(np.random.default_rng(3))
    source = build.tensor("input", (1, 6, 5, 4))
    output = build.conv(source, 3, (1, 1), (1, 1), True, Activation.RELU_N1_TO_1)
    graph = build.done("clamp", (output,))
    plan = plan_memory(graph.structure)
    assert "clamp_max" in emit_c(graph, plan.offsets, plan.arena_bytes, name="m", model_crc32=0)["ofa_model.c"]

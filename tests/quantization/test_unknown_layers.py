"""Operators that the fast int8 evaluation does not compute: it says so in one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.quantization.fast import Int8Network
from ofa_mcu.space.shapes import Add, Conv2D, DepthwiseConv2D, FullyConnected, Mean, Operator
from tests.graph.wide import KINDS, WideBuilder

PLAIN = (Conv2D, DepthwiseConv2D, FullyConnected, Add, Mean)


def refuse(graph: Int8Graph) -> None:
    with pytest.raises(OfaMcuError, match="outside what the fast int8 evaluation computes") as caught:
        Int8Network(graph)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in PLAIN])
def test_other_kinds(kind: type[Operator]) -> None:
    build = WideBuilder(np.random.default_rng(3))
    build.tensor("input", (1, 6, 5, 4))
    refuse(build.done("kind", (build.grow(kind, "input"),)))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Conv2D, {"kernel": (2, 2), "dilation": (2, 1)}),
        (DepthwiseConv2D, {"kernel": (2, 2), "depth_multiplier": 2}),
        (Mean, {"axes": (2, 3)}),
        (FullyConnected, {"keep_num_dims": True}),
        (Add, {}),
    ],
)
def test_other_options(kind: type[Operator], options: dict[str, Any]) -> None:
    build = WideBuilder(np.random.default_rng(3))
    build.tensor("input", (1, 6, 5, 4))
    name = f"{kind.__name__.lower()}0"
    build.quantization[f"{name}/out"] = target = build.near("input")
    weights = {Conv2D: (4, 2, 2, 4), DepthwiseConv2D: (1, 2, 2, 8), FullyConnected: (4, 4)}.get(kind)
    if weights:
        build._weights(name, "input", f"{name}/out", weights, weights[-1] if len(weights) == 4 else 4, 16)
    sources = ("input", build.constant((1, 6, 5, 4))) if kind is Add else ("input",)
    refuse(build.done("options", (build.append(kind, sources, target, **options),)))

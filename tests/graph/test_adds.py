"""One operator for a pointwise convolution and the sum that reads it: same bytes, and nothing where it must not be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph import reference
from ofa_mcu.graph.check import check_graph
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.passes import fuse_adds
from ofa_mcu.graph.pipeline import optimize, same_bytes
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import probe_inputs
from ofa_mcu.space.shapes import Activation, Add, Conv2D, ConvAdd
from tests.graph.strategies import GraphBuilder


def blocks(seed: int, count: int = 3) -> Int8Graph:
    """Inverted residual blocks, most of them with a sum."""
    build = GraphBuilder(np.random.default_rng(seed))
    source = build.tensor("input", (1, 5, 4, 6))
    for _ in range(count):
        source = build.block(source)
    return build.finish("blocks", (source,))


def residual(activation: Activation = Activation.NONE) -> Int8Graph:
    """One convolution and one sum."""
    build = GraphBuilder(np.random.default_rng(1))
    hidden = build.conv(build.tensor("input", (1, 4, 3, 5)), 7, (3, 3), (1, 1), True, Activation.RELU6)
    linear = build.conv(hidden, 5, (1, 1), (1, 1), True, Activation.NONE)
    return build.finish("residual", (build.add("input", linear, activation),))


def sums(graph: Int8Graph) -> list[ConvAdd]:
    return [op for op in graph.structure.operators if isinstance(op, ConvAdd)]


def test_random_networks_keep_their_bytes() -> None:
    fused = 0
    for seed in range(25):
        graph = blocks(seed)
        done = optimize(graph, fuse_adds=True)
        check_graph(done.graph)
        assert same_bytes(graph, done, probe_inputs(graph, seed)) > 0
        assert not sums(optimize(graph).graph)
        for operator in sums(done.graph):
            fused += 1
            assert done.eliminated[operator.middle] == "fuse_adds"
            assert operator.middle not in done.graph.structure.shapes
            assert operator.middle in done.graph.quantization
    assert fused > 10


@pytest.mark.parametrize("activation", list(Activation))
def test_codes_of_the_convolution_are_clamped_before_the_sum(activation: Activation) -> None:
    graph = residual(activation)
    fused = fuse_adds(graph)
    (operator,) = sums(fused)
    assert (operator.name, operator.inputs[1]) == (graph.structure.operators[1].name, "input")
    images = np.random.default_rng(2).integers(-128, 128, (3, 4, 3, 5)).astype(np.int8)
    (output,) = graph.structure.outputs
    wanted = reference.run(graph, {"input": images})
    assert np.array_equal(reference.run(fused, {"input": images})[output], wanted[output])
    assert (operator.convolution, operator.sum_activation) == (graph.structure.operators[1], activation)
    assert fused.structure.macs == graph.structure.macs
    assert fused.structure.parameters == graph.structure.parameters


def test_only_what_is_asked_for() -> None:
    graph = next(graph for graph in map(blocks, range(20)) if len(sums(fuse_adds(graph))) > 1)
    first, *_ = sums(fuse_adds(graph))
    seen: list[Int8Graph] = []

    def one(given: Int8Graph) -> Collection[str]:
        seen.append(given)
        return (first.name,)

    done = optimize(graph, fuse_adds=one, dead_channels=False)
    assert sums(done.graph) == [first]
    assert len(sums(seen[0])) > 1
    assert fuse_adds(graph, ()) is graph


def test_other_layers_stay() -> None:
    build = GraphBuilder(np.random.default_rng(4))
    source = build.tensor("input", (1, 4, 3, 5))
    own = build.add(source, build.conv(source, 5, (1, 1), (1, 1), True, Activation.NONE), Activation.NONE)
    wide = build.add(own, build.conv(source, 5, (3, 3), (1, 1), True, Activation.NONE), Activation.NONE)
    clamped = build.add(wide, build.conv(own, 5, (1, 1), (1, 1), True, Activation.RELU), Activation.NONE)
    linear = build.conv(own, 5, (1, 1), (1, 1), True, Activation.NONE)
    graph = build.finish("others", (build.add(clamped, linear, Activation.NONE), linear))
    assert fuse_adds(graph) is graph
    assert sum(isinstance(op, Add) for op in optimize(graph, fuse_adds=True).graph.structure.operators) == 4


def test_what_is_wrong_is_told() -> None:
    fused = fuse_adds(residual())
    check_graph(fused)
    (operator,) = sums(fused)
    left = {name: value for name, value in fused.quantization.items() if name != operator.middle}
    with pytest.raises(OfaMcuError, match="no quantization"):
        check_graph(replace(fused, quantization=left))
    shapes = {**fused.structure.shapes, "input": (1, 4, 3, 5), "small": (1, 4, 3, 4)}
    other = replace(operator, inputs=(operator.inputs[0], operator.inputs[0]))
    operators = tuple(other if op is operator else op for op in fused.structure.operators)
    with pytest.raises(OfaMcuError, match="adds .* to"):
        check_graph(replace(fused, structure=replace(fused.structure, shapes=shapes, operators=operators)))
    with pytest.raises(OfaMcuError, match=f"'{operator.name}' of type ConvAdd has no form"):
        write_tflite(fused)
    assert isinstance(fused.structure.operators[0], Conv2D)

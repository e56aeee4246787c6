"""TFLite Micro's arena, predicted: against what its own interpreter reports."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from ofa_mcu.graph.interpreters import tflm_arena
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import compare_with_tflm, probe_inputs
from ofa_mcu.planning.core_model import core_model, known_cores
from ofa_mcu.planning.plan import make_plan
from ofa_mcu.planning.tflm import tflm_head_bytes
from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.presets import FASHION_MNIST
from ofa_mcu.space.shapes import Activation, ShapeGraph
from tests.codegen.models import random_weights
from tests.graph.strategies import GraphBuilder, graphs, random_graph
from tests.graph.wide import many_ended
from tests.space.spaces import TINY


def reported(graph: Int8Graph) -> int:
    """The arena's head as TFLite Micro's host interpreter prints it."""
    return tflm_arena(write_tflite(graph), probe_inputs(graph, random=0)).head


@given(graphs(max_ops=12))
@settings(max_examples=60)
def test_the_head_is_the_one_tflm_reports(graph: Int8Graph) -> None:
    assert tflm_head_bytes(graph.structure) == reported(graph)


def test_the_head_of_hundreds_of_graphs() -> None:
    heads = set()
    for seed in range(150):
        graph = random_graph(np.random.default_rng([seed, 5]), max_ops=16)
        heads.add(reported(graph))
        assert tflm_head_bytes(graph.structure) == reported(graph), seed
    assert len(heads) > 50


def test_the_head_of_whole_subnets() -> None:
    """Residuals, and many tensors of equal size, whose order then decides."""
    rng = np.random.default_rng(0)
    structures: list[ShapeGraph] = [shape_graph(TINY, subnet) for subnet in TINY.sample_balanced(rng, 12)]
    structures += [shape_graph(FASHION_MNIST, subnet) for subnet in FASHION_MNIST.sample_balanced(rng, 4)]
    for structure in structures:
        graph = random_weights(structure, rng)
        result = compare_with_tflm(graph, write_tflite(graph), probe_inputs(graph, random=0))
        assert result.arena is not None and result.arena.head == tflm_head_bytes(structure), structure.name


def test_several_inputs_and_outputs() -> None:
    build = GraphBuilder(np.random.default_rng(1))
    first, second = build.tensor("input", (1, 4, 4, 3)), build.tensor("second", (1, 4, 4, 3))
    both = build.add(first, second, Activation.NONE)
    early = build.conv(first, 5, (3, 3), (1, 1), True, Activation.RELU6)
    late = build.depthwise(both, (3, 3), (1, 1), True, Activation.NONE)
    graph = build.finish("several", (early, late))
    structure = ShapeGraph("several", graph.structure.shapes, graph.structure.operators, (first, second), (early, late))
    graph = Int8Graph(structure, graph.quantization, graph.parameters)
    assert tflm_head_bytes(structure) == reported(graph)


def test_the_head_of_graphs_of_many_ends() -> None:
    unread = 0
    for seed in range(60):
        graph = many_ended(np.random.default_rng([seed, 5]))
        structure = graph.structure
        unread += any(all(name not in op.inputs for op in structure.operators) for name in structure.inputs)
        assert tflm_head_bytes(structure) == reported(graph), seed
    assert unread > 3


@pytest.mark.parametrize("core", known_cores())
def test_ours_is_never_larger(core: str) -> None:
    for subnet in FASHION_MNIST.sample_balanced(np.random.default_rng(1), 20):
        structure = shape_graph(FASHION_MNIST, subnet)
        assert make_plan(structure, core_model(core)).arena_bytes <= tflm_head_bytes(structure)

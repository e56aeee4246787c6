"""The .tflite writer: deterministic, read alike by others, equal after a round trip, clear refusals."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import compare_with_litert
from ofa_mcu.space.shapes import Conv2D, Padding
from tests.graph.files import assert_equal, small_graph
from tests.graph.strategies import graphs, random_graph


@given(graphs(12))
@settings(max_examples=100)
def test_round_trip(graph: Int8Graph) -> None:
    data = write_tflite(graph)
    assert write_tflite(graph) == data
    again = read_tflite(data)
    assert_equal(graph, again)
    assert write_tflite(again) == data


def test_bytes_do_not_depend_on_the_order_of_the_mappings() -> None:
    graph = small_graph()
    turned = Int8Graph(
        dataclasses.replace(graph.structure, shapes=dict(reversed([*graph.structure.shapes.items()]))),
        dict(reversed([*graph.quantization.items()])),
        dict(reversed([*graph.parameters.items()])),
    )
    assert write_tflite(turned) == write_tflite(graph)


def test_others_read_the_same_model() -> None:
    graph = small_graph()
    data = write_tflite(graph)
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    assert model.version == 3 and model.description == b"ofa_mcu"
    (subgraph,) = model.subgraphs
    assert subgraph.name == b"small"
    activations = ["input", *(operator.output for operator in graph.structure.operators)]
    assert [tensor.name.decode() for tensor in subgraph.tensors[: len(activations)]] == activations
    assert [tuple(t.shape) for t in subgraph.tensors[: len(activations)]] == [
        graph.structure.shapes[name] for name in activations
    ]
    assert {tensor.type for tensor in subgraph.tensors[: len(activations)]} == {schema.TensorType.INT8}
    versions = {code.builtinCode: code.version for code in model.operatorCodes}
    builtin = schema.BuiltinOperator
    assert versions.pop(builtin.FULLY_CONNECTED) in (4, 12)
    assert versions == {builtin.CONV_2D: 3, builtin.DEPTHWISE_CONV_2D: 3, builtin.ADD: 2, builtin.MEAN: 2}
    biases = [tensor for tensor in subgraph.tensors if tensor.name.endswith(b"/bias")]
    assert [bias.quantization is None for bias in biases] == [True, True, False]
    depthwise = next(t for t in subgraph.tensors if t.name == b"dw2/weights")
    assert depthwise.quantization.quantizedDimension == (3 if len(depthwise.quantization.scale) > 1 else 0)


def test_constants_are_aligned_for_any_core() -> None:
    data = write_tflite(random_graph(np.random.default_rng(4), max_ops=20))
    base = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    model = schema.Model.GetRootAs(data)
    for index in range(1, model.BuffersLength()):
        content = model.Buffers(index).DataAsNumpy()
        assert (content.__array_interface__["data"][0] - base) % 16 == 0


def test_litert_accepts_and_agrees_but_for_the_fully_connected() -> None:
    """LiteRT verifies the file's structure; its FULLY_CONNECTED may differ by one, which is known."""
    pytest.importorskip("ai_edge_litert")
    for seed in range(60):
        graph = random_graph(np.random.default_rng([seed, 9]))
        result = compare_with_litert(graph, write_tflite(graph))
        assert result is not None
        for difference in result.differences:
            assert difference.layer.startswith("fc"), f"seed {seed}: {difference}"
            assert abs(difference.expected - difference.found) <= 1


def test_names_survive_any_characters() -> None:
    graph = small_graph()
    names = {old: f'{old} "ä"\n' for old in graph.structure.shapes}
    operators = tuple(
        dataclasses.replace(
            op, name=op.name + "\n;", inputs=tuple(names[name] for name in op.inputs), output=names[op.output]
        )
        for op in graph.structure.operators
    )
    renamed = Int8Graph(
        dataclasses.replace(
            graph.structure,
            shapes={names[name]: shape for name, shape in graph.structure.shapes.items()},
            operators=operators,
            inputs=tuple(names[name] for name in graph.structure.inputs),
            outputs=tuple(names[name] for name in graph.structure.outputs),
        ),
        {names[name]: quantization for name, quantization in graph.quantization.items()},
        {name + "\n;": parameters for name, parameters in graph.parameters.items()},
    )
    assert_equal(renamed, read_tflite(write_tflite(renamed)))


def test_padding_that_is_neither_same_nor_valid_is_refused() -> None:
    graph = small_graph()
    first = graph.structure.operators[0]
    assert isinstance(first, Conv2D)
    operator = dataclasses.replace(first, padding=Padding(2, 0, 1, 1))
    operators = (operator, *graph.structure.operators[1:])
    bent = dataclasses.replace(graph, structure=dataclasses.replace(graph.structure, operators=operators))
    with pytest.raises(
        OfaMcuError, match=r"layer 'conv0' of graph 'small' pads 2, 0, 1, 1 .* here 1, 1, 1, 1, or none"
    ):
        write_tflite(bent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weights": np.zeros((4, 3, 3, 5), np.int8)},
            r"int8 weights \(4, 3, 3, 5\): supply int8 weights \(4, 3, 3, 4\)",
        ),
        ({"bias": np.zeros(4, np.int64)}, r"int64 biases \(4,\): supply int32 biases \(4,\)"),
        ({"weight_scales": np.ones(3, np.float32)}, r"weight scales \(3,\): supply float32 \(1,\) or \(4,\)"),
        ({"weight_scales": np.zeros(4, np.float32)}, "a weight scale that is not positive"),
    ],
)
def test_inconsistent_parameters_are_refused(change: dict[str, Any], message: str) -> None:
    graph = small_graph()
    changed = dataclasses.replace(graph.parameters["conv0"], **change)
    with pytest.raises(OfaMcuError, match=f"layer 'conv0' of graph 'small' has .*{message}"):
        write_tflite(dataclasses.replace(graph, parameters={**graph.parameters, "conv0": changed}))


@pytest.mark.parametrize(
    ("quantization", "message"),
    [
        (Quantization(0.0, 0), "has scale 0.0: use a positive float32 value"),
        (Quantization(float("inf"), 0), "has scale inf"),
        (Quantization(1e300, 0), r"has scale 1e\+300"),
        (Quantization(0.1, 128), "has zero point 128: use a value from -128 to 127"),
    ],
)
def test_impossible_quantization_is_refused(quantization: Quantization, message: str) -> None:
    graph = small_graph()
    bent = dataclasses.replace(graph, quantization={**graph.quantization, "conv0/out": quantization})
    with pytest.raises(OfaMcuError, match=f"tensor 'conv0/out' of graph 'small' {message}"):
        write_tflite(bent)


def test_inconsistent_structure_is_refused() -> None:
    graph = small_graph()

    def write(**changes: Any) -> None:
        write_tflite(dataclasses.replace(graph, structure=dataclasses.replace(graph.structure, **changes)))

    operators = graph.structure.operators
    with pytest.raises(OfaMcuError, match="layer 'add1' .* reads tensor 'conv0/out' before it is written"):
        write(operators=operators[1:])
    with pytest.raises(OfaMcuError, match="layer 'conv0' .* has the name of an earlier layer"):
        write(operators=(*operators, operators[0]))
    with pytest.raises(OfaMcuError, match="writes tensor 'input' a second time"):
        write(operators=(dataclasses.replace(operators[0], output="input"),))
    with pytest.raises(OfaMcuError, match=r"layer 'conv0' .* writes shape \(1, 7, 6, 4\) but its output"):
        write(shapes={**graph.structure.shapes, "conv0/out": (1, 6, 6, 4)})
    with pytest.raises(OfaMcuError, match="output 'nothing' of graph 'small' is written by no layer"):
        write(outputs=("nothing",))

"""Comparing with other interpreters: what is reported, what is raised."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
import pytest

from ofa_mcu.errors import MismatchError, OfaMcuError
from ofa_mcu.graph.interpreters import tflm_arena
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import compare_with_litert, compare_with_tflm, probe_inputs, verify
from ofa_mcu.space.shapes import Activation
from tests.graph.files import edited
from tests.graph.strategies import GraphBuilder, random_graph


def chain() -> Int8Graph:
    build = GraphBuilder(np.random.default_rng(11))
    current = build.tensor("input", (1, 8, 8, 3))
    current = build.conv(current, 6, (3, 3), (1, 1), True, Activation.RELU6)
    current = build.depthwise(current, (3, 3), (2, 2), True, Activation.NONE)
    return build.finish("chain", (build.mean(current),))


def other_bias(graph: Int8Graph, layer: str) -> Int8Graph:
    old = graph.parameters[layer]
    new = dataclasses.replace(old, bias=(old.bias.astype(np.int64) + 100_000).astype(np.int32))
    return dataclasses.replace(graph, parameters={**graph.parameters, layer: new})


def test_probe_inputs_go_to_the_edges() -> None:
    graph = chain()
    (image,) = probe_inputs(graph, random=3).values()
    assert image.shape == (6, 8, 8, 3) and image.dtype == np.int8
    assert [np.unique(one).tolist() for one in image[:3]] == [[-128], [127], [graph.quantization["input"].zero_point]]
    assert np.array_equal(image, probe_inputs(graph, random=3)["input"])
    assert not np.array_equal(image, probe_inputs(graph, seed=1, random=3)["input"])


def test_equal_graphs_give_a_full_account() -> None:
    result = verify(chain())
    assert result.interpreter.startswith("TFLite Micro 0.dev")
    assert (result.images, result.tensors, result.differences, result.differing_bytes) == (5, 4, (), 0)
    assert result.bytes_compared == 5 * (8 * 8 * 3 + 8 * 8 * 6 + 4 * 4 * 6 + 6)


def test_arena_is_what_tflm_reports() -> None:
    """Head: input 192 and convolution output 384 live together, in slots of 16 bytes."""
    graph = chain()
    arena = compare_with_tflm(graph, write_tflite(graph)).arena
    assert arena is not None
    assert arena.head == 192 + 384
    assert arena.total == arena.head + arena.tail
    assert tflm_arena(write_tflite(graph), probe_inputs(graph)) == arena


def test_the_first_differing_layer_is_named() -> None:
    graph = chain()
    tampered = write_tflite(other_bias(graph, "dw1"))
    result = compare_with_tflm(graph, tampered)
    assert [difference.layer for difference in result.differences] == ["dw1", "mean2"]
    first = result.differences[0]
    assert 0 < first.differing_bytes <= first.bytes == 5 * 4 * 4 * 6
    assert first.image == 0 and len(first.position) == 3 and first.expected != first.found
    with pytest.raises(
        MismatchError, match=r"disagree on graph 'chain': layer 'dw1' differs in \d+ of 480 bytes"
    ) as caught:
        verify(graph, tampered)
    assert caught.value.exit_code == 5
    assert "first in image 0 at (" in str(caught.value) and "\n" not in str(caught.value)


def test_given_inputs_are_the_ones_compared() -> None:
    graph = chain()
    inputs = {"input": np.zeros((2, 8, 8, 3), np.int8)}
    assert verify(graph, inputs=inputs).images == 2


def test_several_inputs_are_fed_by_name() -> None:
    build = GraphBuilder(np.random.default_rng(0))
    shape = (1, 3, 3, 2)
    first, second = build.tensor("input", shape), build.tensor("second", shape)
    graph = build.finish("two", (build.add(first, second, Activation.NONE),))
    graph = dataclasses.replace(graph, structure=dataclasses.replace(graph.structure, inputs=("input", "second")))
    inputs = probe_inputs(graph)
    assert verify(graph, inputs=dict(reversed(inputs.items()))).differing_bytes == 0


def test_a_missing_tflm_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tflite_micro.python.tflite_micro", None)
    with pytest.raises(OfaMcuError, match=r"not installed: run 'pip install tflite-micro'"):
        verify(chain())


def test_a_refused_file_is_said_in_one_sentence() -> None:
    graph = chain()

    def stft(model: Any) -> None:
        model.operatorCodes[0].deprecatedBuiltinCode = model.operatorCodes[0].builtinCode = 67

    for data in (edited(graph, stft), write_tflite(graph)[:200]):
        with pytest.raises(
            OfaMcuError, match=r"TFLite Micro 0\.dev\d+ refuses the model \(.+\): use operators"
        ) as caught:
            compare_with_tflm(graph, data)
        assert "\n" not in str(caught.value)


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    verify(random_graph(np.random.default_rng(3)))
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


def test_litert_reports_differences_and_raises_nothing() -> None:
    pytest.importorskip("ai_edge_litert")
    graph = chain()
    result = compare_with_litert(graph, write_tflite(graph))
    assert result is not None and result.differences == () and result.interpreter.startswith("LiteRT")
    tampered = compare_with_litert(graph, write_tflite(other_bias(graph, "conv0")))
    assert tampered is not None and tampered.differences[0].layer == "conv0"

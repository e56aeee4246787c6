"""The .tflite reader: what other writers leave out, real files of others, and refusals in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_micro.python.tflite_micro import runtime

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph import reference
from ofa_mcu.graph.ir import Parameters, Quantization
from ofa_mcu.graph.tflite_reader import read_tflite
from ofa_mcu.graph.tflite_writer import write_tflite
from ofa_mcu.graph.verify import probe_inputs, verify
from ofa_mcu.space.shapes import Activation
from tests.devices.models import many_ended_graph
from tests.graph.files import assert_equal, edited, small_graph
from tests.graph.strategies import GraphBuilder


def test_reads_what_other_writers_leave_out() -> None:
    """No bias, weights per tensor, names missing or doubled, no metadata."""
    graph = small_graph()

    def strip(model: Any) -> None:
        model.metadata = None
        tensors = model.subgraphs[0].tensors
        tensors[1].name = None
        tensors[2].name = tensors[3].name
        convolution = model.subgraphs[0].operators[0]
        convolution.inputs = convolution.inputs[:2]
        tensors[convolution.inputs[1]].quantization.scale = [0.01]
        tensors[convolution.inputs[1]].quantization.zeroPoint = [0]

    data = edited(graph, strip)
    read = read_tflite(data, "stripped")
    first = read.structure.operators[0]
    assert read.structure.name == "stripped"
    assert [op.name for op in read.structure.operators[:3]] == ["tensor:1", "dw2/out", "dw2/out:3"]
    assert read.parameters[first.name].bias.tolist() == [0, 0, 0, 0]
    assert read.parameters[first.name].weight_scales.tolist() == [np.float32(0.01)]
    verify(read, data)


def _options(index: int, **changes: Any) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        for name, value in changes.items():
            setattr(model.subgraphs[0].operators[index].builtinOptions, name, value)

    return edit


def _code(index: int, code: int, custom: str | None = None) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        entry = model.operatorCodes[model.subgraphs[0].operators[index].opcodeIndex]
        entry.builtinCode, entry.deprecatedBuiltinCode, entry.customCode = code, min(code, 127), custom

    return edit


def _tensor(index: int, **changes: Any) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        for name, value in changes.items():
            setattr(model.subgraphs[0].tensors[index], name, value)

    return edit


def _two_subgraphs(model: Any) -> None:
    model.subgraphs = model.subgraphs * 2


def _weight_zero_point(model: Any) -> None:
    operator = model.subgraphs[0].operators[0]
    record = model.subgraphs[0].tensors[operator.inputs[1]].quantization
    record.zeroPoint = [1] * len(record.scale)


def _axes(*axes: int) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        tensor = model.subgraphs[0].tensors[model.subgraphs[0].operators[3].inputs[1]]
        model.buffers[tensor.buffer].data = np.array(axes, "<i4").view(np.uint8)

    return edit


def _constant_addend(model: Any) -> None:
    operators = model.subgraphs[0].operators
    operators[1].inputs = [operators[1].inputs[0], operators[0].inputs[1]]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            _code(2, 28),
            r"operator 2 \('dw2'\) of model 'm' is TANH, which is not supported: export a model .* MEAN",
        ),
        (_code(2, 77), r"operator 2 \('dw2'\) of model 'm' is SHAPE, which is .* with a fixed batch of 1"),
        (_code(2, 32, "Mine"), r"operator 2 \('dw2'\) of model 'm' is CUSTOM Mine, which"),
        (_code(2, 205), r"operator 2 \('dw2'\) of model 'm' is of code 205, which"),
        (_options(0, dilationHFactor=0), r"operator 0 \(CONV_2D 'conv0'\) of model 'm' .* dilation \(0, 1\)"),
        (_options(2, depthMultiplier=2), r"operator 2 \(DEPTHWISE_CONV_2D 'dw2'\) .* has depth multiplier 2 but 4"),
        (_options(0, strideW=0), r"operator 0 \(CONV_2D 'conv0'\) .* stride \(1, 0\)"),
        (_options(1, fusedActivationFunction=4), r"operator 1 \(ADD 'add1'\) .* fused activation 4"),
        (_options(3, keepDims=True), r"layer 'mean3' .* writes shape \(1, 1, 1, 4\)"),
        (_axes(1, 3), r"layer 'mean3' .* writes shape \(1, 3?2?\)"),
        (_axes(1, 4), r"operator 3 \(MEAN 'mean3'\) of model 'm' names axis 4 of 4"),
        (_options(4, weightsFormat=1), r"operator 4 \(FULLY_CONNECTED 'fc4'\) .* shuffled weights"),
        (_tensor(0, type=0), "the input, which operator 0 .* tensor 'input' of model 'm', is float32 instead of int8"),
        (_tensor(2, type=7), r"the output of operator 1 \(ADD 'add1'\) .* is int16 instead of int8"),
        (_tensor(2, quantization=None), "has 0 scales instead of one"),
        (_tensor(1, shape=[1, 7, 6, 5]), "layer 'conv0' of graph 'm' writes shape"),
        (_weight_zero_point, r"operator 0 \(CONV_2D 'conv0'\) .* weights with zero points"),
        (
            _constant_addend,
            r"a constant of operator 1 \(ADD 'add1'\) .* 'conv0/weights' .* has 4 scales instead of one",
        ),
        (_two_subgraphs, "model 'm' has 2 subgraphs"),
    ],
)
def test_what_the_graph_cannot_hold_is_named(edit: Callable[[Any], None], message: str) -> None:
    with pytest.raises(OfaMcuError, match=message) as caught:
        read_tflite(edited(small_graph(), edit), "m")
    assert "\n" not in str(caught.value)


def test_channels_that_do_not_fit_the_depth_multiplier_are_refused() -> None:
    build = GraphBuilder(np.random.default_rng(0))
    source = build.tensor("input", (1, 5, 5, 2))
    output = build.depthwise(source, (3, 3), (1, 1), True, Activation.NONE)
    graph = build.finish("deep", (output,))

    def widen(model: Any) -> None:
        tensors = model.subgraphs[0].tensors
        tensors[0].shape = [1, 5, 5, 1]

    with pytest.raises(
        OfaMcuError, match=r"operator 0 \(DEPTHWISE_CONV_2D 'dw0'\) .* depth multiplier 1 but 2 output channels for 1"
    ):
        read_tflite(edited(graph, widen), "m")


def test_files_that_are_no_models_are_refused() -> None:
    for data in (b"", b"TFL3", b"\x1c\0\0\0TFL3", b"PK\x03\x04" + bytes(100), bytes(1000)):
        with pytest.raises(OfaMcuError, match="model 'm' is (not a TensorFlow Lite file|damaged)"):
            read_tflite(data, "m")


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_damaged_files_end_in_one_sentence(seed: int) -> None:
    """Cut or with flipped bytes, a file is read as something consistent or refused, never worse."""
    rng = np.random.default_rng(seed)
    data = bytearray(write_tflite(small_graph()))
    if rng.random() < 0.3:
        del data[int(rng.integers(8, len(data))) :]
    else:
        for _ in range(int(rng.integers(1, 6))):
            data[int(rng.integers(8, len(data)))] = int(rng.integers(256))
    try:
        read_tflite(bytes(data), "m")
    except OfaMcuError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("file", "operators"),
    [
        ("vww_96_int8.tflite", 31),
        ("kws_ref_model.tflite", 13),
        ("micro_speech_quantized.tflite", 4),
        ("mcunet_vww1.tflite", 63),
    ],
)
def test_foreign_models(models_dir: Path, file: str, operators: int) -> None:
    """Files of others run as TFLite Micro runs them, every tensor, and so do the files we write of them."""
    data = (models_dir / file).read_bytes()
    graph = read_tflite(data, file)
    assert len(graph.structure.operators) == operators
    result = verify(graph, data)
    assert result.differing_bytes == 0 and result.tensors == operators + 1
    written = write_tflite(graph)
    assert_equal(graph, read_tflite(written, file))
    assert verify(graph, written).differing_bytes == 0


def _ends(**lists: list[int]) -> Callable[[Any], None]:
    def edit(model: Any) -> None:
        for name, indices in lists.items():
            setattr(model.subgraphs[0], name, indices)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_ends(inputs=[0, 0]), "graph 'm' has tensor 'input' as several of its inputs: name every input once"),
        (_ends(inputs=[]), "reads tensor 'input' before anything writes it"),
        (_ends(outputs=[]), "graph 'm' has no outputs: export a model with at least one"),
        (_ends(outputs=[5, 7]), r"output 1 .* has 0 scales instead of one|output 1 has a constant .* int8"),
    ],
)
def test_ends_that_no_model_has_are_named(edit: Callable[[Any], None], message: str) -> None:
    with pytest.raises(OfaMcuError, match=message) as caught:
        read_tflite(edited(small_graph(), edit), "m")
    assert "\n" not in str(caught.value)


def test_an_output_may_be_anything_that_is_there() -> None:
    graph = many_ended_graph()
    data = write_tflite(graph)
    assert_equal(graph, read_tflite(data, graph.structure.name))
    assert verify(graph, data).differing_bytes == 0
    # what the caller of TFLite Micro gets, position by position
    inputs = probe_inputs(graph)
    tensors = reference.run(graph, inputs)
    interpreter = runtime.Interpreter.from_bytes(data)
    for image in range(5):
        for index, name in enumerate(graph.structure.inputs):
            interpreter.set_input(inputs[name][image : image + 1], index)
        interpreter.invoke()
        for index, name in enumerate(graph.structure.outputs):
            wanted = graph.constants[name] if name in graph.constants else tensors[name][image]
            assert np.array_equal(interpreter.get_output(index).ravel(), wanted.ravel()), name


def test_parameters_are_read_as_they_were_written() -> None:
    """Extreme values of every field survive."""
    build = GraphBuilder(np.random.default_rng(1))
    source = build.tensor("input", (1, 3, 3, 2), Quantization(float(np.float32(1e-38)), -128))
    output = build.conv(source, 3, (1, 1), (1, 1), True, Activation.NONE)
    build.parameters["conv0"] = Parameters(
        np.full((3, 1, 1, 2), -128, np.int8),
        np.array([-(2**31), 2**31 - 1, 0], np.int32),
        np.array([1e-38, 3e38, 1.0], np.float32),
    )
    graph = build.finish("extreme", (output,))
    assert_equal(graph, read_tflite(write_tflite(graph)))

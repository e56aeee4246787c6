"""Reads a .tflite file into an int8 graph.

CONV_2D, DEPTHWISE_CONV_2D (depth multiplier 1), FULLY_CONNECTED, ADD and a spatial MEAN, all int8 with batch 1.
Everything else ends in an OfaMcuError that names the operator and its index.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.check import check_graph
from ofa_mcu.graph.flatbuffer import FlatTable
from ofa_mcu.graph.ir import Int8Graph, Parameters, Quantization
from ofa_mcu.graph.tflite_schema import (
    ACTIVATION_CODES,
    FILE_IDENTIFIER,
    OPERATOR_NAMES,
    OPERATOR_NAMES_METADATA,
    AddSlot,
    BufferSlot,
    BuiltinOperator,
    ConvSlot,
    DepthwiseSlot,
    FullyConnectedSlot,
    MetadataSlot,
    ModelSlot,
    OperatorCodeSlot,
    OperatorSlot,
    PaddingCode,
    QuantizationSlot,
    ReducerSlot,
    SubgraphSlot,
    TensorSlot,
    TensorType,
    type_name,
)
from ofa_mcu.space.shapes import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Operator,
    Padding,
    Shape,
    ShapeGraph,
    same_padding,
)

__all__ = ["read_tflite", "tensor_names"]

_DAMAGED = (struct.error, IndexError, KeyError, ValueError, TypeError, OverflowError)
_ACTIVATIONS = {code: activation for activation, code in ACTIVATION_CODES.items()}


def read_tflite(data: bytes, name: str = "") -> Int8Graph:
    """The graph in a .tflite file; `name` names it, also in errors (default: the name in the file).

    Raises OfaMcuError for a file that is no TensorFlow Lite model, for operators, types or options the int8 graph
    does not know, and for inconsistent shapes or scales.
    """
    if data[4:8] != FILE_IDENTIFIER:
        raise OfaMcuError(f"model '{name}' is not a TensorFlow Lite file: give the path of a .tflite file")
    try:
        graph = _Reader(data, name).read()
    except _DAMAGED as error:
        raise OfaMcuError(
            f"model '{name}' is damaged or cut short ({type(error).__name__} while reading): export the .tflite again"
        ) from error
    check_graph(graph)
    return graph


def tensor_names(data: bytes) -> list[str]:
    """Name of every tensor of the file by index, as `read_tflite` uses them: unique and never empty."""
    (subgraph,) = FlatTable.root(data).tables(ModelSlot.SUBGRAPHS)
    return _unique_names(subgraph.tables(SubgraphSlot.TENSORS))


def _unique_names(tensors: list[FlatTable]) -> list[str]:
    names: list[str] = []
    taken: set[str] = set()
    for index, tensor in enumerate(tensors):
        text = tensor.string(TensorSlot.NAME)
        unique = text if text and text not in taken else f"{text or 'tensor'}:{index}"
        taken.add(unique)
        names.append(unique)
    return names


class _Reader:
    """One file being read."""

    def __init__(self, data: bytes, name: str) -> None:
        self.model = FlatTable.root(data)
        subgraphs = self.model.tables(ModelSlot.SUBGRAPHS)
        if len(subgraphs) != 1:
            raise OfaMcuError(
                f"model '{name}' has {len(subgraphs)} subgraphs: export it without control flow, as one subgraph"
            )
        self.subgraph = subgraphs[0]
        self.name = name or self.subgraph.string(SubgraphSlot.NAME)
        self.codes = self.model.tables(ModelSlot.OPERATOR_CODES)
        self.buffers = self.model.tables(ModelSlot.BUFFERS)
        self.tensors = self.subgraph.tables(SubgraphSlot.TENSORS)
        self.names = _unique_names(self.tensors)
        self.shapes: dict[str, Shape] = {}
        self.quantization: dict[str, Quantization] = {}
        self.parameters: dict[str, Parameters] = {}

    def read(self) -> Int8Graph:
        """The whole graph."""
        inputs = tuple(
            self.activation(index, "the input") for index in self.indices(self.subgraph, SubgraphSlot.INPUTS)
        )
        tables = self.subgraph.tables(SubgraphSlot.OPERATORS)
        names = self.operator_names(tables)
        operators = tuple(
            self.operator(table, index, name) for index, (table, name) in enumerate(zip(tables, names, strict=True))
        )
        outputs = tuple(self.names[index] for index in self.indices(self.subgraph, SubgraphSlot.OUTPUTS))
        structure = ShapeGraph(self.name, self.shapes, operators, inputs, outputs)
        return Int8Graph(structure, self.quantization, self.parameters)

    def indices(self, table: FlatTable, slot: int) -> list[int]:
        """Tensor indices; an omitted optional tensor is -1."""
        indices = [int(index) for index in table.numbers(slot, np.int32)]
        if any(not -1 <= index < len(self.tensors) for index in indices):
            raise IndexError("tensor index outside the file")
        return indices

    def operator_names(self, tables: list[FlatTable]) -> list[str]:
        """Names our own writer kept, else those of the outputs."""
        for entry in self.model.tables(ModelSlot.METADATA):
            if entry.string(MetadataSlot.NAME) == OPERATOR_NAMES_METADATA:
                buffer = self.buffers[entry.scalar(MetadataSlot.BUFFER, "I")]
                return [str(name) for name in json.loads(buffer.numbers(BufferSlot.DATA, np.uint8).tobytes())]
        return [self.names[self.indices(table, OperatorSlot.OUTPUTS)[0]] for table in tables]

    def operator(self, table: FlatTable, index: int, name: str) -> Operator:
        """The operator at `index`, with its parameters and its output tensor."""
        code = self.codes[table.scalar(OperatorSlot.CODE_INDEX, "I")]
        number = max(code.scalar(OperatorCodeSlot.CODE, "i"), code.scalar(OperatorCodeSlot.DEPRECATED_CODE, "b"))
        if number not in list(BuiltinOperator):
            custom = code.string(OperatorCodeSlot.CUSTOM_CODE)
            label = OPERATOR_NAMES[number] if number < len(OPERATOR_NAMES) else f"of code {number}"
            label = f"{label} {custom}".strip()
            known = ", ".join(kind.name for kind in BuiltinOperator)
            raise OfaMcuError(
                f"operator {index} ('{name}') of model '{self.name}' is {label}, which is not supported: "
                f"export a model that uses only {known}"
            )
        kind = BuiltinOperator(number)
        where = f"operator {index} ({kind.name} '{name}') of model '{self.name}'"
        sources = self.indices(table, OperatorSlot.INPUTS)
        output = self.activation(self.indices(table, OperatorSlot.OUTPUTS)[0], f"the output of {where}")
        options = table.table(OperatorSlot.OPTIONS)
        first = self.names[sources[0]]
        common: dict[str, Any] = {"name": name, "inputs": (first,), "output": output}
        match kind:
            case BuiltinOperator.ADD:
                common["inputs"] = (first, self.names[sources[1]])
                self.constant_free(sources[:2], where)
                return Add(**common, activation=_activation(options, AddSlot.ACTIVATION, where))
            case BuiltinOperator.MEAN:
                self.require_spatial_mean(options, sources, where)
                return Mean(**common)
            case BuiltinOperator.FULLY_CONNECTED:
                self.require_plain(options, FullyConnectedSlot.WEIGHTS_FORMAT, 0, "shuffled weights", where)
                self.parameters[name] = self.read_parameters(sources, 0, where)
                return FullyConnected(**common, activation=_activation(options, FullyConnectedSlot.ACTIVATION, where))
            case BuiltinOperator.CONV_2D:
                self.parameters[name] = self.read_parameters(sources, 0, where)
                return Conv2D(**common, **self.window(options, ConvSlot, first, name, where))
            case BuiltinOperator.DEPTHWISE_CONV_2D:
                self.parameters[name] = self.read_parameters(sources, 3, where)
                if self.shapes[first][-1] != len(self.parameters[name].bias):
                    raise OfaMcuError(f"{where} has a depth multiplier above 1: export a model with depth multiplier 1")
                return DepthwiseConv2D(**common, **self.window(options, DepthwiseSlot, first, name, where))

    def activation(self, index: int, where: str) -> str:
        """Name of an int8 activation tensor, whose shape and quantization are recorded."""
        tensor, name = self.tensors[index], self.names[index]
        kind = tensor.scalar(TensorSlot.TYPE, "b")
        if kind != TensorType.INT8:
            raise OfaMcuError(
                f"{where}, tensor '{name}' of model '{self.name}', is {type_name(kind)} instead of int8: "
                "export the model with full integer quantization and int8 inputs and outputs"
            )
        record = tensor.table(TensorSlot.QUANTIZATION)
        scales = record.numbers(QuantizationSlot.SCALE, np.float32) if record else np.zeros(0)
        zero_points = record.numbers(QuantizationSlot.ZERO_POINT, np.int64) if record else np.zeros(0)
        if scales.size != 1 or zero_points.size != 1:
            raise OfaMcuError(
                f"{where}, tensor '{name}' of model '{self.name}', has {scales.size} scales instead of one: "
                "export the model with full integer quantization"
            )
        self.shapes[name] = tuple(int(size) for size in tensor.numbers(TensorSlot.SHAPE, np.int32))
        self.quantization[name] = Quantization(float(scales[0]), int(zero_points[0]))
        return name

    def constant(self, index: int, dtype: type[np.int8] | type[np.int32], where: str) -> NDArray[Any]:
        """Copy of a constant tensor's content in its shape."""
        tensor = self.tensors[index]
        wanted = TensorType.INT8 if dtype is np.int8 else TensorType.INT32
        kind = tensor.scalar(TensorSlot.TYPE, "b")
        content = self.buffers[tensor.scalar(TensorSlot.BUFFER, "I")].numbers(BufferSlot.DATA, np.uint8)
        if kind != wanted or content.size == 0 or tensor.table(TensorSlot.SPARSITY) is not None:
            state = (
                "no stored content" if content.size == 0 else "sparse content" if kind == wanted else type_name(kind)
            )
            raise OfaMcuError(
                f"{where} has a constant '{self.names[index]}' with {state} instead of dense {wanted.name.lower()}: "
                "export the model with full integer quantization"
            )
        shape = tuple(int(size) for size in tensor.numbers(TensorSlot.SHAPE, np.int32))
        return np.frombuffer(content.tobytes(), np.dtype(dtype).newbyteorder("<")).reshape(shape).astype(dtype)

    def constant_free(self, indices: list[int], where: str) -> None:
        """Raises unless every tensor is an activation."""
        for index in indices:
            if self.names[index] not in self.shapes:
                raise OfaMcuError(
                    f"{where} reads constant '{self.names[index]}': export a model that adds only activations"
                )

    def read_parameters(self, sources: list[int], channel_axis: int, where: str) -> Parameters:
        """Weights, biases (zeros where the file has none) and weight scales."""
        self.constant_free(sources[:1], where)
        weights = self.constant(sources[1], np.int8, where)
        record = self.tensors[sources[1]].table(TensorSlot.QUANTIZATION)
        scales = record.numbers(QuantizationSlot.SCALE, np.float32) if record else np.zeros(0, np.float32)
        zero_points = record.numbers(QuantizationSlot.ZERO_POINT, np.int64) if record else np.zeros(0)
        dimension = record.scalar(QuantizationSlot.DIMENSION, "i") if record else 0
        if zero_points.any() or (scales.size > 1 and dimension != channel_axis):
            raise OfaMcuError(
                f"{where} has weights with zero points or with scales along axis {dimension}: export the model with "
                "symmetric weights, quantized per output channel or per tensor"
            )
        has_bias = len(sources) > 2 and sources[2] >= 0
        channels = weights.shape[channel_axis]
        bias = self.constant(sources[2], np.int32, where) if has_bias else np.zeros(channels, np.int32)
        return Parameters(weights, bias.reshape(-1), scales.astype(np.float32))

    def window(
        self, options: FlatTable | None, slots: type[ConvSlot | DepthwiseSlot], source: str, name: str, where: str
    ) -> dict[str, Any]:
        """Kernel, stride, padding and activation of a convolution."""
        if options is None:
            raise OfaMcuError(f"{where} has no options: export the model again")
        stride = options.scalar(slots.STRIDE_H, "i"), options.scalar(slots.STRIDE_W, "i")
        if min(stride) < 1:
            raise OfaMcuError(f"{where} has stride {stride}: export the model again with positive strides")
        kernel = self.parameters[name].weights.shape[1:3]
        shape = self.shapes[source]
        for slot in (slots.DILATION_H, slots.DILATION_W):
            self.require_plain(options, slot, 1, "dilation", where, "i")
        padding = Padding()
        if options.scalar(slots.PADDING, "b") == PaddingCode.SAME:
            vertical = same_padding(shape[1], kernel[0], stride[0])
            padding = Padding(*vertical, *same_padding(shape[2], kernel[1], stride[1]))
        activation = _activation(options, slots.ACTIVATION, where)
        return {"kernel": kernel, "stride": stride, "padding": padding, "activation": activation}

    def require_plain(
        self, options: FlatTable | None, slot: int, plain: int, what: str, where: str, code: str = "b"
    ) -> None:
        """Raises unless the option has its plain value."""
        if options is not None and options.scalar(slot, code, plain) != plain:
            raise OfaMcuError(f"{where} uses {what}, which is not supported: export the model without it")

    def require_spatial_mean(self, options: FlatTable | None, sources: list[int], where: str) -> None:
        """Raises unless the mean runs over height and width and drops both."""
        self.constant_free(sources[:1], where)
        axes = self.constant(sources[1], np.int32, where).reshape(-1)
        rank = len(self.shapes[self.names[sources[0]]])
        keep = options is not None and options.scalar(ReducerSlot.KEEP_DIMS, "?")
        if rank != 4 or sorted(int(axis) % rank for axis in axes) != [1, 2] or keep:
            raise OfaMcuError(
                f"{where} takes the mean over axes {axes.tolist()}{' and keeps them' if keep else ''}: export a model "
                "whose mean runs over height and width and drops both"
            )


def _activation(options: FlatTable | None, slot: int, where: str) -> Activation:
    code = options.scalar(slot, "b") if options else 0
    if code not in _ACTIVATIONS:
        raise OfaMcuError(
            f"{where} has fused activation {code}, which is not supported: export a model with none, RELU or RELU6"
        )
    return _ACTIVATIONS[code]

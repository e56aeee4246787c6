"""Writes an int8 graph as a .tflite file, directly, in milliseconds.

Tensors are numbered activations first (graph inputs, then outputs in execution order), then constants. The same
graph always gives the same bytes.
"""

from __future__ import annotations

import json

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.check import check_graph
from ofa_mcu.graph.flatbuffer import FlatBuilder
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_schema import (
    ACTIVATION_CODES,
    FILE_IDENTIFIER,
    OPERATOR_NAMES_METADATA,
    SCHEMA_VERSION,
    AddSlot,
    BufferSlot,
    BuiltinOperator,
    BuiltinOptions,
    ConvSlot,
    DepthwiseSlot,
    FullyConnectedSlot,
    MetadataSlot,
    ModelSlot,
    OperatorCodeSlot,
    OperatorSlot,
    PaddingCode,
    QuantizationSlot,
    SubgraphSlot,
    TensorSlot,
    TensorType,
)
from ofa_mcu.space.shapes import (
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Operator,
    Padding,
    Shape,
    same_padding,
)

__all__ = ["write_tflite"]

_BUFFER_ALIGNMENT = 16
_DESCRIPTION = "ofa_mcu"


def write_tflite(graph: Int8Graph) -> bytes:
    """The .tflite file of the graph: int8 inputs and outputs, batch 1, one subgraph.

    Weight scales stay per channel or per tensor as they are in the graph. Raises OfaMcuError for an inconsistent
    graph and for padding that is neither SAME nor VALID.
    """
    check_graph(graph)
    return _Writer(graph).write()


def _padding_code(graph: Int8Graph, operator: Conv2D | DepthwiseConv2D) -> PaddingCode:
    _, height, width, _ = graph.structure.shapes[operator.inputs[0]]
    vertical = same_padding(height, operator.kernel[0], operator.stride[0])
    horizontal = same_padding(width, operator.kernel[1], operator.stride[1])
    if operator.padding == Padding(*vertical, *horizontal):
        return PaddingCode.SAME
    if operator.padding == Padding():
        return PaddingCode.VALID
    pad = operator.padding
    raise OfaMcuError(
        f"layer '{operator.name}' of graph '{graph.structure.name}' pads {pad.top}, {pad.bottom}, {pad.left}, "
        f"{pad.right} (top, bottom, left, right), which TensorFlow Lite cannot express: use SAME padding, here "
        f"{', '.join(map(str, (*vertical, *horizontal)))}, or none"
    )


def _code_and_version(graph: Int8Graph, operator: Operator) -> tuple[BuiltinOperator, int]:
    """Operator code and the version TFLite asks for with int8 tensors."""
    match operator:
        case Conv2D():
            return BuiltinOperator.CONV_2D, 3
        case DepthwiseConv2D():
            return BuiltinOperator.DEPTHWISE_CONV_2D, 3
        case FullyConnected():
            per_channel = graph.parameters[operator.name].weight_scales.size > 1
            return BuiltinOperator.FULLY_CONNECTED, 12 if per_channel else 4
        case Add():
            return BuiltinOperator.ADD, 2
        case _:
            return BuiltinOperator.MEAN, 2


class _Writer:
    """One file being built."""

    def __init__(self, graph: Int8Graph) -> None:
        self.graph = graph
        self.flat = FlatBuilder()
        self.buffers: list[int] = [self.flat.table([])]  # the first buffer is empty and serves all activations
        self.tensors: list[int] = []
        self.axes: int | None = None

    def write(self) -> bytes:
        """The finished file."""
        flat, structure = self.flat, self.graph.structure
        index = {}
        for name in (*structure.inputs, *(operator.output for operator in structure.operators)):
            given = self.graph.quantization[name]
            record = self.quantization(np.array([given.scale], np.float32), given.zero_point)
            index[name] = self.tensor(name, structure.shapes[name], TensorType.INT8, 0, record)
        codes: dict[tuple[BuiltinOperator, int], int] = {}
        operators = []
        for operator in structure.operators:
            code = codes.setdefault(_code_and_version(self.graph, operator), len(codes))
            sources = [index[name] for name in operator.inputs]
            operators.append(self.operator(operator, code, sources, index[operator.output]))
        metadata = self.operator_names()
        subgraph = flat.table(
            [
                (SubgraphSlot.TENSORS, flat.tables(self.tensors)),
                (SubgraphSlot.INPUTS, flat.scalars(np.array([index[name] for name in structure.inputs], np.int32))),
                (SubgraphSlot.OUTPUTS, flat.scalars(np.array([index[name] for name in structure.outputs], np.int32))),
                (SubgraphSlot.OPERATORS, flat.tables(operators)),
                (SubgraphSlot.NAME, flat.string(structure.name)),
            ]
        )
        model = flat.table(
            [
                (ModelSlot.OPERATOR_CODES, flat.tables([self.operator_code(*key) for key in codes])),
                (ModelSlot.SUBGRAPHS, flat.tables([subgraph])),
                (ModelSlot.DESCRIPTION, flat.string(_DESCRIPTION)),
                (ModelSlot.BUFFERS, flat.tables(self.buffers)),
                (ModelSlot.METADATA, metadata),
            ],
            [(ModelSlot.VERSION, "I", SCHEMA_VERSION, 0)],
        )
        return flat.finish(model, FILE_IDENTIFIER)

    def buffer(self, content: bytes) -> int:
        """Index of a new buffer."""
        offset = self.flat.data(content, len(content), _BUFFER_ALIGNMENT)
        self.buffers.append(self.flat.table([(BufferSlot.DATA, offset)]))
        return len(self.buffers) - 1

    def quantization(self, scales: NDArray[np.float32], zero_point: int = 0, dimension: int = 0) -> int:
        """A quantization record; `dimension` is the channel axis of per-channel scales."""
        zero_points = np.full(scales.size, zero_point, np.int64)
        return self.flat.table(
            [
                (QuantizationSlot.SCALE, self.flat.scalars(scales)),
                (QuantizationSlot.ZERO_POINT, self.flat.scalars(zero_points)),
            ],
            [(QuantizationSlot.DIMENSION, "i", dimension, 0)],
        )

    def tensor(self, name: str, shape: Shape, kind: TensorType, buffer: int, quantization: int) -> int:
        """Index of a new tensor."""
        offset = self.flat.table(
            [
                (TensorSlot.SHAPE, self.flat.scalars(np.array(shape, np.int32))),
                (TensorSlot.NAME, self.flat.string(name)),
                (TensorSlot.QUANTIZATION, quantization),
            ],
            [(TensorSlot.BUFFER, "I", buffer, 0), (TensorSlot.TYPE, "b", kind, 0)],
        )
        self.tensors.append(offset)
        return len(self.tensors) - 1

    def parameters(self, operator: Operator) -> list[int]:
        """Tensor indices of the operator's weights and biases."""
        given = self.graph.parameters[operator.name]
        scales = given.weight_scales
        dimension = 3 if isinstance(operator, DepthwiseConv2D) and scales.size > 1 else 0
        buffer = self.buffer(given.weights.tobytes())
        record = self.quantization(scales, 0, dimension)
        weights = self.tensor(f"{operator.name}/weights", given.weights.shape, TensorType.INT8, buffer, record)
        record = 0
        if isinstance(operator, FullyConnected):
            # TFLite compares this scale with input scale times weight scale; a convolution never reads its own.
            record = self.quantization(scales * np.float32(self.graph.quantization[operator.inputs[0]].scale))
        buffer = self.buffer(given.bias.astype("<i4", copy=False).tobytes())
        bias = self.tensor(f"{operator.name}/bias", given.bias.shape, TensorType.INT32, buffer, record)
        return [weights, bias]

    def operator(self, operator: Operator, code: int, sources: list[int], output: int) -> int:
        """An operator with its options; its constants are added on the way."""
        kind, options = self.options(operator)
        if operator.name in self.graph.parameters:
            sources = sources + self.parameters(operator)
        elif kind is BuiltinOptions.REDUCER:
            sources = [*sources, self.spatial_axes()]
        return self.flat.table(
            [
                (OperatorSlot.INPUTS, self.flat.scalars(np.array(sources, np.int32))),
                (OperatorSlot.OUTPUTS, self.flat.scalars(np.array([output], np.int32))),
                (OperatorSlot.OPTIONS, options),
            ],
            [(OperatorSlot.CODE_INDEX, "I", code, 0), (OperatorSlot.OPTIONS_TYPE, "B", kind, 0)],
        )

    def options(self, operator: Operator) -> tuple[BuiltinOptions, int]:
        """The operator's options table and its type."""
        match operator:
            case Conv2D() | DepthwiseConv2D():
                slots: type[ConvSlot] | type[DepthwiseSlot] = ConvSlot
                kind, scalars = BuiltinOptions.CONV_2D, []
                if isinstance(operator, DepthwiseConv2D):
                    slots, kind = DepthwiseSlot, BuiltinOptions.DEPTHWISE_CONV_2D
                    scalars = [(int(DepthwiseSlot.DEPTH_MULTIPLIER), "i", 1, 0)]
                scalars += [
                    (slots.PADDING, "b", _padding_code(self.graph, operator), 0),
                    (slots.STRIDE_W, "i", operator.stride[1], 0),
                    (slots.STRIDE_H, "i", operator.stride[0], 0),
                    (slots.ACTIVATION, "b", ACTIVATION_CODES[operator.activation], 0),
                ]
                return kind, self.flat.table([], scalars)
            case FullyConnected():
                code = ACTIVATION_CODES[operator.activation]
                table = self.flat.table([], [(FullyConnectedSlot.ACTIVATION, "b", code, 0)])
                return BuiltinOptions.FULLY_CONNECTED, table
            case Add():
                code = ACTIVATION_CODES[operator.activation]
                return BuiltinOptions.ADD, self.flat.table([], [(AddSlot.ACTIVATION, "b", code, 0)])
            case _:
                return BuiltinOptions.REDUCER, self.flat.table([])

    def spatial_axes(self) -> int:
        """Tensor index of the axes height and width, shared by every mean."""
        if self.axes is None:
            buffer = self.buffer(np.array([1, 2], "<i4").tobytes())
            self.axes = self.tensor("spatial_axes", (2,), TensorType.INT32, buffer, 0)
        return self.axes

    def operator_names(self) -> int:
        """Metadata that keeps the operators' names, absent where each is named like its output."""
        operators = self.graph.structure.operators
        if all(operator.name == operator.output for operator in operators):
            return 0
        buffer = self.buffer(json.dumps([operator.name for operator in operators], separators=(",", ":")).encode())
        entry = self.flat.table(
            [(MetadataSlot.NAME, self.flat.string(OPERATOR_NAMES_METADATA))],
            [(MetadataSlot.BUFFER, "I", buffer, 0)],
        )
        return self.flat.tables([entry])

    def operator_code(self, code: BuiltinOperator, version: int) -> int:
        """An operator code."""
        return self.flat.table(
            [],
            [
                (OperatorCodeSlot.DEPRECATED_CODE, "b", min(code, 127), 0),
                (OperatorCodeSlot.VERSION, "i", version, 1),
                (OperatorCodeSlot.CODE, "i", code, 0),
            ],
        )

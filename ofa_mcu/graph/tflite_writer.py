"""Writes an int8 graph as a .tflite file, directly, in milliseconds.

Tensors are numbered activations first (graph inputs, then outputs in execution order), then constants. The same
graph always gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.check import check_graph
from ofa_mcu.graph.flatbuffer import FlatBuilder
from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.graph.tflite_options import BuiltinOperator
from ofa_mcu.graph.tflite_schema import (
    FILE_IDENTIFIER,
    OPERATOR_NAMES_METADATA,
    SCHEMA_VERSION,
    BufferSlot,
    MetadataSlot,
    ModelSlot,
    OperatorCodeSlot,
    OperatorSlot,
    QuantizationSlot,
    SubgraphSlot,
    TensorSlot,
    TensorType,
)
from ofa_mcu.graph.tflite_writer_operators import OperatorForm, operator_form
from ofa_mcu.space.shapes import DepthwiseConv2D, FullyConnected, Operator, Shape

__all__ = ["write_tflite"]

_BUFFER_ALIGNMENT = 16
_DESCRIPTION = "ofa_mcu"


def write_tflite(graph: Int8Graph) -> bytes:
    """The .tflite file of the graph: batch 1, one subgraph, float32 only where the graph names float tensors.

    Weight scales stay per channel or per tensor as they are in the graph. Raises OfaMcuError for an inconsistent
    graph and for padding that is neither SAME nor VALID.
    """
    check_graph(graph)
    return _Writer(graph).write()


class _Writer:
    """One file being built."""

    def __init__(self, graph: Int8Graph) -> None:
        self.graph = graph
        self.flat = FlatBuilder()
        self.buffers: list[int] = [self.flat.table([])]  # the first buffer is empty and serves all activations
        self.tensors: list[int] = []
        self.lists: dict[tuple[str, Shape, tuple[int, ...]], int] = {}

    def write(self) -> bytes:
        """The finished file."""
        flat, structure = self.flat, self.graph.structure
        index = {}
        for name in (*structure.inputs, *(operator.output for operator in structure.operators)):
            index[name] = self.activation(name)
        for name, codes in sorted(self.graph.constants.items()):
            record = self.one_quantization(self.graph.quantization[name])
            index[name] = self.tensor(name, codes.shape, TensorType.INT8, self.buffer(codes.tobytes()), record)
        kinds: dict[tuple[BuiltinOperator, int], int] = {}
        operators = []
        for operator in structure.operators:
            form = operator_form(self.graph, operator)
            code = kinds.setdefault((form.code, form.version), len(kinds))
            sources = [index[name] for name in operator.inputs]
            operators.append(self.operator(operator, form, code, sources, index[operator.output]))
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
                (ModelSlot.OPERATOR_CODES, flat.tables([self.operator_code(*key) for key in kinds])),
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

    def one_quantization(self, given: Quantization) -> int:
        """The quantization record of an activation."""
        return self.quantization(np.array([given.scale], np.float32), given.zero_point)

    def activation(self, name: str) -> int:
        """Index of a new tensor that an inference fills."""
        shape = self.graph.structure.shapes[name]
        if name in self.graph.structure.floats:
            return self.tensor(name, shape, TensorType.FLOAT32, 0, 0)
        return self.tensor(name, shape, TensorType.INT8, 0, self.one_quantization(self.graph.quantization[name]))

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

    def operator(self, operator: Operator, form: OperatorForm, code: int, sources: list[int], output: int) -> int:
        """An operator with its options; its constants are added on the way."""
        if operator.name in self.graph.parameters:
            sources = sources + self.parameters(operator)
        sources = sources + [self.list(*given) for given in form.lists]
        if form.value is not None:
            buffer = self.buffer(np.array([form.value], np.int8).tobytes())
            record = self.one_quantization(self.graph.quantization[operator.output])
            sources.append(self.tensor(f"{operator.name}/value", (1,), TensorType.INT8, buffer, record))
        vectors = [(slot, self.flat.scalars(np.array(values, np.int32))) for slot, values in form.vectors]
        return self.flat.table(
            [
                (OperatorSlot.INPUTS, self.flat.scalars(np.array(sources, np.int32))),
                (OperatorSlot.OUTPUTS, self.flat.scalars(np.array([output], np.int32))),
                (OperatorSlot.OPTIONS, self.flat.table(vectors, form.scalars) if form.kind else 0),
            ],
            [(OperatorSlot.CODE_INDEX, "I", code, 0), (OperatorSlot.OPTIONS_TYPE, "B", form.kind, 0)],
        )

    def list(self, what: str, shape: Shape, values: Sequence[int]) -> int:
        """Tensor index of an int32 constant, shared by all operators that need the same for the same."""
        key = (what, shape, tuple(values))
        if key not in self.lists:
            buffer = self.buffer(np.array(values, "<i4").tobytes())
            name = f"constant/{what}/{len(self.lists)}"
            self.lists[key] = self.tensor(name, shape, TensorType.INT32, buffer, 0)
        return self.lists[key]

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

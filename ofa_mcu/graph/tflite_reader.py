"""Reads a .tflite file into an int8 graph.

Batch 1, int8 throughout but for float32 inputs and outputs behind QUANTIZE and DEQUANTIZE. Everything the int8 graph
does not know ends in an OfaMcuError that names the operator and its index.
"""

from __future__ import annotations

import json
import struct

import numpy as np

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.check import check_graph
from ofa_mcu.graph.flatbuffer import FlatTable
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tflite_operators import OperatorSite, read_operator
from ofa_mcu.graph.tflite_options import BuiltinOperator
from ofa_mcu.graph.tflite_schema import (
    FILE_IDENTIFIER,
    OPERATOR_NAMES,
    OPERATOR_NAMES_METADATA,
    BufferSlot,
    MetadataSlot,
    ModelSlot,
    OperatorCodeSlot,
    OperatorSlot,
    SubgraphSlot,
)
from ofa_mcu.graph.tflite_tensors import TensorReader, unique_names
from ofa_mcu.space.shapes import Operator, ShapeGraph

__all__ = ["operators_used", "read_tflite", "tensor_names"]

_COMPUTE_SHAPES = ("SHAPE", "PACK", "EXPAND_DIMS", "FILL")
"""Operators that a model with a batch of unknown size computes its shapes with."""

_DAMAGED = (struct.error, IndexError, KeyError, ValueError, TypeError, OverflowError)


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
    return unique_names(subgraph.tables(SubgraphSlot.TENSORS))


def operators_used(data: bytes) -> list[BuiltinOperator]:
    """The operators of a file that `read_tflite` takes, each once, in the order of their codes."""
    model = FlatTable.root(data)
    (subgraph,) = model.tables(ModelSlot.SUBGRAPHS)
    codes = model.tables(ModelSlot.OPERATOR_CODES)
    used = {table.scalar(OperatorSlot.CODE_INDEX, "I") for table in subgraph.tables(SubgraphSlot.OPERATORS)}
    return sorted({BuiltinOperator(_code_of(codes[index])) for index in used})


def _code_of(code: FlatTable) -> int:
    """Number of a builtin operator, in whichever of its two fields it lies."""
    return max(code.scalar(OperatorCodeSlot.CODE, "i"), code.scalar(OperatorCodeSlot.DEPRECATED_CODE, "b"))


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
        self.tensors = TensorReader(self.model, self.subgraph, self.name)

    def read(self) -> Int8Graph:
        """The whole graph."""
        tensors = self.tensors
        ends = tensors.indices(self.subgraph, SubgraphSlot.INPUTS)
        inputs = tuple(
            tensors.activation(index, "the input" if len(ends) == 1 else f"input {position}", border=True)
            for position, index in enumerate(ends)
        )
        tables = self.subgraph.tables(SubgraphSlot.OPERATORS)
        names = self.operator_names(tables)
        operators = tuple(
            self.operator(table, index, name) for index, (table, name) in enumerate(zip(tables, names, strict=True))
        )
        outputs = tuple(
            tensors.output(index, f"output {position}")
            for position, index in enumerate(tensors.indices(self.subgraph, SubgraphSlot.OUTPUTS))
        )
        floats, constants = frozenset(tensors.floats), frozenset(tensors.constants)
        structure = ShapeGraph(self.name, tensors.shapes, operators, inputs, outputs, floats, constants)
        return Int8Graph(structure, tensors.quantization, tensors.parameters, tensors.constants)

    def operator_names(self, tables: list[FlatTable]) -> list[str]:
        """Names our own writer kept, else those of the outputs."""
        for entry in self.model.tables(ModelSlot.METADATA):
            if entry.string(MetadataSlot.NAME) == OPERATOR_NAMES_METADATA:
                buffer = self.buffers[entry.scalar(MetadataSlot.BUFFER, "I")]
                return [str(name) for name in json.loads(buffer.numbers(BufferSlot.DATA, np.uint8).tobytes())]
        return [self.tensors.names[self.tensors.indices(table, OperatorSlot.OUTPUTS)[0]] for table in tables]

    def operator(self, table: FlatTable, index: int, name: str) -> Operator:
        """The operator at `index`, with its parameters and its output tensor."""
        code = self.codes[table.scalar(OperatorSlot.CODE_INDEX, "I")]
        number = _code_of(code)
        if number not in list(BuiltinOperator):
            custom = code.string(OperatorCodeSlot.CUSTOM_CODE)
            label = OPERATOR_NAMES[number] if number < len(OPERATOR_NAMES) else f"of code {number}"
            label = f"{label} {custom}".strip()
            advice = f"a model that uses only {', '.join(kind.name for kind in BuiltinOperator)}"
            if label in _COMPUTE_SHAPES:
                advice = "the model with a fixed batch of 1, so that no shapes are computed while it runs"
            where = f"operator {index} ('{name}') of model '{self.name}'"
            raise OfaMcuError(f"{where} is {label}, which is not supported: export {advice}")
        kind = BuiltinOperator(number)
        sources = self.tensors.indices(table, OperatorSlot.INPUTS)
        (target,) = self.tensors.indices(table, OperatorSlot.OUTPUTS)
        where = f"operator {index} ({kind.name} '{name}') of model '{self.name}'"
        return read_operator(
            OperatorSite(self.tensors, name, where, sources, target, table.table(OperatorSlot.OPTIONS)), kind
        )

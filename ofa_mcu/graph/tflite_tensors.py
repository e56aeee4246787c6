"""The tensors of a .tflite file: activations with their quantization, constants, weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.flatbuffer import FlatTable
from ofa_mcu.graph.ir import Parameters, Quantization
from ofa_mcu.graph.tflite_schema import (
    BufferSlot,
    ModelSlot,
    QuantizationSlot,
    SubgraphSlot,
    TensorSlot,
    TensorType,
    type_name,
)
from ofa_mcu.space.shapes import Shape

__all__ = ["TensorReader", "unique_names"]

_INTEGERS = {TensorType.INT8: np.int8, TensorType.INT32: np.int32, TensorType.INT64: np.int64}


def unique_names(tensors: list[FlatTable]) -> list[str]:
    """Names of tensors by index: unique and never empty."""
    names: list[str] = []
    taken: set[str] = set()
    for index, tensor in enumerate(tensors):
        text = tensor.string(TensorSlot.NAME)
        unique = text if text and text not in taken else f"{text or 'tensor'}:{index}"
        taken.add(unique)
        names.append(unique)
    return names


class TensorReader:
    """The tensors of one file, recorded as they are asked for."""

    def __init__(self, model: FlatTable, subgraph: FlatTable, model_name: str) -> None:
        self.model_name = model_name
        self.buffers = model.tables(ModelSlot.BUFFERS)
        self.tensors = subgraph.tables(SubgraphSlot.TENSORS)
        self.names = unique_names(self.tensors)
        self.shapes: dict[str, Shape] = {}
        self.quantization: dict[str, Quantization] = {}
        self.parameters: dict[str, Parameters] = {}
        self.constants: dict[str, NDArray[np.int8]] = {}
        self.floats: set[str] = set()

    def indices(self, table: FlatTable, slot: int) -> list[int]:
        """Tensor indices; an omitted optional tensor is -1."""
        indices = [int(index) for index in table.numbers(slot, np.int32)]
        if any(not -1 <= index < len(self.tensors) for index in indices):
            raise IndexError("tensor index outside the file")
        return indices

    def activation(self, index: int, where: str, *, border: bool = False) -> str:
        """Name of an activation tensor that is written at `where`; its shape and quantization are recorded.

        It is int8, or at the border of the network perhaps float32.
        """
        name = self.names[index]
        kind = self.tensors[index].scalar(TensorSlot.TYPE, "b")
        if border and kind == TensorType.FLOAT32:
            self.floats.add(name)
        elif kind != TensorType.INT8:
            raise self.not_int8(index, where)
        else:
            self.quantization[name] = self.tensor_quantization(index, where)
        self.shapes[name] = self.shape(index)
        return name

    def not_int8(self, index: int, where: str) -> OfaMcuError:
        """The error for an activation of another type."""
        kind = type_name(self.tensors[index].scalar(TensorSlot.TYPE, "b"))
        return OfaMcuError(
            f"{where}, tensor '{self.names[index]}' of model '{self.model_name}', is {kind} instead of int8: "
            "export the model with full integer quantization and int8 inputs and outputs"
        )

    def shape(self, index: int) -> Shape:
        """The tensor's shape."""
        return tuple(int(size) for size in self.tensors[index].numbers(TensorSlot.SHAPE, np.int32))

    def tensor_quantization(self, index: int, where: str) -> Quantization:
        """The one scale and zero point of a tensor."""
        record = self.tensors[index].table(TensorSlot.QUANTIZATION)
        scales = record.numbers(QuantizationSlot.SCALE, np.float32) if record else np.zeros(0)
        zero_points = record.numbers(QuantizationSlot.ZERO_POINT, np.int64) if record else np.zeros(0)
        if scales.size != 1 or zero_points.size != 1:
            raise OfaMcuError(
                f"{where}, tensor '{self.names[index]}' of model '{self.model_name}', has {scales.size} scales instead "
                "of one: export the model with full integer quantization"
            )
        return Quantization(float(scales[0]), int(zero_points[0]))

    def operand(self, index: int, where: str, *, real: bool = False) -> str:
        """Name of a tensor that is read at `where`: an activation, float32 only with `real`, or an int8 constant."""
        name = self.names[index]
        if name in self.floats and not real:
            raise self.not_int8(index, f"the input, which {where} reads without a QUANTIZE")
        if name in self.shapes:
            return name
        if not self.stored(index):
            raise OfaMcuError(f"{where} reads tensor '{name}' before anything writes it: export the model again")
        self.constants[name] = self.constant(index, TensorType.INT8, where)
        self.quantization[name] = self.tensor_quantization(index, f"a constant of {where}")
        self.shapes[name] = self.constants[name].shape
        return name

    def output(self, index: int, where: str) -> str:
        """Name of an output of the model: an activation that was recorded, or an int8 constant, recorded now."""
        name = self.names[index]
        return name if name in self.floats or not self.stored(index) else self.operand(index, where)

    def stored(self, index: int) -> bool:
        """Whether the file holds the tensor's content."""
        return self.content(index).size > 0

    def content(self, index: int) -> NDArray[np.uint8]:
        """Bytes of a constant tensor, none for an activation."""
        buffer = self.buffers[self.tensors[index].scalar(TensorSlot.BUFFER, "I")]
        return buffer.numbers(BufferSlot.DATA, np.uint8)

    def constant(self, index: int, wanted: TensorType, where: str) -> NDArray[Any]:
        """Copy of a constant tensor's content in its shape."""
        tensor, content = self.tensors[index], self.content(index)
        kind = tensor.scalar(TensorSlot.TYPE, "b")
        if kind != wanted or content.size == 0 or tensor.table(TensorSlot.SPARSITY) is not None:
            state = (
                "no stored content" if content.size == 0 else "sparse content" if kind == wanted else type_name(kind)
            )
            raise OfaMcuError(
                f"{where} has a constant '{self.names[index]}' with {state} instead of dense {wanted.name.lower()}: "
                "export the model with full integer quantization"
            )
        dtype = np.dtype(_INTEGERS[wanted])
        return np.frombuffer(content.tobytes(), dtype.newbyteorder("<")).reshape(self.shape(index)).astype(dtype)

    def integers(self, index: int, where: str) -> list[int]:
        """A constant list of int32 (or int64) numbers that says how an operator works."""
        wide = self.tensors[index].scalar(TensorSlot.TYPE, "b") == TensorType.INT64
        values = self.constant(index, TensorType.INT64 if wide else TensorType.INT32, where)
        return [int(value) for value in values.reshape(-1)]

    def read_parameters(self, sources: list[int], channel_axis: int, where: str) -> Parameters:
        """Weights, biases (zeros where the file has none) and weight scales."""
        weights = self.constant(sources[1], TensorType.INT8, where)
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
        bias = self.constant(sources[2], TensorType.INT32, where) if has_bias else np.zeros(channels, np.int32)
        return Parameters(weights, bias.reshape(-1), scales.astype(np.float32))

"""Exact int8 inference at float speed: the same integers as the reference, over thousands of images.

Products of matrices are taken in integers where the processor multiplies int8 exactly, else in floats, whose sums are
exact in float32 while no input can push them to 2**24, which a layer's accumulator bound tells; beyond, they run in
float64. Everything else is done by compiled loops (`loops`).
"""

from __future__ import annotations

from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import cache
from math import prod
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.arithmetic import INT8_MAX, INT8_MIN, multiply_by_quantized_multiplier
from ofa_mcu.graph.constants import (
    AddConstants,
    ChannelRequantization,
    MeanConstants,
    Scaling,
    operator_constants,
)
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.quantization.loops import Requantizer, add_by_table, depthwise
from ofa_mcu.space.shapes import Add, Conv2D, DepthwiseConv2D, FullyConnected, Mean, Operator, Padding
from ofa_mcu.supernet.execution import evenly_padded
from ofa_mcu.training.calibrate import one_thread_each

__all__ = ["Int8Network", "answers_in", "int8_accuracy", "int8_right", "scaled"]

Codes = NDArray[np.int8]

_EXACT_SINGLE = 2**24
_SUMS_AT_ONCE = 1 << 16
"""Accumulators that become codes while they lie in a core's cache."""


def _require_known(graph: Int8Graph, operator: Operator) -> None:
    """Raises OfaMcuError unless the fast path computes the operator."""
    structure = graph.structure
    shapes = [structure.shapes[name] for name in (*operator.inputs, operator.output)]
    match operator:
        case Conv2D(dilation=(1, 1)) | DepthwiseConv2D(dilation=(1, 1), depth_multiplier=1):
            known = True
        case FullyConnected():
            known = structure.rows_of(operator) == 1 and len(shapes[-1]) == 2 and len(shapes[0]) in (2, 4)
        case Add():
            known = len(set(shapes)) == 1 and len(shapes[0]) in (2, 4)
        case Mean(axes=(1, 2), keep_dims=False):
            known = len(shapes[0]) == 4 and shapes[0][0] == 1
        case _:
            known = False
    if not known or not structure.constants.isdisjoint(operator.inputs):
        raise OfaMcuError(
            f"layer '{operator.name}' of type {type(operator).__name__} is outside what the fast int8 evaluation "
            "computes: run the graph with the reference instead"
        )


def scaled(values: NDArray[np.int64], scaling: Scaling) -> NDArray[np.int64]:
    """Whole numbers, scaled and rounded as TFLite does."""
    return multiply_by_quantized_multiplier(values, scaling.multiplier, scaling.shift)


def _addition_table(constants: AddConstants) -> Codes:
    """Output (65536,), at index 256 * (first + 128) + second + 128 of a pair of codes."""
    codes = np.arange(INT8_MIN, INT8_MAX + 1)

    def side(scaling: Scaling, zero_point: int) -> NDArray[np.int64]:
        return scaled((codes - zero_point) << constants.left_shift, scaling)

    first = side(constants.first, constants.first_zero_point)
    second = side(constants.second, constants.second_zero_point)
    out = scaled(first[:, None] + second, constants.output).ravel() + constants.output_zero_point
    return out.clip(constants.clamp_min, constants.clamp_max).astype(np.int8)


@cache
def _integers_multiply_exactly() -> bool:
    """Whether torch's products of int8 matrices are right here: some processors saturate between two products."""
    rng = np.random.default_rng(0)
    for rows, depth, columns in ((1, 1, 1), (3, 7, 5), (40, 130, 33), (64, 64, 64)):
        for codes in (np.arange(INT8_MIN, INT8_MAX + 1), np.array([INT8_MIN, -127, INT8_MAX])):
            first, second = (rng.choice(codes, shape).astype(np.int8) for shape in ((rows, depth), (depth, columns)))
            try:
                found = torch._int_mm(torch.from_numpy(first), torch.from_numpy(second))
            except (AttributeError, RuntimeError):
                return False
            if not np.array_equal(found.numpy(), first.astype(np.int32) @ second.astype(np.int32)):
                return False
    return True


class _Layer(Protocol):
    """An operator with its constants."""

    def __call__(self, *sources: Codes) -> Codes:
        """Codes of its output (N, H, W, C) or (N, C), for contiguous inputs."""


class _Sum:
    def __init__(self, constants: AddConstants) -> None:
        self._table = _addition_table(constants)

    def __call__(self, *sources: Codes) -> Codes:
        first, second = sources
        codes = np.empty_like(first)
        add_by_table(first.reshape(-1), second.reshape(-1), codes.reshape(-1), self._table)
        return codes


class _Average:
    def __init__(self, graph: Int8Graph, operator: Mean, constants: MeanConstants) -> None:
        channels, scaling = graph.structure.shapes[operator.output][-1], constants.scaling
        bias = np.full(channels, -constants.count * constants.input_zero_point, np.int32)
        self._finish = Requantizer.of(
            scaling.multiplier, scaling.shift, bias, constants.output_zero_point, INT8_MIN, INT8_MAX
        )

    def __call__(self, *sources: Codes) -> Codes:
        sums = sources[0].sum((1, 2), np.int32)
        codes = np.empty(sums.shape, np.int8)
        self._finish(sums, codes)
        return codes


class _Depthwise:
    def __init__(self, graph: Int8Graph, operator: DepthwiseConv2D, constants: ChannelRequantization) -> None:
        parameters, self._padding = graph.parameters[operator.name], operator.padding
        self._weights = np.ascontiguousarray(parameters.weights[0], np.int32)
        self._stride, self._zero_point = operator.stride, constants.input_zero_point
        self._shape = graph.structure.shapes[operator.output][1:]
        self._finish = _requantizer(constants, parameters.bias)

    def __call__(self, *sources: Codes) -> Codes:
        codes = np.empty((len(sources[0]), *self._shape), np.int8)
        corner = self._padding.top, self._padding.left
        depthwise(sources[0], self._weights, self._zero_point, self._stride, corner, codes, self._finish)
        return codes


class _Products:
    """A pointwise convolution or a fully connected layer: each row of inputs, times a matrix."""

    def __init__(
        self, graph: Int8Graph, operator: Conv2D | FullyConnected, constants: ChannelRequantization, apart: int
    ) -> None:
        parameters = graph.parameters[operator.name]
        matrix = parameters.weights.reshape(len(parameters.bias), -1)  # (outputs, inputs)
        self._apart, self._outputs, self._zero_point = apart, len(matrix), constants.input_zero_point
        self._integers = _integers_multiply_exactly()
        if self._integers:
            # a copy: of a view with one row, whose strides are both 1, torch takes the wrong side for contiguous
            self._matrix = torch.from_numpy(np.array(matrix.T, order="C"))
            moved = parameters.bias - constants.input_zero_point * matrix.sum(1, np.int32)
            self._finish = _requantizer(constants, moved.astype(np.int32))
        else:
            self._matrix = torch.from_numpy(matrix).to(_exact_type(constants))
            self._finish = _requantizer(constants, parameters.bias)

    def sums(self, rows: Codes) -> Tensor:
        """Accumulators (N, outputs) of rows (N, inputs), before the bias; the zero point counts in, or lies in that."""
        if self._integers:
            return torch._int_mm(torch.from_numpy(rows), self._matrix)
        return F.linear(torch.from_numpy(rows).to(self._matrix.dtype) - self._zero_point, self._matrix)

    def __call__(self, *sources: Codes) -> Codes:
        (source,) = sources
        shape = source.shape[: self._apart]
        rows = source.reshape(prod(shape), prod(source.shape[self._apart :]))
        codes = np.empty((len(rows), self._outputs), np.int8)
        step = max(1, _SUMS_AT_ONCE // self._outputs)
        for begin in range(0, len(rows), step):
            part = slice(begin, begin + step)
            self._finish(self.sums(rows[part]).numpy(), codes[part])
        return codes.reshape(*shape, self._outputs)


class _Convolution:
    """A convolution of any window, in floats."""

    def __init__(self, graph: Int8Graph, operator: Conv2D, constants: ChannelRequantization) -> None:
        parameters = graph.parameters[operator.name]
        weights = torch.from_numpy(np.array(parameters.weights.transpose(0, 3, 1, 2), order="C"))
        self._weights, self._padding = evenly_padded(weights.to(_exact_type(constants)), operator.padding)
        self._stride, self._zero_point = operator.stride, constants.input_zero_point
        self._finish = _requantizer(constants, parameters.bias)

    def __call__(self, *sources: Codes) -> Codes:
        centred = torch.from_numpy(sources[0]).to(self._weights.dtype) - self._zero_point
        # a single channel is moved by the shape alone: permuted strides, though of the same memory, lead torch astray
        one = centred.shape[-1] == 1
        planes = centred.reshape(len(centred), 1, *centred.shape[1:3]) if one else centred.permute(0, 3, 1, 2)
        sums = F.conv2d(planes, self._weights, None, self._stride, self._padding).permute(0, 2, 3, 1).contiguous()
        codes = np.empty(sums.shape, np.int8)
        self._finish(sums.flatten(0, 2).numpy(), codes.reshape(-1, codes.shape[-1]))
        return codes


def _exact_type(constants: ChannelRequantization) -> torch.dtype:
    """The float that holds every sum of the layer exactly."""
    return torch.float32 if constants.accumulator_bound < _EXACT_SINGLE else torch.float64


def _requantizer(constants: ChannelRequantization, bias: NDArray[np.int32]) -> Requantizer:
    return Requantizer.of(
        constants.multiplier,
        constants.shift,
        bias,
        constants.output_zero_point,
        constants.clamp_min,
        constants.clamp_max,
    )


def _layer(graph: Int8Graph, operator: Operator) -> _Layer:
    """Raises OfaMcuError unless the fast path computes the operator."""
    _require_known(graph, operator)
    match operator, operator_constants(graph, operator):
        case Add(), AddConstants() as constants:
            return _Sum(constants)
        case Mean(), MeanConstants() as constants:
            return _Average(graph, operator, constants)
        case DepthwiseConv2D(), ChannelRequantization() as constants:
            return _Depthwise(graph, operator, constants)
        case FullyConnected(), ChannelRequantization() as constants:
            return _Products(graph, operator, constants, 1)
        case Conv2D(kernel=(1, 1), stride=(1, 1), padding=Padding(0, 0, 0, 0)), ChannelRequantization() as constants:
            return _Products(graph, operator, constants, 3)
        case Conv2D(), ChannelRequantization() as constants:
            return _Convolution(graph, operator, constants)
        case _, constants:
            raise AssertionError(f"{type(constants).__name__} got past the check of known operators")


class Int8Network:
    """An int8 graph, ready to run on batches."""

    def __init__(self, graph: Int8Graph) -> None:
        self.graph = graph
        self._layers = [(op, _layer(graph, op)) for op in graph.structure.operators]

    @torch.no_grad()
    def __call__(self, inputs: Codes) -> Codes:
        """Output codes (N, ...) for input codes (N, H, W, C); equal to the reference, byte for byte.

        OfaMcuError where the inputs are of another shape or type.
        """
        structure = self.graph.structure
        shape = structure.shapes[structure.inputs[0]][1:]
        if inputs.dtype != np.int8 or inputs.shape[1:] != shape:
            raise OfaMcuError(
                f"inputs {inputs.shape} of {inputs.dtype} for network '{structure.name}', which reads int8 codes of "
                f"(N, {', '.join(map(str, shape))})"
            )
        last = {name: op.name for op in structure.operators for name in op.inputs if name not in structure.outputs}
        values = {structure.inputs[0]: np.array(inputs, order="C")}  # a copy: with no strides but the usual ones
        for op, layer in self._layers:
            result = layer(*(values[name] for name in op.inputs))
            for name in op.inputs:
                if last.get(name) == op.name:
                    values.pop(name, None)
            values[op.output] = result
        return values[structure.outputs[0]]


def answers_in(
    pool: Executor, graph: Int8Graph, inputs: NDArray[np.int8], labels: NDArray[np.int64], batch: int = 50
) -> list[Future[NDArray[np.bool_]]]:
    """`int8_right` as tasks of a pool, whose threads are to have one thread of torch each; in order."""
    network = Int8Network(graph)

    def right(begin: int) -> NDArray[np.bool_]:
        outputs = network(inputs[begin : begin + batch])
        return np.asarray(outputs.reshape(len(outputs), -1).argmax(1) == labels[begin : begin + batch])

    return [pool.submit(right, begin) for begin in range(0, len(labels), batch)]


def int8_right(
    graph: Int8Graph, inputs: NDArray[np.int8], labels: NDArray[np.int64], batch: int = 50
) -> NDArray[np.bool_]:
    """Which examples (N,) the int8 graph answers rightly; the first of equal largest outputs counts, as on a device."""
    with one_thread_each() as workers, ThreadPoolExecutor(workers) as pool:
        return np.concatenate([part.result() for part in answers_in(pool, graph, inputs, labels, batch)])


def int8_accuracy(graph: Int8Graph, inputs: NDArray[np.int8], labels: NDArray[np.int64], batch: int = 50) -> float:
    """Share of right answers (0..1) of the int8 graph, as `int8_right` counts them."""
    return int(int8_right(graph, inputs, labels, batch).sum()) / len(labels)

"""Exact int8 inference at float speed: the same integers as the reference, over thousands of images.

A layer's sums are exact in float32 while no input can push them to 2**24, which its accumulator bound tells; beyond,
they run in float64. Everything else is done in integers, by compiled loops.
"""

from __future__ import annotations

from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.arithmetic import multiply_by_quantized_multiplier
from ofa_mcu.graph.constants import (
    AddConstants,
    ChannelRequantization,
    MeanConstants,
    Scaling,
    operator_constants,
)
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.quantization.loops import Requantizer, add_by_table
from ofa_mcu.space.shapes import Add, Conv2D, DepthwiseConv2D, FullyConnected, Mean, Operator
from ofa_mcu.supernet.execution import evenly_padded
from ofa_mcu.training.calibrate import one_thread_each

__all__ = ["Int8Network", "answers_in", "int8_accuracy", "int8_right", "scaled"]

_EXACT_SINGLE = 2**24


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
            known = True
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


def _addition_table(constants: AddConstants) -> NDArray[np.float32]:
    """Output less its zero point (65536,), at index 256 * (first + 128) + second + 128 of a pair of codes."""
    codes = np.arange(-128, 128)

    def side(scaling: Scaling, zero_point: int) -> NDArray[np.int64]:
        return scaled((codes - zero_point) << constants.left_shift, scaling)

    first = side(constants.first, constants.first_zero_point)
    second = side(constants.second, constants.second_zero_point)
    out = scaled(first[:, None] + second, constants.output).ravel()
    low, high = constants.clamp_min - constants.output_zero_point, constants.clamp_max - constants.output_zero_point
    return out.clip(low, high).astype(np.float32)


class _Layer:
    """One operator and its constants."""

    def __init__(self, graph: Int8Graph, operator: Operator) -> None:
        self.operator = operator
        _require_known(graph, operator)
        channels = graph.structure.shapes[operator.output][-1]
        match operator_constants(graph, operator):
            case ChannelRequantization() as constants:
                self._prepare(graph, operator, constants)
                low, high = (end - constants.output_zero_point for end in (constants.clamp_min, constants.clamp_max))
                self._finish = Requantizer.of(constants.multiplier, constants.shift, channels, low, high)
            case AddConstants() as constants:
                self._table = _addition_table(constants)
                self._start = 256 * (128 + constants.first_zero_point) + 128 + constants.second_zero_point
            case MeanConstants() as constants:
                scaling, (low, high) = constants.scaling, (end - constants.output_zero_point for end in (-128, 127))
                self._finish = Requantizer.of(scaling.multiplier, scaling.shift, channels, low, high)
            case constants:
                raise AssertionError(f"{type(constants).__name__} got past the check of known operators")

    def _prepare(self, graph: Int8Graph, operator: Operator, constants: ChannelRequantization) -> None:
        parameters = graph.parameters[operator.name]
        weights = parameters.weights.astype(np.float64)
        if isinstance(operator, DepthwiseConv2D):
            weights = weights.transpose(3, 0, 1, 2)
        elif isinstance(operator, Conv2D):
            weights = weights.transpose(0, 3, 1, 2)
        self.dtype = torch.float32 if constants.accumulator_bound < _EXACT_SINGLE else torch.float64
        self.weights, self.padding = torch.from_numpy(np.ascontiguousarray(weights)).to(self.dtype), (0, 0)
        if isinstance(operator, Conv2D | DepthwiseConv2D):
            self.weights, self.padding = evenly_padded(self.weights, operator.padding)
        self.bias = torch.from_numpy(parameters.bias.astype(np.float64)).to(self.dtype)

    def run(self, sources: list[Tensor]) -> Tensor:
        """Output (N, H, W, C) or (N, C) of the operator for such inputs, all float32 codes less their zero points."""
        match self.operator:
            case Add():
                out = torch.empty_like(sources[0])
                add_by_table(_row(sources[0]), _row(sources[1]), _row(out), self._table, self._start)
                return out
            case Mean():
                out = sources[0].double().sum((1, 2))
            case _:
                out = self._accumulate(sources[0])
        self._finish(_row(out).reshape(-1, out.shape[-1]))
        return out.float()

    def _accumulate(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        if isinstance(self.operator, FullyConnected):
            return F.linear(x.flatten(1), self.weights, self.bias)
        assert isinstance(self.operator, Conv2D | DepthwiseConv2D)
        planes = x.permute(0, 3, 1, 2)
        groups = planes.shape[1] if isinstance(self.operator, DepthwiseConv2D) else 1
        out = F.conv2d(planes, self.weights, self.bias, self.operator.stride, self.padding, 1, groups)
        return out.permute(0, 2, 3, 1).contiguous()


def _row(values: Tensor) -> NDArray[Any]:
    """The memory of a contiguous tensor, as one row."""
    return values.view(-1).numpy()


class Int8Network:
    """An int8 graph, ready to run on batches."""

    def __init__(self, graph: Int8Graph) -> None:
        self.graph = graph
        self._layers = [_Layer(graph, op) for op in graph.structure.operators]

    @torch.no_grad()
    def __call__(self, inputs: NDArray[np.int8]) -> NDArray[np.int8]:
        """Output codes (N, ...) for input codes (N, H, W, C); equal to the reference, byte for byte."""
        structure = self.graph.structure
        source, target = structure.inputs[0], structure.outputs[0]
        last = {name: op.name for op in structure.operators for name in op.inputs}
        codes = np.ascontiguousarray(inputs, np.float32) - self.graph.quantization[source].zero_point
        values = {source: torch.from_numpy(codes)}
        for layer in self._layers:
            op = layer.operator
            result = layer.run([values[name] for name in op.inputs])
            for name in op.inputs:
                if last[name] == op.name:
                    values.pop(name, None)
            values[op.output] = result
        return (values[target].numpy() + self.graph.quantization[target].zero_point).astype(np.int8)


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

"""Exact int8 inference at float speed: the same integers as the reference, over thousands of images.

A layer's sums are exact in float32 while no input can push them to 2**24, which its accumulator bound tells; beyond,
they run in float64. Requantization is exact in float64 while |accumulator| * multiplier < 2**53, which is checked;
where it does not hold, 64-bit integers take over.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.constants import (
    AddConstants,
    ChannelRequantization,
    MeanConstants,
    OperatorConstants,
    Scaling,
    operator_constants,
)
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.space.shapes import Add, Conv2D, DepthwiseConv2D, FullyConnected, Mean, Operator
from ofa_mcu.training.calibrate import one_thread_each

__all__ = ["Int8Network", "int8_accuracy", "int8_right", "scaler"]

_EXACT_SINGLE, _EXACT_DOUBLE = 2**24, 2**53


class _Requantizer:
    """TFLite's double rounding in one floor: doubling high multiply rounded half up, then a shift rounded half away.

    With z = acc * multiplier * 2**(left - 31) and e = right shift, TFLite computes h = floor(z + 1/2), then
    floor((h - [h < 0] + 2**(e - 1)) / 2**e). Since floor((floor(x) + n) / d) = floor((x + n) / d) for whole n and d,
    that is floor((z + 1/2 - [z < -1/2] + 2**(e - 1)) / 2**e).
    """

    def __init__(
        self, multiplier: NDArray[np.int32] | int, shift: NDArray[np.int8] | int, spatial: bool, bound: int
    ) -> None:
        form = (1, -1, 1, 1) if spatial else (1, -1)
        whole = torch.as_tensor(np.asarray(shift, np.int64)).reshape(form)
        self._multiplier = torch.as_tensor(np.asarray(multiplier, np.int64)).reshape(form)
        self._left, self._right = whole.clamp(min=0), (-whole).clamp(min=0)
        unit = torch.exp2(-self._right.double())
        self._factor = self._multiplier.double() * torch.exp2(self._left.double() - 31) * unit
        self._offset = torch.where(self._right > 0, 0.5 + 0.5 * unit, 0.5)
        self._step = torch.where(self._right > 0, unit, 0.0)
        largest, half = int((self._multiplier << self._left).max()), 1 << (30 + int(self._right.max()))
        # everything is a whole number of 2**-(31 + e), so it is exact while it has at most 53 bits of those
        self._exact = bound * largest + (1 << 30) + half < _EXACT_DOUBLE

    def __call__(self, acc: Tensor, negative_matters: bool = True) -> Tensor:
        """Scaled integers as float64 of integers `acc` (N, C, ...), at most `bound` in size.

        Args:
            acc: accumulators, as floats.
            negative_matters: false where every negative result is clamped to zero anyway.
        """
        if not self._exact:
            return self._by_integers(acc)
        scaled = acc.double().mul_(self._factor)
        if negative_matters:
            below = (scaled < -0.5 * self._step).double()  # where there is no right shift nothing is subtracted
            return scaled.add_(self._offset).addcmul_(below, self._step, value=-1).floor_()
        return scaled.add_(self._offset).floor_()

    def _by_integers(self, acc: Tensor) -> Tensor:
        high = ((acc.to(torch.int64) << self._left) * self._multiplier + (1 << 30)) >> 31
        half = torch.where(self._right > 0, 1 << (self._right - 1).clamp(min=0), 0)
        return ((high + torch.where(self._right > 0, high >> 63, 0) + half) >> self._right).double()


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


def scaler(scaling: Scaling, spatial: bool, bound: int) -> Callable[..., Tensor]:
    """What scales and rounds integers of at most `bound` in size as TFLite does; float64 in, float64 out."""
    return _Requantizer(scaling.multiplier, scaling.shift, spatial, bound)


def _addition_table(constants: AddConstants) -> Tensor:
    """Output less its zero point, float32 (65536,), at index 256 * (first + 128) + second + 128 of a pair of codes."""
    codes = torch.arange(-128, 128, dtype=torch.float64)
    bound = 255 << constants.left_shift
    sides = []
    for scaling, zero_point in (
        (constants.first, constants.first_zero_point),
        (constants.second, constants.second_zero_point),
    ):
        shifted = (codes - zero_point) * float(1 << constants.left_shift)
        sides.append(scaler(scaling, False, bound)(shifted.reshape(-1, 1)).flatten())
    total = (sides[0][:, None] + sides[1][None, :]).reshape(-1, 1)
    out = scaler(constants.output, False, 2 * bound)(total).flatten()
    low, high = constants.clamp_min - constants.output_zero_point, constants.clamp_max - constants.output_zero_point
    return out.clamp_(low, high).float()


class _Layer:
    """One operator, its constants as tensors ready for NCHW. Activations are codes less their zero point."""

    def __init__(self, graph: Int8Graph, operator: Operator) -> None:
        self.operator = operator
        _require_known(graph, operator)
        self.constants: OperatorConstants | None = operator_constants(graph, operator)
        match self.constants:
            case ChannelRequantization() as constants:
                self._prepare(graph, operator, constants)
            case AddConstants() as constants:
                self.table = _addition_table(constants)
            case MeanConstants() as constants:
                self.mean = scaler(constants.scaling, False, 255 * constants.count)

    def _prepare(self, graph: Int8Graph, operator: Operator, constants: ChannelRequantization) -> None:
        parameters = graph.parameters[operator.name]
        weights = parameters.weights.astype(np.float64)
        if isinstance(operator, DepthwiseConv2D):
            weights = weights.transpose(3, 0, 1, 2)
        elif isinstance(operator, Conv2D):
            weights = weights.transpose(0, 3, 1, 2)
        self.dtype = torch.float32 if constants.accumulator_bound < _EXACT_SINGLE else torch.float64
        self.weights = torch.from_numpy(np.ascontiguousarray(weights)).to(self.dtype)
        self.bias = torch.from_numpy(parameters.bias.astype(np.float64)).to(self.dtype)
        self.requantize = _Requantizer(
            constants.multiplier, constants.shift, weights.ndim == 4, constants.accumulator_bound
        )

    def run(self, sources: list[Tensor]) -> Tensor:
        """Output of the operator for inputs, all as float32 codes less their zero points."""
        match self.constants:
            case ChannelRequantization() as c:
                clamps_negative = c.clamp_min == c.output_zero_point
                out = self.requantize(self._accumulate(sources[0]), not clamps_negative)
                low, high = c.clamp_min - c.output_zero_point, c.clamp_max - c.output_zero_point
            case AddConstants() as c:
                start = 128 + c.first_zero_point, 128 + c.second_zero_point
                index = torch.add(sources[1], sources[0], alpha=256).add_(256 * start[0] + start[1])
                return self.table[index.int()]
            case MeanConstants() as c:
                out = self.mean(sources[0].double().sum((2, 3)))
                low, high = -128 - c.output_zero_point, 127 - c.output_zero_point
            case _:
                raise AssertionError(f"{type(self.constants).__name__} got past the check of known operators")
        return out.clamp_(low, high).float()

    def _accumulate(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        if isinstance(self.operator, FullyConnected):
            # weights are in TFLite's order: channels last
            flat = x.permute(0, 2, 3, 1).flatten(1) if x.ndim == 4 else x
            return F.linear(flat, self.weights, self.bias)
        assert isinstance(self.operator, Conv2D | DepthwiseConv2D)
        pad = self.operator.padding
        if pad.top == pad.bottom and pad.left == pad.right:
            padding = (pad.top, pad.left)
        else:
            x, padding = F.pad(x, (pad.left, pad.right, pad.top, pad.bottom)), (0, 0)
        groups = x.shape[1] if isinstance(self.operator, DepthwiseConv2D) else 1
        out = F.conv2d(x, self.weights, self.bias, self.operator.stride, padding, 1, groups)
        return out.contiguous(memory_format=torch.channels_last)


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
        codes = torch.from_numpy(inputs.transpose(0, 3, 1, 2).astype(np.float32))
        values = {source: codes - self.graph.quantization[source].zero_point}
        for layer in self._layers:
            op = layer.operator
            result = layer.run([values[name] for name in op.inputs])
            for name in op.inputs:
                if last[name] == op.name:
                    values.pop(name, None)
            values[op.output] = result
        output = values[target] + self.graph.quantization[target].zero_point
        if output.ndim == 4:
            output = output.permute(0, 2, 3, 1)
        return np.ascontiguousarray(output.numpy()).astype(np.int8)


def int8_right(
    graph: Int8Graph, inputs: NDArray[np.int8], labels: NDArray[np.int64], batch: int = 50
) -> NDArray[np.bool_]:
    """Which examples (N,) the int8 graph answers rightly; the first of equal largest outputs counts, as on a device."""
    network = Int8Network(graph)

    def right(begin: int) -> NDArray[np.bool_]:
        outputs = network(inputs[begin : begin + batch])
        return np.asarray(outputs.reshape(len(outputs), -1).argmax(1) == labels[begin : begin + batch])

    with one_thread_each() as workers, ThreadPoolExecutor(workers) as pool:
        return np.concatenate(list(pool.map(right, range(0, len(labels), batch))))


def int8_accuracy(graph: Int8Graph, inputs: NDArray[np.int8], labels: NDArray[np.int64], batch: int = 50) -> float:
    """Share of right answers (0..1) of the int8 graph, as `int8_right` counts them."""
    return int(int8_right(graph, inputs, labels, batch).sum()) / len(labels)

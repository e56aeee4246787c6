"""Exact int8 inference at float speed: the same integers as the reference, over thousands of images.

A layer's sums are exact in float32 while no input can push them to 2**24, which its accumulator bound tells; beyond,
they run in float64. Requantization is exact in float64 while |accumulator| * multiplier < 2**52, which is checked;
where it does not hold, 64-bit integers take over.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ofa_mcu.graph.constants import (
    AddConstants,
    ChannelRequantization,
    MeanConstants,
    OperatorConstants,
    Scaling,
    operator_constants,
)
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, FullyConnected, Operator

__all__ = ["Int8Network", "int8_accuracy"]

_EXACT_SINGLE, _EXACT_DOUBLE = 2**24, 2**52  # with a bit to spare for the half that rounds


class _Requantizer:
    """TFLite's double rounding: doubling high multiply rounded half up, then a shift rounded half away from zero."""

    def __init__(self, multiplier: NDArray[np.int32] | int, shift: NDArray[np.int8] | int, spatial: bool) -> None:
        form = (1, -1, 1, 1) if spatial else (1, -1)
        whole = torch.as_tensor(np.asarray(shift, np.int64)).reshape(form)
        self._multiplier = torch.as_tensor(np.asarray(multiplier, np.int64)).reshape(form)
        self._left, self._right = whole.clamp(min=0), (-whole).clamp(min=0)
        self._factor = self._multiplier.double() * torch.exp2(self._left.double() - 31)
        self._divisor = torch.exp2(-self._right.double())
        self._rounds = (self._right > 0).double()
        largest = (self._multiplier.double() * torch.exp2(self._left.double())).max().clamp(min=1)
        self._bound = _EXACT_DOUBLE / float(largest)

    def __call__(self, acc: Tensor, negative_matters: bool = True) -> Tensor:
        """Scaled integers as float64; `acc` holds integers as float64 and is overwritten.

        Args:
            acc: (N, C, ...) accumulators.
            negative_matters: false where every negative result is clamped to zero anyway.
        """
        if float(acc.abs().max()) >= self._bound:
            return self._by_integers(acc)
        high = acc.mul_(self._factor).add_(0.5).floor_()
        if negative_matters:
            high.sub_((high < 0).double().mul_(self._rounds))
        return high.mul_(self._divisor).add_(0.5).floor_()

    def _by_integers(self, acc: Tensor) -> Tensor:
        high = ((acc.to(torch.int64) << self._left) * self._multiplier + (1 << 30)) >> 31
        half = torch.where(self._right > 0, 1 << (self._right - 1).clamp(min=0), 0)
        return ((high + torch.where(self._right > 0, high >> 63, 0) + half) >> self._right).double()


def _scaler(scaling: Scaling, spatial: bool) -> _Requantizer:
    return _Requantizer(scaling.multiplier, scaling.shift, spatial)


class _Layer:
    """One operator, its constants as tensors ready for NCHW."""

    def __init__(self, graph: Int8Graph, operator: Operator) -> None:
        self.operator = operator
        self.constants: OperatorConstants = operator_constants(graph, operator)
        parameters = graph.parameters.get(operator.name)
        if parameters is None or not isinstance(self.constants, ChannelRequantization):
            return
        weights = parameters.weights.astype(np.float64)
        if isinstance(operator, DepthwiseConv2D):
            weights = weights.transpose(3, 0, 1, 2)
        elif isinstance(operator, Conv2D):
            weights = weights.transpose(0, 3, 1, 2)
        self.dtype = torch.float32 if self.constants.accumulator_bound < _EXACT_SINGLE else torch.float64
        self.weights = torch.from_numpy(np.ascontiguousarray(weights)).to(self.dtype)
        self.bias = torch.from_numpy(parameters.bias.astype(np.float64)).reshape(
            (1, -1, 1, 1) if weights.ndim == 4 else (1, -1)
        )
        self.requantize = _Requantizer(self.constants.multiplier, self.constants.shift, weights.ndim == 4)

    def run(self, sources: list[Tensor]) -> Tensor:
        """Output codes as float32 of input codes as float32."""
        constants = self.constants
        match constants:
            case ChannelRequantization():
                acc = self._accumulate(sources[0] - constants.input_zero_point)
                clamps_negative = constants.clamp_min == constants.output_zero_point
                out = self.requantize(acc.double().add_(self.bias), not clamps_negative)
                return _finish(out, constants.output_zero_point, constants.clamp_min, constants.clamp_max)
            case AddConstants():
                spatial, shift = sources[0].ndim == 4, float(1 << constants.left_shift)
                a = _scaler(constants.first, spatial)((sources[0].double() - constants.first_zero_point).mul_(shift))
                b = _scaler(constants.second, spatial)((sources[1].double() - constants.second_zero_point).mul_(shift))
                out = _scaler(constants.output, spatial)(a.add_(b))
                return _finish(out, constants.output_zero_point, constants.clamp_min, constants.clamp_max)
            case MeanConstants():
                total = sources[0].double().sum((2, 3)) - constants.count * constants.input_zero_point
                return _finish(_scaler(constants.scaling, False)(total), constants.output_zero_point, -128, 127)

    def _accumulate(self, x: Tensor) -> Tensor:
        x = x.to(self.dtype)
        if isinstance(self.operator, FullyConnected):
            return F.linear(_channels_last(x).flatten(1), self.weights)
        assert isinstance(self.operator, Conv2D | DepthwiseConv2D)
        pad = self.operator.padding
        if pad.top == pad.bottom and pad.left == pad.right:
            padding = (pad.top, pad.left)
        else:
            x, padding = F.pad(x, (pad.left, pad.right, pad.top, pad.bottom)), (0, 0)
        groups = x.shape[1] if isinstance(self.operator, DepthwiseConv2D) else 1
        out = F.conv2d(x, self.weights, None, self.operator.stride, padding, 1, groups)
        return out.contiguous(memory_format=torch.channels_last)


def _channels_last(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H, W, C), the order of TFLite's tensors; flat tensors as they are."""
    return x.permute(0, 2, 3, 1) if x.ndim == 4 else x


def _finish(value: Tensor, zero_point: int, low: int, high: int) -> Tensor:
    return value.add_(zero_point).clamp_(low, high).float()


class Int8Network:
    """An int8 graph, ready to run on batches."""

    def __init__(self, graph: Int8Graph) -> None:
        self.graph = graph
        self._layers = [_Layer(graph, op) for op in graph.structure.operators]

    @torch.no_grad()
    def __call__(self, inputs: NDArray[np.int8]) -> NDArray[np.int8]:
        """Output codes (N, ...) for input codes (N, H, W, C); equal to the reference, byte for byte."""
        structure = self.graph.structure
        last = {name: op.name for op in structure.operators for name in op.inputs}
        values = {structure.inputs[0]: torch.from_numpy(inputs.transpose(0, 3, 1, 2).astype(np.float32))}
        for layer in self._layers:
            op = layer.operator
            result = layer.run([values[name] for name in op.inputs])
            for name in op.inputs:
                if last[name] == op.name:
                    values.pop(name, None)
            values[op.output] = result
        return _channels_last(values[structure.outputs[0]]).numpy().astype(np.int8)


def int8_accuracy(
    graph: Int8Graph, inputs: NDArray[np.int8], labels: NDArray[np.int64], batch: int = 32
) -> float:
    """Share of right answers (0..1) of the int8 graph; the first of equal largest outputs counts, as on a device."""
    network = Int8Network(graph)
    right = 0
    for begin in range(0, len(labels), batch):
        outputs = network(inputs[begin : begin + batch])
        right += int((outputs.reshape(len(outputs), -1).argmax(1) == labels[begin : begin + batch]).sum())
    return right / len(labels)

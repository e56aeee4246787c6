"""Integer constants of every operator, derived from scales exactly as TFLite Micro derives them.

The numpy reference and the code generator both take their numbers from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.graph.arithmetic import INT8_MAX, INT8_MIN, activation_range, quantize_multiplier
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.graph.tables import SoftmaxConstants, TableConstants, softmax_constants, table_constants
from ofa_mcu.space.shapes import (
    Add,
    Conv2D,
    ConvAdd,
    DepthwiseConv2D,
    FullyConnected,
    HardSwish,
    Logistic,
    Mean,
    Mul,
    Operator,
    Pool2D,
    Quantize,
    Relu,
    Relu6,
    Softmax,
    Sub,
)

__all__ = [
    "AddConstants",
    "ChannelRequantization",
    "ConvAddConstants",
    "MeanConstants",
    "MulConstants",
    "OperatorConstants",
    "PoolConstants",
    "Scaling",
    "add_constants",
    "channel_requantization",
    "mean_constants",
    "mul_constants",
    "operator_constants",
    "pool_constants",
    "requantization",
]

ADD_LEFT_SHIFT = 20


@dataclass(frozen=True)
class Scaling:
    """A real factor multiplier * 2**(shift - 31) with a multiplier in [0, 2**31)."""

    multiplier: int
    shift: int


@dataclass(frozen=True, eq=False)
class ChannelRequantization:
    """From the int32 accumulator of a convolution or a fully connected layer to int8, per output channel.

    acc[o] = bias[o] + sum over k of weights[o, k] * (input[k] - input_zero_point)
    output = clamp(multiply_by_quantized_multiplier(acc, multiplier[o], shift[o]) + output_zero_point)

    `multiplier` int32 (O,), `shift` int8 (O,), positive to the left; a per-tensor scale is repeated for every
    channel. `accumulator_bound` is the largest |acc| any input can cause; |acc| * 2**max(shift, 0) < 2**31 holds.
    """

    multiplier: NDArray[np.int32]
    shift: NDArray[np.int8]
    input_zero_point: int
    output_zero_point: int
    clamp_min: int
    clamp_max: int
    accumulator_bound: int


@dataclass(frozen=True)
class AddConstants:
    """Element-wise int8 sum, or with a minus in its middle the difference.

    output = clamp(output_scaling(first((a - first_zero_point) << left_shift)
                                  + second((b - second_zero_point) << left_shift)) + output_zero_point)

    Every scaling is multiply_by_quantized_multiplier with a shift <= 0.
    """

    left_shift: int
    first: Scaling
    second: Scaling
    output: Scaling
    first_zero_point: int
    second_zero_point: int
    output_zero_point: int
    clamp_min: int
    clamp_max: int


@dataclass(frozen=True, eq=False)
class ConvAddConstants:
    """Of a convolution, and of the sum of its output, the first addend, and another tensor."""

    convolution: ChannelRequantization
    addition: AddConstants


@dataclass(frozen=True)
class MulConstants:
    """output = clamp(scaling((a - first_zero_point) * (b - second_zero_point)) + output_zero_point)."""

    scaling: Scaling
    first_zero_point: int
    second_zero_point: int
    output_zero_point: int
    clamp_min: int
    clamp_max: int


@dataclass(frozen=True)
class PoolConstants:
    """The range a pool's output is clamped to."""

    clamp_min: int
    clamp_max: int


@dataclass(frozen=True)
class MeanConstants:
    """Mean over `count` codes, mostly height * width of a channel; S is the plain sum of the int8 codes.

    output = clamp(scaling(S - count * input_zero_point) + output_zero_point), clamped to int8. The scaling is
    input scale over output scale, quantized, its multiplier then shifted left by floor(log2(count)) and divided by
    count, truncating, so it may lie below 2**30. It also applies where input and output share scale and zero point.
    """

    count: int
    scaling: Scaling
    input_zero_point: int
    output_zero_point: int


OperatorConstants = (
    ChannelRequantization
    | AddConstants
    | ConvAddConstants
    | MulConstants
    | PoolConstants
    | MeanConstants
    | TableConstants
    | SoftmaxConstants
)


def channel_requantization(graph: Int8Graph, operator: Operator) -> ChannelRequantization:
    """Constants of a Conv2D, DepthwiseConv2D or FullyConnected.

    Raises OfaMcuError where an accumulator could leave 32 bits, since then C and TFLite Micro are undefined.
    """
    if not isinstance(operator, Conv2D | DepthwiseConv2D | FullyConnected):
        raise TypeError(f"operator {operator.name} of type {type(operator).__name__} has no channel requantization")
    parameters = graph.parameters[operator.name]
    source = graph.quantization[operator.inputs[0]]
    target = graph.quantization[operator.output]
    scales = parameters.weight_scales.astype(np.float64)
    channels = len(parameters.bias)
    if isinstance(operator, FullyConnected) and scales.size == 1:
        # TFLite multiplies these two scales in float32, and only these.
        with np.errstate(over="ignore", under="ignore"):
            product = np.float32(source.scale) * parameters.weight_scales
        real = product.astype(np.float64) / float(np.float32(target.scale))
    else:
        real = float(np.float32(source.scale)) * scales / float(np.float32(target.scale))
    finite = np.isfinite(real)
    multiplier, shift = quantize_multiplier(np.broadcast_to(np.where(finite, real, 0.0), (channels,)))

    axes = (0, 1, 2) if isinstance(operator, DepthwiseConv2D) else tuple(range(1, parameters.weights.ndim))
    magnitude = np.abs(parameters.weights.astype(np.int32)).sum(axis=axes, dtype=np.int64)
    reach = max(source.zero_point - INT8_MIN, INT8_MAX - source.zero_point)
    bounds = magnitude * reach + np.abs(parameters.bias.astype(np.int64))
    shifted = np.where(finite, np.ldexp(bounds.astype(np.float64), np.maximum(shift, 0)), np.inf)
    if shifted.max() >= 2.0**31:
        channel = int(shifted.argmax())
        raise OfaMcuError(
            f"output channel {channel} of layer '{operator.name}' can overflow its 32-bit accumulator (bias "
            f"{int(parameters.bias[channel])}, scale factor {real[channel if real.size > 1 else 0]:.3g}): "
            "quantize the model again with wider weight scales for this layer"
        )
    low, high = activation_range(operator.activation, target)
    return ChannelRequantization(
        multiplier=multiplier,
        shift=shift,
        input_zero_point=source.zero_point,
        output_zero_point=target.zero_point,
        clamp_min=low,
        clamp_max=high,
        accumulator_bound=int(bounds.max()),
    )


def _scaling(real: float) -> Scaling:
    multiplier, shift = quantize_multiplier(real)
    return Scaling(int(multiplier), int(shift))


def add_constants(graph: Int8Graph, operator: Add | Sub) -> AddConstants:
    """Constants of an Add or a Sub; raises OfaMcuError where TFLite Micro would refuse the scales."""
    first, second = (graph.quantization[name] for name in operator.inputs)
    target = graph.quantization[operator.output]
    scales = [float(np.float32(q.scale)) for q in (first, second, target)]
    twice_max = 2 * max(scales[:2])
    output = _scaling(twice_max / ((1 << ADD_LEFT_SHIFT) * scales[2]))
    if output.shift > 0:
        raise OfaMcuError(
            f"the output scale {scales[2]:.3g} of layer '{operator.name}' is too small for its input scales "
            f"{scales[0]:.3g} and {scales[1]:.3g}: quantize the model again with a wider output range for this layer"
        )
    low, high = activation_range(operator.activation, target)
    return AddConstants(
        left_shift=ADD_LEFT_SHIFT,
        first=_scaling(scales[0] / twice_max),
        second=_scaling(scales[1] / twice_max),
        output=output,
        first_zero_point=first.zero_point,
        second_zero_point=second.zero_point,
        output_zero_point=target.zero_point,
        clamp_min=low,
        clamp_max=high,
    )


def mean_constants(graph: Int8Graph, operator: Mean) -> MeanConstants:
    """Constants of a Mean; raises OfaMcuError where its sum could leave 32 bits."""
    source = graph.quantization[operator.inputs[0]]
    target = graph.quantization[operator.output]
    extents = [graph.structure.shapes[operator.inputs[0]][axis] for axis in operator.axes]
    count = prod(extents)
    plain = _scaling(float(np.float32(source.scale)) / float(np.float32(target.scale)))
    fold = min(count.bit_length() - 1, 32, 31 + plain.shift)
    scaling = Scaling((plain.multiplier << fold) // count, plain.shift - fold)
    if count * 255 << max(scaling.shift, 0) >= 1 << 31:
        raise OfaMcuError(
            f"the sum over {' x '.join(map(str, extents))} codes in layer '{operator.name}' can leave 32 bits: "
            "quantize the model again with a wider output range for this layer"
        )
    return MeanConstants(count, scaling, source.zero_point, target.zero_point)


def mul_constants(graph: Int8Graph, operator: Mul) -> MulConstants:
    """Constants of a Mul; raises OfaMcuError where a product could leave 32 bits."""
    first, second = (graph.quantization[name] for name in operator.inputs)
    target = graph.quantization[operator.output]
    scales = [float(np.float32(q.scale)) for q in (first, second, target)]
    real = scales[0] * scales[1] / scales[2]
    scaling = _scaling(real) if np.isfinite(real) else Scaling(0, 127)
    if (255 * 255) << max(scaling.shift, 0) >= 1 << 31:
        raise OfaMcuError(
            f"the products of layer '{operator.name}', scaled by {real:.3g}, can leave 32 bits: "
            "quantize the model again with a wider output range for this layer"
        )
    low, high = activation_range(operator.activation, target)
    return MulConstants(
        scaling=scaling,
        first_zero_point=first.zero_point,
        second_zero_point=second.zero_point,
        output_zero_point=target.zero_point,
        clamp_min=low,
        clamp_max=high,
    )


def pool_constants(graph: Int8Graph, operator: Pool2D) -> PoolConstants:
    """Constants of an AveragePool2D or MaxPool2D."""
    return PoolConstants(*activation_range(operator.activation, graph.quantization[operator.output]))


def operator_constants(graph: Int8Graph, operator: Operator) -> OperatorConstants | None:
    """The integer constants of any operator of the graph, None where it only moves codes."""
    match operator:
        case Conv2D() | DepthwiseConv2D() | FullyConnected():
            return channel_requantization(graph, operator)
        case ConvAdd():
            return ConvAddConstants(
                channel_requantization(graph, operator.convolution), add_constants(graph, operator.addition)
            )
        case Add() | Sub():
            return add_constants(graph, operator)
        case Mul():
            return mul_constants(graph, operator)
        case Pool2D():
            return pool_constants(graph, operator)
        case Mean():
            return mean_constants(graph, operator)
        case Softmax():
            return softmax_constants(graph, operator)
        case Quantize() if operator.inputs[0] in graph.structure.floats:
            return None
        case Logistic() | HardSwish() | Relu() | Relu6() | Quantize():
            return table_constants(graph, operator)
        case _:
            return None


def requantization(graph: Int8Graph, operator: Operator) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Multiplier and shift per output channel of a Conv2D, DepthwiseConv2D or FullyConnected."""
    constants = channel_requantization(graph, operator)
    return constants.multiplier, constants.shift

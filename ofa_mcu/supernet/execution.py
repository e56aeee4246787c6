"""Runs a shape graph with torch tensors: the one forward pass of supernet and extracted network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_weights

from ofa_mcu.space.shapes import (
    Activation,
    Add,
    Conv2D,
    DepthwiseConv2D,
    FullyConnected,
    Mean,
    Operator,
    Padding,
    ShapeGraph,
)
from ofa_mcu.supernet.depthwise import depthwise_conv2d

__all__ = ["BN_EPSILON", "BN_MOMENTUM", "BatchNorm", "ConvParameters", "DenseParameters", "evenly_padded", "execute"]

BN_EPSILON = 1e-5
BN_MOMENTUM = 0.1


@dataclass
class ConvParameters:
    """Weights OIHW of a convolution and its batch norm; without running statistics the batch's own are used."""

    weight: Tensor
    gamma: Tensor
    beta: Tensor
    mean: Tensor | None = None
    variance: Tensor | None = None


@dataclass
class DenseParameters:
    """Weights (O, I) and bias of a fully connected layer."""

    weight: Tensor
    bias: Tensor


Provider = Callable[[Operator], ConvParameters | DenseParameters]
BatchNorm = Callable[[Tensor, Tensor | None, Tensor | None, Tensor, Tensor, bool, float, float], Tensor]
"""`F.batch_norm`, or what stands in for it where a batch is spread over processes."""


def _pad(x: Tensor, padding: Padding) -> tuple[Tensor, tuple[int, int]]:
    """`x` with what torch's symmetric padding cannot do, and the padding left to the convolution."""
    if padding.top == padding.bottom and padding.left == padding.right:
        return x, (padding.top, padding.left)
    return F.pad(x, (padding.left, padding.right, padding.top, padding.bottom)), (0, 0)


def evenly_padded(weight: Tensor, padding: Padding) -> tuple[Tensor, tuple[int, int]]:
    """Filters (O, I, H, W), and a padding of both sides alike with which they give the sums of `padding`.

    Zeros on the side of a filter where the input has less padding are cheaper than a padded copy of every input.
    """
    down, right = padding.bottom - padding.top, padding.right - padding.left
    zeros = (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0))
    even = max(padding.top, padding.bottom), max(padding.left, padding.right)
    return F.pad(weight, zeros) if any(zeros) else weight, even


def _activate(x: Tensor, activation: Activation) -> Tensor:
    """In place where no gradient asks for what was there before: `x` is always fresh."""
    match activation:
        case Activation.RELU6:
            return F.relu6(x, inplace=not torch.is_grad_enabled())
        case Activation.RELU:
            return F.relu(x, inplace=not torch.is_grad_enabled())
        case Activation.NONE:
            return x


def _convolve_folded(op: Conv2D | DepthwiseConv2D, x: Tensor, parameters: ConvParameters) -> Tensor:
    weight, bias = fuse_conv_bn_weights(
        parameters.weight, None, parameters.mean, parameters.variance, BN_EPSILON, parameters.gamma, parameters.beta
    )
    weight, padding = evenly_padded(weight, op.padding)
    groups = x.shape[1] if isinstance(op, DepthwiseConv2D) else 1
    x = F.conv2d(x, weight, bias, op.stride, padding, 1, groups)
    return _activate(x.contiguous(memory_format=torch.channels_last), op.activation)


def _convolve(
    op: Conv2D | DepthwiseConv2D, x: Tensor, parameters: ConvParameters, training: bool, batch_norm: BatchNorm
) -> Tensor:
    x, padding = _pad(x, op.padding)
    if isinstance(op, DepthwiseConv2D):
        x = depthwise_conv2d(x, parameters.weight, op.stride, padding)
    else:
        x = F.conv2d(x, parameters.weight, None, op.stride, padding)
    # a one-channel input has no channels-last form of its own, so the first convolution's output sets it
    x = x.contiguous(memory_format=torch.channels_last)
    x = batch_norm(
        x,
        parameters.mean,
        parameters.variance,
        parameters.gamma,
        parameters.beta,
        training or parameters.mean is None,
        BN_MOMENTUM,
        BN_EPSILON,
    )
    return _activate(x, op.activation)


def execute(
    graph: ShapeGraph,
    x: Tensor,
    parameters: Provider,
    training: bool,
    observe: Callable[[str, Tensor], None] | None = None,
    batch_norm: BatchNorm = F.batch_norm,
    transform: Callable[[str, Tensor], Tensor] = lambda name, value: value,
    fold: bool = False,
) -> Tensor:
    """Output of the network for inputs (N, C, H, W).

    Args:
        graph: the operators to run; its batch of 1 stands for any N.
        x: float32 input.
        parameters: gives an operator's parameters.
        training: batch norm uses (and updates) batch statistics.
        observe: called with the name and value of every tensor, input included.
        batch_norm: how to normalise.
        transform: what becomes of every tensor before it is read, input included.
        fold: batch norm, with running statistics, goes into weights and biases: faster, equal up to rounding.
    """
    x = transform(graph.inputs[0], x)
    _, height, width, channels = graph.shapes[graph.inputs[0]]
    if x.shape[1:] != (channels, height, width):
        # a convolution would run on any size, and nobody would notice
        raise ValueError(f"inputs {tuple(x.shape)} for a network that reads (N, {channels}, {height}, {width})")
    values = {graph.inputs[0]: x}
    if observe:
        observe(graph.inputs[0], x)
    for op in graph.operators:
        sources = [values[name] for name in op.inputs]
        match op:
            case Conv2D() | DepthwiseConv2D():
                layer = parameters(op)
                assert isinstance(layer, ConvParameters)
                if fold:
                    y = _convolve_folded(op, sources[0], layer)
                else:
                    y = _convolve(op, sources[0], layer, training, batch_norm)
            case FullyConnected():
                dense = parameters(op)
                assert isinstance(dense, DenseParameters)
                y = _activate(F.linear(sources[0], dense.weight, dense.bias), op.activation)
            case Add():
                y = _activate(sources[0] + sources[1], op.activation)
            case Mean():
                y = sources[0].mean((2, 3))
            case _:
                raise AssertionError(f"no execution for {op}")
        y = transform(op.output, y)
        values[op.output] = y
        if observe:
            observe(op.output, y)
    return values[graph.outputs[0]]

"""Int8 weight codes with scales from the full filter; batch norm folded into the scale.

With batch norm y = gamma * (conv(x) - mean) / sigma + beta, an output channel's codes depend on its filter alone,
and gamma / sigma goes into its scale: its sign flips the codes, its size multiplies the scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.ir import Parameters
from ofa_mcu.space.shapes import DepthwiseConv2D, Operator, ShapeGraph
from ofa_mcu.supernet.execution import BN_EPSILON, ConvParameters, DenseParameters
from ofa_mcu.supernet.network import PlainNetwork, Supernet, parameter_key

__all__ = ["filter_scales", "quantize_operator"]

_LIMIT = 127
_BIAS_LIMIT = 2**30  # leaves room in int32 for the products that are added to a bias

Float = NDArray[np.float64]


def filter_scales(source: Supernet | PlainNetwork, operator: Operator) -> Float:
    """Largest |weight| / 127 of every full filter (O,) as stored in `source`; at least a tiny positive number."""
    weight = source.weights.weight[parameter_key(operator.name)].detach().numpy().astype(np.float64)
    peaks = np.abs(weight.reshape(len(weight), -1)).max(axis=1)
    return np.maximum(peaks / _LIMIT, 1e-12)


def _tflite_layout(operator: Operator, weight: NDArray[np.int8]) -> NDArray[np.int8]:
    """OIHW -> OHWI, depthwise (C, 1, H, W) -> 1HWC, (O, I) as it is."""
    if weight.ndim == 2:
        return weight
    axes = (1, 2, 3, 0) if isinstance(operator, DepthwiseConv2D) else (0, 2, 3, 1)
    return np.ascontiguousarray(weight.transpose(axes))


def _codes(weight: Float, scale: Float) -> NDArray[np.int8]:
    shape = (-1,) + (1,) * (weight.ndim - 1)
    return np.clip(np.round(weight / scale.reshape(shape)), -_LIMIT, _LIMIT).astype(np.int8)


def quantize_operator(
    structure: ShapeGraph,
    operator: Operator,
    layer: ConvParameters | DenseParameters,
    full_scales: Float,
    input_scale: float,
) -> Parameters:
    """Parameters of one operator in TFLite's layout.

    Args:
        structure: the graph the operator belongs to.
        operator: a convolution, depthwise convolution or fully connected layer.
        layer: its float parameters, batch-norm statistics calibrated.
        full_scales: `filter_scales` of the supernet; the first O entries count.
        input_scale: scale of the input tensor.
    """
    weight = layer.weight.detach().numpy().astype(np.float64)
    scales = full_scales[: len(weight)]
    if isinstance(layer, DenseParameters):
        bias = layer.bias.detach().numpy().astype(np.float64)
        # per tensor, as TFLite's fully connected kernels expect it, and never too small to hold the bias
        scales = np.full(1, max(full_scales.max(), np.abs(bias).max() / (input_scale * _BIAS_LIMIT)))
        return _finish(operator, _codes(weight, np.broadcast_to(scales, len(weight))), scales, bias, input_scale)
    assert layer.mean is not None and layer.variance is not None
    gamma, beta, mean, variance = (
        t.detach().numpy().astype(np.float64) for t in (layer.gamma, layer.beta, layer.mean, layer.variance)
    )
    factor = gamma / np.sqrt(variance + BN_EPSILON)
    bias = beta - factor * mean
    codes = _codes(weight, scales) * np.sign(factor).astype(np.int8).reshape((-1,) + (1,) * (weight.ndim - 1))
    return _finish(operator, codes, scales * np.abs(factor), bias, input_scale)


def _finish(operator: Operator, codes: NDArray[np.int8], scales: Float, bias: Float, input_scale: float) -> Parameters:
    """Attach the bias; a channel whose scale is too small to hold its bias becomes a constant one.

    That happens where batch norm's gamma is (nearly) zero: nothing but the bias is left of such a channel.
    """
    least = np.abs(bias) / (input_scale * _BIAS_LIMIT)
    constant = np.broadcast_to(scales, bias.shape) <= np.maximum(least, 1e-12)
    if constant.any() and len(scales) == len(bias):
        scales = np.where(constant, np.maximum(np.abs(bias) / (input_scale * 127), 1e-6), scales)
        codes = codes.copy()
        codes[constant] = 0
    stored = scales.astype(np.float32)
    whole = np.round(bias / (np.float64(np.float32(input_scale)) * stored.astype(np.float64)))
    return Parameters(_tflite_layout(operator, codes), whole.astype(np.int32), stored)

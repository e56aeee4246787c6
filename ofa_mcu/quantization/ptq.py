"""Post-training quantization: a calibrated float network becomes an int8 graph."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.quantization.calibration import Ranges, activation_ranges, quantizations
from ofa_mcu.quantization.weights import filter_scales, quantize_operator
from ofa_mcu.supernet.network import PlainNetwork, Supernet
from ofa_mcu.tasks.resample import INPUT_SCALE, INPUT_ZERO_POINT
from ofa_mcu.training.calibrate import recalibrate

__all__ = ["quantize", "quantize_with", "recalibrate_and_quantize", "tensor_quantizations"]


_INPUT = Quantization(INPUT_SCALE, INPUT_ZERO_POINT)


def tensor_quantizations(network: PlainNetwork, inputs: Tensor) -> dict[str, Quantization]:
    """Scale and zero point of every tensor of `network`, from its ranges over `inputs` (N, C, H, W)."""
    return quantizations(activation_ranges(network, inputs), network.graph.inputs[0], _INPUT)


def recalibrate_and_quantize(network: PlainNetwork, inputs: Tensor, supernet: Supernet | None = None) -> Int8Graph:
    """`recalibrate`, then `quantize`, in one pass over the inputs: ranges are seen where statistics are."""
    ranges = Ranges()
    recalibrate(network, inputs, ranges.observe)
    return quantize_with(network, quantizations(ranges, network.graph.inputs[0], _INPUT), supernet)


def quantize(network: PlainNetwork, inputs: Tensor, supernet: Supernet | None = None) -> Int8Graph:
    """The int8 graph of `network`.

    Args:
        network: batch-norm statistics calibrated.
        inputs: calibration inputs (N, C, H, W) that set the activation ranges.
        supernet: where the network was cut from; its full filters set the weight scales. Without it the
            network's own do.
    """
    return quantize_with(network, tensor_quantizations(network, inputs), supernet)


def quantize_with(
    network: PlainNetwork, tensors: Mapping[str, Quantization], supernet: Supernet | None = None
) -> Int8Graph:
    """The int8 graph of `network` with the quantization of its tensors given, as by quantization-aware training."""
    graph = network.graph
    parameters = {
        op.name: quantize_operator(
            graph,
            op,
            network.parameters_of(op),
            filter_scales(supernet or network, op),
            tensors[op.inputs[0]].scale,
        )
        for op in graph.operators
        if graph.weight_shape(op) is not None
    }
    return Int8Graph(graph, tensors, parameters)

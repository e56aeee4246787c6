"""Ranges of activations and the affine codes that cover them (TFLite's asymmetric int8)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ofa_mcu.graph.ir import Quantization
from ofa_mcu.supernet.execution import execute
from ofa_mcu.supernet.network import PlainNetwork

__all__ = ["Ranges", "activation_ranges", "quantization_of", "quantizations"]

_PART = 64
"""Inputs that run together; all at once would leave the caches."""
_LEAST_SCALE = float(np.finfo(np.float32).tiny)


class Ranges(dict[str, tuple[float, float]]):
    """Tensor name -> (least, largest) value of all that was observed: NHWC in memory, or (N, C)."""

    def observe(self, name: str, value: Tensor) -> None:
        """What `execute` tells of a tensor."""
        if value.dim() == 4:
            value = value.permute(0, 2, 3, 1)  # torch's loop is quick where the last axis is the next in memory
        low, high = (float(end) for end in torch.aminmax(value))
        least, most = self.get(name, (low, high))
        self[name] = (min(low, least), max(high, most))


@torch.no_grad()
def activation_ranges(network: PlainNetwork, inputs: Tensor) -> Ranges:
    """Of every tensor over `inputs` (N, C, H, W), in evaluation mode."""
    ranges = Ranges()
    network.eval()
    for part in inputs.split(_PART):
        execute(network.graph, part, network.parameters_of, training=False, observe=ranges.observe, fold=True)
    return ranges


def quantization_of(low: float, high: float) -> Quantization:
    """Scale and zero point covering [low, high] and zero; zero is a code exactly.

    A range that float32 can hardly tell from zero gets scale 1: its tensor is dead.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32((high - low) / 255.0))
    if scale < _LEAST_SCALE:
        return Quantization(1.0, 0)
    return Quantization(scale, int(np.clip(round(-128 - low / scale), -128, 127)))


def quantizations(
    ranges: Mapping[str, tuple[float, float]], input_name: str, input_quantization: Quantization
) -> dict[str, Quantization]:
    """Quantization of every tensor; the input's is fixed by the task's preprocessing."""
    result = {name: quantization_of(*span) for name, span in ranges.items()}
    result[input_name] = input_quantization
    return result

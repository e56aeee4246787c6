"""The int8 graph: a shape graph with quantization of every activation and the parameters of every operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.space.shapes import ShapeGraph

__all__ = ["Int8Graph", "Parameters", "Quantization"]


@dataclass(frozen=True)
class Quantization:
    """real = scale * (code - zero_point); `scale` is a positive float32 value, `zero_point` within int8."""

    scale: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class Parameters:
    """Constants of one operator in TFLite's layout.

    `weights` int8 (convolution OHWI, depthwise 1HWC, fully connected OI), `bias` int32 (O,), `weight_scales`
    float32: (O,) per output channel, or (1,) per tensor. Weight zero points are 0; the bias scale is the input
    scale times the weight scale.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    weight_scales: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Int8Graph:
    """A network ready to run: `quantization` by tensor name, `parameters` by operator name.

    `constants` holds the codes of the constant tensors, in their shape.
    """

    structure: ShapeGraph
    quantization: Mapping[str, Quantization]
    parameters: Mapping[str, Parameters]
    constants: Mapping[str, NDArray[np.int8]] = field(default_factory=dict)

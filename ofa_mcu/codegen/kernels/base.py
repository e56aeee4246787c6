"""What a kernel's writer gets and gives: a layer with its places in the arena, and its C."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.constants import OperatorConstants
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.planning.kernels.base import LayerView, Way
from ofa_mcu.planning.requantize import FastScales
from ofa_mcu.space.shapes import Operator

__all__ = ["Array", "LayerCode", "PlacedLayer"]

Array = NDArray[np.int8] | NDArray[np.uint8] | NDArray[np.int16] | NDArray[np.int32] | NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class PlacedLayer:
    """A layer to be written in C: which way, where in the arena.

    `inputs`, `output` and `scratch` are C expressions of type int8_t *, mostly `ofa_arena + 1234`; constant inputs are
    names of constant arrays. `scratch` is "0" where the way needs none; it starts at a multiple of 8. `backward`: of
    the way's two gaps the backward one holds, so the kernel works from the last row to the first.
    `constants` are `operator_constants` of the operator; `scales` is the proved fast form where facts.rounding is not
    GENERAL. `prefix` starts the name of every array and function that belongs to this layer alone. `distance`: how far
    the second input lies above the output, a constant in C.
    """

    graph: Int8Graph
    prefix: str
    view: LayerView
    way: Way
    constants: OperatorConstants | None
    scales: FastScales | None
    inputs: tuple[str, ...]
    output: str
    scratch: str
    backward: bool
    distance: str = ""

    @property
    def operator(self) -> Operator:
        """The operator."""
        return self.view.operator


@dataclass(frozen=True, eq=False)
class LayerCode:
    """C of one layer.

    `arrays`: constant arrays, by name. `functions`: static functions it calls, by name, as lines; layers that name the
    same function must give the same lines. `body`: lines of the layer's own function, not indented. `headers`: of the
    kernel library, beside ofa_kernels.h.
    """

    arrays: Mapping[str, Array]
    body: tuple[str, ...]
    functions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    headers: tuple[str, ...] = ()

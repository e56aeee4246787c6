"""The writers of the kernels for cores with M-profile vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ofa_mcu.codegen.kernels.base import LayerCode, PlacedLayer
from ofa_mcu.codegen.kernels.elementwise import ELEMENTWISE_WRITERS
from ofa_mcu.codegen.kernels.mve_filters import write_conv2d, write_depthwise, write_depthwise_blocks, write_pointwise
from ofa_mcu.codegen.kernels.pools import POOL_WRITERS

__all__ = ["MVE_WRITERS"]


_OPERATORS = ("ofa_mve_operators.h",)


def write_add(layer: PlacedLayer) -> LayerCode:
    """A sum: the arguments of all kernels of the affine form are the same."""
    return replace(ELEMENTWISE_WRITERS["ofa_dsp_add"](layer), headers=("ofa_mve_add.h",))


def write_table(layer: PlacedLayer) -> LayerCode:
    """A function of one code."""
    return replace(ELEMENTWISE_WRITERS["ofa_table"](layer), headers=_OPERATORS)


def write_pool(layer: PlacedLayer) -> LayerCode:
    """A pool: the arguments of all kernels are the same."""
    return replace(POOL_WRITERS["ofa_average_pool"](layer), headers=_OPERATORS)


def write_mean(layer: PlacedLayer) -> LayerCode:
    """A mean over pixels."""
    return replace(POOL_WRITERS["ofa_mean"](layer), headers=_OPERATORS)


MVE_WRITERS: Mapping[str, Callable[[PlacedLayer], LayerCode]] = {
    "ofa_mve_add": write_add,
    "ofa_mve_table": write_table,
    "ofa_mve_average_pool": write_pool,
    "ofa_mve_max_pool": write_pool,
    "ofa_mve_mean": write_mean,
    "ofa_mve_pointwise": write_pointwise,
    "ofa_mve_conv2d": write_conv2d,
    "ofa_mve_depthwise": write_depthwise,
    "ofa_mve_depthwise_blocks": write_depthwise_blocks,
}
"""By the name of the kernel, what writes its layers."""

"""The writers of the kernels: from a placed layer to its C."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ofa_mcu.codegen.kernels import dsp_depthwise, dsp_depthwise_shared, dsp_matrix, portable
from ofa_mcu.codegen.kernels.base import LayerCode, PlacedLayer
from ofa_mcu.codegen.kernels.dense import DENSE_WRITERS
from ofa_mcu.codegen.kernels.elementwise import ELEMENTWISE_WRITERS
from ofa_mcu.codegen.kernels.moves import MOVE_WRITERS
from ofa_mcu.codegen.kernels.mve import MVE_WRITERS
from ofa_mcu.codegen.kernels.pools import POOL_WRITERS

__all__ = ["WRITERS"]

WRITERS: Mapping[str, Callable[[PlacedLayer], LayerCode]] = {
    "ofa_pointwise": portable.write_product,
    "ofa_fully_connected": portable.write_product,
    "ofa_conv2d": portable.write_conv2d,
    "ofa_depthwise": portable.write_depthwise,
    "ofa_dsp_pointwise": dsp_matrix.write,
    "ofa_dsp_pointwise_add": dsp_matrix.write,
    "ofa_dsp_conv": dsp_matrix.write,
    "ofa_dsp_depthwise": dsp_depthwise.write_dsp_depthwise,
    "ofa_dsp_depthwise_shared": dsp_depthwise_shared.write_dsp_depthwise_shared,
    **DENSE_WRITERS,
    **ELEMENTWISE_WRITERS,
    **POOL_WRITERS,
    **MOVE_WRITERS,
    **MVE_WRITERS,
}
"""By the name of the kernel, what writes its layers."""

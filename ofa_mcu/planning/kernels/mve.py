"""Kernels for cores with M-profile vectors (Cortex-M55, Cortex-M85)."""

from __future__ import annotations

from ofa_mcu.planning.kernels.base import Kernel
from ofa_mcu.planning.kernels.mve_add import MVE_ADD
from ofa_mcu.planning.kernels.mve_depthwise import MVE_DEPTHWISE
from ofa_mcu.planning.kernels.mve_depthwise_blocks import MVE_DEPTHWISE_BLOCKS
from ofa_mcu.planning.kernels.mve_matrix import MVE_CONV2D, MVE_POINTWISE
from ofa_mcu.planning.kernels.mve_operators import MVE_OPERATORS

__all__ = ["MVE_KERNELS"]

MVE_KERNELS: tuple[Kernel, ...] = (
    MVE_POINTWISE,
    MVE_CONV2D,
    MVE_DEPTHWISE,
    MVE_DEPTHWISE_BLOCKS,
    MVE_ADD,
    *MVE_OPERATORS,
)
"""All of them; those of filters run every layer they know in any rounding."""

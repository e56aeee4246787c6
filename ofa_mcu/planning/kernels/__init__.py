"""The kernels there are, as the planner sees them."""

from __future__ import annotations

from ofa_mcu.planning.kernels import dsp_depthwise, dsp_depthwise_shared, dsp_matrix, portable
from ofa_mcu.planning.kernels.base import Kernel
from ofa_mcu.planning.kernels.cascades import CASCADE_KERNELS
from ofa_mcu.planning.kernels.dense import DENSE_KERNELS
from ofa_mcu.planning.kernels.elementwise import ELEMENTWISE_KERNELS
from ofa_mcu.planning.kernels.moves import MOVE_KERNELS
from ofa_mcu.planning.kernels.mve import MVE_KERNELS
from ofa_mcu.planning.kernels.pools import POOL_KERNELS

__all__ = ["KERNELS"]

KERNELS: tuple[Kernel, ...] = (
    *portable.KERNELS,
    dsp_matrix.POINTWISE,
    dsp_matrix.POINTWISE_ADD,
    dsp_matrix.CONV,
    dsp_depthwise.DSP_DEPTHWISE,
    dsp_depthwise_shared.DSP_DEPTHWISE_SHARED,
    *DENSE_KERNELS,
    *ELEMENTWISE_KERNELS,
    *POOL_KERNELS,
    *MOVE_KERNELS,
    *MVE_KERNELS,
    *CASCADE_KERNELS,
)
"""Every kernel of every flavour; names are unique."""

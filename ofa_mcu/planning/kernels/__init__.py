"""The kernels there are, as the planner sees them."""

from __future__ import annotations

from ofa_mcu.planning.kernels import dsp_matrix, portable
from ofa_mcu.planning.kernels.base import Kernel

__all__ = ["KERNELS"]

KERNELS: tuple[Kernel, ...] = (
    *portable.KERNELS,
    dsp_matrix.POINTWISE,
    dsp_matrix.CONV,
)
"""Every kernel of every flavour; names are unique."""

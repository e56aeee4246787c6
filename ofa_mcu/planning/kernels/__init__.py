"""The kernels there are, as the planner sees them."""

from __future__ import annotations

from ofa_mcu.planning.kernels.base import Kernel

__all__ = ["KERNELS"]

KERNELS: tuple[Kernel, ...] = ()
"""Every kernel of every flavour; names are unique."""

"""The writers of the kernels: from a placed layer to its C."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ofa_mcu.codegen.kernels.base import LayerCode, PlacedLayer

__all__ = ["WRITERS"]

WRITERS: Mapping[str, Callable[[PlacedLayer], LayerCode]] = {}
"""By the name of the kernel, what writes its layers."""

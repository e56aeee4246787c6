"""Networks with fewer channels than their space says: what is left after channels were pruned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ofa_mcu.space.shapes import ShapeGraph

__all__ = ["channels_of", "narrowed"]


def channels_of(graph: ShapeGraph) -> dict[str, int]:
    """Tensor name -> its channels."""
    return {name: shape[-1] for name, shape in graph.shapes.items()}


def narrowed(graph: ShapeGraph, channels: Mapping[str, int]) -> ShapeGraph:
    """`graph` with other channel counts; a tensor that is not named keeps its own.

    Raises:
        ValueError: a tensor is unknown, or would get no channels or more than it has.
    """
    for name, count in channels.items():
        if name not in graph.shapes or not 1 <= count <= graph.shapes[name][-1]:
            raise ValueError(f"tensor '{name}' of {graph.name} cannot have {count} channels")
    shapes = {name: (*shape[:-1], channels.get(name, shape[-1])) for name, shape in graph.shapes.items()}
    return replace(graph, shapes=shapes)

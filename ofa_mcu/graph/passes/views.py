"""Where the codes of a rewritten tensor come from: a tensor of the graph before, some channels of it, another order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.space.shapes import Shape

__all__ = ["Keep", "Permute", "Rewrite", "View", "composed", "viewed"]


@dataclass(frozen=True, eq=False)
class Keep:
    """Of every `depth` codes in a row the ones at `channels` (ascending)."""

    depth: int
    channels: NDArray[np.int64]


@dataclass(frozen=True)
class Permute:
    """Codes of a tensor of this shape with its axes permuted: axis i of the result is axis `axes[i]`."""

    shape: Shape
    axes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class View:
    """The codes of the tensor `source` after these steps, in order."""

    source: str
    steps: tuple[Keep | Permute, ...] = ()


@dataclass(frozen=True, eq=False)
class Rewrite:
    """A graph made from another one.

    `views` has the tensors that are not the ones of the same name before; `aliases` maps tensors that are gone to the
    ones that have their bytes now.
    """

    graph: Int8Graph
    views: Mapping[str, View] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)


def composed(first: Mapping[str, View], second: Mapping[str, View]) -> dict[str, View]:
    """The views of two rewrites, one after the other, as those of one; names that are gone may remain."""
    views = dict(first)
    for name, view in second.items():
        below = first.get(view.source, View(view.source))
        views[name] = View(below.source, below.steps + view.steps)
    return views


def viewed(view: View, codes: NDArray[Any]) -> NDArray[Any]:
    """What the view shows of the codes (N, ...) of its source: (N, elements)."""
    flat = codes.reshape(len(codes), -1)
    for step in view.steps:
        match step:
            case Keep():
                flat = flat.reshape(len(flat), -1, step.depth)[..., step.channels].reshape(len(flat), -1)
            case Permute():
                order = (0, *(axis + 1 for axis in step.axes))
                flat = flat.reshape(len(flat), *step.shape).transpose(order).reshape(len(flat), -1)
    return flat

"""Channel order: the most important channels first, so that a narrower layer keeps the best of them.

Importance of a channel is the L1 norm of the weights that read it (OFA, Cai et al. 2020, section 3.3).
"""

from __future__ import annotations

import torch
from torch import Tensor

from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.shapes import Add, Conv2D, DepthwiseConv2D, FullyConnected, ShapeGraph
from ofa_mcu.supernet.network import Supernet, parameter_key

__all__ = ["channel_groups", "importance", "sort_channels"]


def channel_groups(graph: ShapeGraph) -> dict[str, str]:
    """Tensor name -> name of the group of tensors that must share one channel order.

    A convolution starts a group; depthwise, mean and sum keep it; a sum joins the groups of its inputs.
    """
    group = {graph.inputs[0]: graph.inputs[0]}
    for op in graph.operators:
        match op:
            case Conv2D() | FullyConnected():
                group[op.output] = op.output
            case Add():
                first, second = group[op.inputs[0]], group[op.inputs[1]]
                group = {tensor: first if g == second else g for tensor, g in group.items()}
                group[op.output] = first
            case _:
                group[op.output] = group[op.inputs[0]]
    return group


@torch.no_grad()
def importance(supernet: Supernet) -> dict[str, Tensor]:
    """Group -> importance (channels,) of every channel group that some weight reads."""
    graph = shape_graph(supernet.space, supernet.space.largest)
    groups = channel_groups(graph)
    result: dict[str, Tensor] = {}
    for op in graph.operators:
        if isinstance(op, Conv2D | FullyConnected):
            weight = supernet.weights.weight[parameter_key(op.name)]
            norms = weight.abs().flatten(2).sum(2).sum(0) if weight.dim() == 4 else weight.abs().sum(0)
            group = groups[op.inputs[0]]
            result[group] = result[group] + norms if group in result else norms
    return result


@torch.no_grad()
def sort_channels(supernet: Supernet) -> None:
    """Permute every channel group by falling importance, in place; the largest network computes the same."""
    graph = shape_graph(supernet.space, supernet.space.largest)
    groups = channel_groups(graph)
    fixed = {groups[name] for name in (*graph.inputs, *graph.outputs)}
    order = {
        group: torch.sort(norms, descending=True, stable=True).indices
        for group, norms in importance(supernet).items()
        if group not in fixed
    }
    weights = supernet.weights
    for op in graph.operators:
        key = parameter_key(op.name)
        if key not in weights.weight:
            continue
        rows = order.get(groups[op.output])
        columns = order.get(groups[op.inputs[0]]) if not isinstance(op, DepthwiseConv2D) else None
        if rows is not None:
            for store in (weights.weight, weights.gamma, weights.beta):
                if key in store:
                    store[key].copy_(store[key][rows].clone())
        if columns is not None:
            weights.weight[key].copy_(weights.weight[key][:, columns].clone())

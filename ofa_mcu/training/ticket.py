"""Early-bird tickets: one network slimmed for one board, early in its training (You et al. 2020, section 4).

The largest (or a named) network trains with an L1 penalty on batch norm's gammas (network slimming, Liu et al. 2017).
At every tick the mask of a global percentile of the channels' mean |gamma| is drawn. Once the newest of five masks
differs from each of the four before it in at most a tenth of the channels, the ticket is drawn: channels leave, the
rest trains on.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa_mcu.space.narrow import narrowed
from ofa_mcu.space.shapes import Conv2D, DepthwiseConv2D, FullyConnected, ShapeGraph
from ofa_mcu.supernet.execution import ConvParameters
from ofa_mcu.supernet.network import PlainNetwork, parameter_key
from ofa_mcu.supernet.sorting import channel_groups
from ofa_mcu.training.data import Batch
from ofa_mcu.training.learners import PlainLearner
from ofa_mcu.training.ranks import ALONE, Ranks
from ofa_mcu.training.recipe import Recipe

__all__ = ["TICKET_THRESHOLD", "TicketLearner", "channel_importance", "slim", "ticket_masks"]

_KEEP = 5
TICKET_THRESHOLD = 0.1
_TICKS = 50  # a run
_PENALTY = 1e-4
_MULTIPLE = 4  # channels: what the word-wise kernels like


@torch.no_grad()
def channel_importance(network: PlainNetwork) -> dict[str, Tensor]:
    """Group of tensors that share their channels -> mean |gamma| (channels,) of the batch norms that write them.

    Inputs and outputs of the network are no group: their channels are given.
    """
    graph = network.graph
    groups = channel_groups(graph)
    fixed = {groups[name] for name in (*graph.inputs, *graph.outputs)}
    gammas: dict[str, list[Tensor]] = {}
    for op in graph.operators:
        group = groups[op.output]
        if isinstance(op, Conv2D | DepthwiseConv2D) and group not in fixed:
            layer = network.parameters_of(op)
            assert isinstance(layer, ConvParameters)
            gammas.setdefault(group, []).append(layer.gamma.abs().cpu())
    return {group: torch.stack(found).mean(0) for group, found in gammas.items()}


def ticket_masks(importance: dict[str, Tensor], percentile: float) -> dict[str, Tensor]:
    """Group -> which channels stay (channels,) when about `percentile` per cent of all channels go.

    One threshold for all groups; what stays of a group is rounded to a multiple of 4, and never less than 4.
    """
    threshold = np.percentile(torch.cat(list(importance.values())).numpy(), percentile)
    masks = {}
    for group, scores in importance.items():
        above = int((scores > float(threshold)).sum())
        keep = min(len(scores), max(_MULTIPLE, round(above / _MULTIPLE) * _MULTIPLE))
        masks[group] = torch.zeros(len(scores), dtype=torch.bool)
        masks[group][torch.sort(scores, descending=True, stable=True).indices[:keep]] = True
    return masks


def _slim_graph(graph: ShapeGraph, masks: dict[str, Tensor]) -> ShapeGraph:
    groups = channel_groups(graph)
    return narrowed(graph, {name: int(masks[group].sum()) for name, group in groups.items() if group in masks})


@torch.no_grad()
def slim(network: PlainNetwork, masks: dict[str, Tensor]) -> PlainNetwork:
    """The network without the channels that `masks` leaves out; the others keep their weights and statistics."""
    groups = channel_groups(network.graph)
    small = PlainNetwork(_slim_graph(network.graph, masks))
    for op in network.graph.operators:
        if network.graph.weight_shape(op) is None:
            continue
        rows, columns = masks.get(groups[op.output]), masks.get(groups[op.inputs[0]])
        key = parameter_key(op.name)
        weight = network.weights.weight[key]
        weight = weight if rows is None else weight[rows]
        if columns is not None and isinstance(op, Conv2D | FullyConnected):
            weight = weight[:, columns]
        small.weights.weight[key].copy_(weight)
        for name, value in (
            ("beta", network.weights.beta[key]),
            *((("gamma", network.weights.gamma[key]),) if key in network.weights.gamma else ()),
        ):
            getattr(small.weights, name)[key].copy_(value if rows is None else value[rows])
        if key in network.weights.gamma:
            for kind in ("mean", "variance"):
                value = network.get_buffer(f"{kind}_{key}")
                small.get_buffer(f"{kind}_{key}").copy_(value if rows is None else value[rows])
    return small


class TicketLearner(PlainLearner):
    """A network in search of its ticket: ends when the masks agree, or (`late`) with the recipe."""

    def __init__(
        self, graph: ShapeGraph, recipe: Recipe, percentile: float, late: bool = False, ranks: Ranks = ALONE
    ) -> None:
        super().__init__(graph, recipe, ranks)
        self._percentile, self._late = percentile, late
        self._history: deque[Tensor] = deque(maxlen=_KEEP)
        self._distances: list[dict[str, Any]] = []
        self.settled_at: int | None = None

    def masks(self) -> dict[str, Tensor]:
        """What stays if the ticket is drawn now."""
        return ticket_masks(channel_importance(self.module), self._percentile)

    def before_step(self, step: int, steps: int, optimizer: torch.optim.Optimizer) -> str | None:
        """At fifty ticks a run: draw the mask and compare it with the four before."""
        if step == 0 or step % max(1, steps // _TICKS) or self.settled_at is not None:
            return None
        newest = torch.cat(list(self.masks().values()))
        distances = [float((newest != older).float().mean()) for older in list(self._history)[-(_KEEP - 1) :]]
        self._history.append(newest)
        if distances:
            self._distances.append({"step": step, "distance": round(max(distances), 5)})
        if len(self._history) < _KEEP or max(distances) > TICKET_THRESHOLD:
            return None
        self.settled_at = step
        if not self._late:
            self.cooling = step, step
        return f"early-bird ticket at step {step} of {steps}: masks differ in {100 * max(distances):.1f} % at most"

    def backward(self, batch: Batch, step: int) -> float:
        """Cross entropy on the labels, and the penalty that makes gammas tell important channels from others."""
        loss = super().backward(batch, step)
        for gamma in self.module.weights.gamma.values():
            gamma.grad += _PENALTY * gamma.detach().sign()
        return loss

    def rankings(self) -> dict[str, list[dict[str, Any]]]:
        """Mask distances."""
        return {"channels": self._distances, "subnets": []}

    def state(self) -> dict[str, Any]:
        """Masks and when they settled."""
        return {
            **super().state(),
            "history": list(self._history),
            "distances": list(self._distances),
            "settled_at": self.settled_at,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""
        super().restore(state)
        self._history = deque(state["history"], maxlen=_KEEP)
        self._distances, self.settled_at = list(state["distances"]), state["settled_at"]

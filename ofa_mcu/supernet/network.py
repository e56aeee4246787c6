"""The supernet, and the plain network of one subnet."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ofa_mcu.space.lowering import shape_graph
from ofa_mcu.space.shapes import Add, Conv2D, DepthwiseConv2D, FullyConnected, Operator, ShapeGraph
from ofa_mcu.space.space import SearchSpace
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.execution import BatchNorm, ConvParameters, DenseParameters, execute

__all__ = ["PlainNetwork", "Supernet", "extract", "parameter_key"]


def parameter_key(operator: str) -> str:
    """Name under which torch keeps an operator's parameters (torch forbids dots)."""
    return operator.replace(".", "_")


def _torch_weight_shape(graph: ShapeGraph, op: Operator) -> tuple[int, ...]:
    """OIHW for convolutions, (C, 1, H, W) for depthwise ones, (O, I) for fully connected layers."""
    shape = graph.weight_shape(op)
    assert shape is not None
    match op:
        case Conv2D():
            return (shape[0], shape[3], shape[1], shape[2])
        case DepthwiseConv2D():
            return (shape[3], 1, shape[1], shape[2])
        case _:
            return shape


def _residual_ends(graph: ShapeGraph) -> set[str]:
    """Operators whose output goes only into a residual sum: their batch norm starts at zero."""
    return {op.inputs[1] for op in graph.operators if isinstance(op, Add)}


class _Weights(nn.Module):
    """Parameters of every operator of a shape graph, initialised from `seed`."""

    def __init__(self, graph: ShapeGraph, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        zeros = _residual_ends(graph)
        self.weight, self.gamma, self.beta = nn.ParameterDict(), nn.ParameterDict(), nn.ParameterDict()
        for op in graph.operators:
            if graph.weight_shape(op) is None:
                continue
            key, shape = parameter_key(op.name), _torch_weight_shape(graph, op)
            fan_in = torch.Size(shape[1:]).numel()
            gain = 1.0 if isinstance(op, FullyConnected) else 2.0
            self.weight[key] = nn.Parameter(torch.randn(shape, generator=generator) * (gain / fan_in) ** 0.5)
            self.beta[key] = nn.Parameter(torch.zeros(shape[0]))
            if not isinstance(op, FullyConnected):
                start = torch.zeros if op.output in zeros else torch.ones
                self.gamma[key] = nn.Parameter(start(shape[0]))


class Supernet(nn.Module):
    """Weights of the largest network of a space; every subnet is a slice of them.

    Channels and kernels are nested: a narrower layer takes the first channels, a smaller kernel the centre.
    Batch-norm statistics are not kept: they belong to a subnet and are recalibrated for each
    (`ofa_mcu.training.calibrate`).
    """

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        super().__init__()
        self.space = space
        self.batch_norm: BatchNorm = F.batch_norm
        self.weights = _Weights(shape_graph(space, space.largest), seed)
        self._graph = lru_cache(maxsize=512)(lambda subnet: shape_graph(space, subnet))

    def slice(self, graph: ShapeGraph, op: Operator) -> ConvParameters | DenseParameters:
        """Parameters of `op` of a subnet's graph, as views of the shared ones."""
        key = parameter_key(op.name)
        weight, beta = self.weights.weight[key], self.weights.beta[key]
        shape = _torch_weight_shape(graph, op)
        weight, beta = weight[: shape[0], : shape[1]], beta[: shape[0]]
        if isinstance(op, FullyConnected):
            return DenseParameters(weight, beta)
        top, left = (weight.shape[2] - shape[2]) // 2, (weight.shape[3] - shape[3]) // 2
        weight = weight[:, :, top : top + shape[2], left : left + shape[3]]
        return ConvParameters(weight, self.weights.gamma[key][: shape[0]], beta)

    def forward(self, x: Tensor, subnet: Subnet) -> Tensor:
        """Logits (N, classes) of `subnet` for inputs (N, C, H, W), with the batch's own statistics."""
        graph = self._graph(subnet)
        return execute(graph, x, lambda op: self.slice(graph, op), training=True, batch_norm=self.batch_norm)


class PlainNetwork(nn.Module):
    """One network with its own weights and batch-norm statistics, no longer elastic."""

    def __init__(self, graph: ShapeGraph, seed: int = 0) -> None:
        super().__init__()
        self.graph = graph
        self.batch_norm: BatchNorm = F.batch_norm
        self.weights = _Weights(graph, seed)
        for key, gamma in self.weights.gamma.items():
            self.register_buffer(f"mean_{key}", torch.zeros(len(gamma)))
            self.register_buffer(f"variance_{key}", torch.ones(len(gamma)))

    def parameters_of(self, op: Operator) -> ConvParameters | DenseParameters:
        """The operator's parameters, statistics included."""
        key = parameter_key(op.name)
        weight, beta = self.weights.weight[key], self.weights.beta[key]
        if isinstance(op, FullyConnected):
            return DenseParameters(weight, beta)
        mean, variance = self.get_buffer(f"mean_{key}"), self.get_buffer(f"variance_{key}")
        return ConvParameters(weight, self.weights.gamma[key], beta, mean, variance)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) for inputs (N, C, H, W)."""
        fold = not self.training and not torch.is_grad_enabled()
        return execute(self.graph, x, self.parameters_of, self.training, batch_norm=self.batch_norm, fold=fold)


@torch.no_grad()
def extract(supernet: Supernet, subnet: Subnet) -> PlainNetwork:
    """The plain network of `subnet`: equal output, own copies of the weights, statistics still to be calibrated."""
    graph = shape_graph(supernet.space, subnet)
    network = PlainNetwork(graph)
    for op in graph.operators:
        if graph.weight_shape(op) is None:
            continue
        source, target = supernet.slice(graph, op), network.parameters_of(op)
        target.weight.copy_(source.weight)
        if isinstance(source, DenseParameters) and isinstance(target, DenseParameters):
            target.bias.copy_(source.bias)
        elif isinstance(source, ConvParameters) and isinstance(target, ConvParameters):
            target.gamma.copy_(source.gamma)
            target.beta.copy_(source.beta)
    return network

"""Quantization-aware training on the grid of the exported network.

Weights are rounded to the codes that `quantize_operator` writes, activations to the codes of fixed scales and zero
points; gradients pass through where nothing is clipped (straight-through estimator, Bengio et al. 2013). Batch norm is
frozen at its calibrated statistics and folds as in the export (Jacob et al. 2018, section 3.2), so that what is
trained is what is exported: the same codes, and the same sums up to the rounding of float32.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from ofa_mcu.graph.constants import mean_constants
from ofa_mcu.graph.ir import Int8Graph, Quantization
from ofa_mcu.quantization.fast import int8_accuracy, scaled
from ofa_mcu.quantization.ptq import quantize_with
from ofa_mcu.space.shapes import Mean, Operator, ShapeGraph
from ofa_mcu.supernet.execution import ConvParameters, DenseParameters, execute
from ofa_mcu.supernet.network import PlainNetwork
from ofa_mcu.training.data import Batch, ImageSet
from ofa_mcu.training.distil import DistilledLearner
from ofa_mcu.training.learner import TRAINED
from ofa_mcu.training.ranks import ALONE, Ranks
from ofa_mcu.training.recipe import Recipe

__all__ = ["FakeQuantization", "QatLearner", "weight_codes"]

_LIMIT = 127


def weight_codes(weight: Tensor, per_tensor: bool) -> tuple[Tensor, Tensor]:
    """Codes (as float64) and scales of a filter bank (O, ...), as the export writes them; scales (O, 1, ...)."""
    exact = weight.detach().double()
    scales = (exact.abs().flatten(1).amax(1) / _LIMIT).clamp(min=1e-12)
    scales = scales.max().expand(len(scales)) if per_tensor else scales
    scales = scales.reshape(-1, *(1 for _ in weight.shape[1:]))
    return torch.round(exact / scales).clamp(-_LIMIT, _LIMIT), scales


def _on_grid(weight: Tensor, per_tensor: bool) -> Tensor:
    codes, scales = weight_codes(weight, per_tensor)
    return weight + ((codes * scales).float() - weight).detach()


class FakeQuantization:
    """Runs a network with every weight and every tensor on its int8 grid; differentiable.

    A mean is rounded as TFLite rounds it: twice, and the first time coarsely, which moves a quarter of its codes.
    """

    def __init__(self, graph: ShapeGraph, tensors: Mapping[str, Quantization]) -> None:
        self._graph, self._tensors = graph, tensors
        bare = Int8Graph(graph, tensors, {})  # the constants of a mean need no parameters
        self._means = {op.output: mean_constants(bare, op) for op in graph.operators if isinstance(op, Mean)}
        self._sources = {op.output: op.inputs[0] for op in graph.operators if isinstance(op, Mean)}

    def __call__(self, network: PlainNetwork, inputs: Tensor) -> Tensor:
        """Logits (N, classes) for inputs (N, C, H, W); batch norm uses the network's statistics."""

        def provide(op: Operator) -> ConvParameters | DenseParameters:
            layer = network.parameters_of(op)
            if isinstance(layer, DenseParameters):
                return DenseParameters(_on_grid(layer.weight, per_tensor=True), layer.bias)
            return ConvParameters(
                _on_grid(layer.weight, per_tensor=False), layer.gamma, layer.beta, layer.mean, layer.variance
            )

        return execute(self._graph, inputs, provide, training=False, transform=self.on_grid)

    def on_grid(self, name: str, value: Tensor) -> Tensor:
        """A tensor's values, rounded to its codes; a mean must be that of values on the grid of its source."""
        q = self._tensors[name]
        rounded = torch.fake_quantize_per_tensor_affine(value.float(), q.scale, q.zero_point, -128, 127)
        if name not in self._means:
            return rounded
        constants = self._means[name]
        total = torch.round(value.detach().double() * (constants.count / self._tensors[self._sources[name]].scale))
        rounded_twice = torch.from_numpy(scaled(total.long().cpu().numpy(), constants.scaling)).double()
        codes = (rounded_twice + q.zero_point).clamp(-128, 127)
        exact = ((codes - q.zero_point) * q.scale).float().to(value.device)
        return rounded + (exact - rounded).detach()


class QatLearner(DistilledLearner):
    """`network`, changed in place, trained on the grid that `tensors` and its own weights span."""

    def __init__(
        self,
        network: PlainNetwork,
        teacher: PlainNetwork,
        tensors: Mapping[str, Quantization],
        recipe: Recipe,
        ranks: Ranks = ALONE,
    ) -> None:
        super().__init__(network, teacher, recipe, ranks)
        self._tensors, self._simulated = tensors, FakeQuantization(network.graph, tensors)

    def _logits(self, batch: Batch) -> Tensor:
        self.module.eval()  # statistics stay as they were calibrated
        self.macs += TRAINED * len(batch.labels) * self._graph.macs
        return self._simulated(self.module, self._inputs(batch, self._resolution))

    def validate(self, train: ImageSet, held_out: ImageSet) -> dict[str, float]:
        """Accuracy of the exported network, exact."""
        codes = held_out.bytes_at(self._resolution).permute(0, 2, 3, 1).numpy().astype(np.int16) - 128
        graph = quantize_with(self.module, self._tensors)
        return {"int8": int8_accuracy(graph, codes.astype(np.int8), held_out.labels.numpy())}

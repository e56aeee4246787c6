"""Batch-norm recalibration and float accuracy of a plain network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from ofa_mcu.space.shapes import Operator
from ofa_mcu.supernet.execution import BN_EPSILON, BN_MOMENTUM, ConvParameters, DenseParameters, execute
from ofa_mcu.supernet.network import PlainNetwork
from ofa_mcu.tasks.resample import Size, resolution_of
from ofa_mcu.tasks.task import CALIBRATION_IMAGES, TrainingPart
from ofa_mcu.training.data import ImageSet

__all__ = ["accuracy", "calibration_inputs", "one_thread_each", "recalibrate"]


def calibration_inputs(part: TrainingPart, size: Size) -> Tensor:
    """Network inputs (N, C, H, W) of that height and width: the training examples that set statistics and ranges."""
    return ImageSet(part.first(CALIBRATION_IMAGES), (size,)).floats_at(resolution_of(size))


@torch.no_grad()
def recalibrate(network: PlainNetwork, inputs: Tensor, observe: Callable[[str, Tensor], None] | None = None) -> None:
    """Set every batch norm's statistics to those of `inputs` (N, C, H, W), layer by layer, in one pass.

    The variance is the unbiased one, as training's running estimate is. `observe` is told every tensor of the pass, as
    by `execute`; where there are n values a channel, they are a share of 1 / (2n) off what the network will compute.
    """

    def provide(op: Operator) -> ConvParameters | DenseParameters:
        layer = network.parameters_of(op)
        if isinstance(layer, ConvParameters):
            assert layer.mean is not None and layer.variance is not None
            layer.mean.zero_()
            layer.variance.zero_()
        return layer

    inputs = inputs.to(next(network.parameters()).device)
    # from zeroed statistics one training pass leaves momentum * batch statistics
    execute(network.graph, inputs, provide, training=True, observe=observe)
    for key in network.weights.gamma:
        network.get_buffer(f"mean_{key}").div_(BN_MOMENTUM)
        network.get_buffer(f"variance_{key}").div_(BN_MOMENTUM).clamp_(min=BN_EPSILON * 1e-3)


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Torch on one thread while several Python threads run it; yields how many there are to be.

    Splitting the images needs no barrier after every small operator, as splitting the operators would; and sums are
    taken in the same order whatever the number of cores, so results are the same on every machine of a kind.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield before
    finally:
        torch.set_num_threads(before)


def accuracy(network: PlainNetwork, images: ImageSet, batch: int = 250, most: int | None = None) -> float:
    """Share of right answers (0..1) in evaluation mode, on the first `most` examples or on all."""
    network.eval()
    count = min(most or len(images), len(images))
    device = next(network.parameters()).device
    _, height, width, _ = network.graph.shapes[network.graph.inputs[0]]
    resolution = resolution_of((height, width))

    @torch.no_grad()
    def right(begin: int) -> int:
        part = slice(begin, min(begin + batch, count))
        logits = network(images.floats_at(resolution, part).to(device))
        return int((logits.argmax(1).cpu() == images.labels[part]).sum())

    with one_thread_each() as workers, ThreadPoolExecutor(workers) as pool:
        return sum(pool.map(right, range(0, count, batch))) / count

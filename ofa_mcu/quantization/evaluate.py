"""What a subnet really achieves: cut out, recalibrated, quantized, run over real images.

Nothing here depends on the number of cores: the same supernet and subnet give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ofa_mcu.allocator import keep_freed_memory
from ofa_mcu.graph.ir import Int8Graph
from ofa_mcu.quantization.fast import answers_in, int8_accuracy
from ofa_mcu.quantization.ptq import recalibrate_and_quantize
from ofa_mcu.space.subnet import Subnet
from ofa_mcu.supernet.network import PlainNetwork, Supernet, extract
from ofa_mcu.tasks.resample import resample, resolution_of, to_codes
from ofa_mcu.tasks.task import CALIBRATION_IMAGES, Dataset, Split
from ofa_mcu.training.calibrate import accuracy, one_thread_each, recalibrate
from ofa_mcu.training.data import ImageSet

__all__ = ["Evaluator", "Specialised"]


@dataclass(frozen=True, eq=False)
class Specialised:
    """A subnet ready for use: float network with its own statistics, and its int8 graph."""

    subnet: Subnet
    network: PlainNetwork
    graph: Int8Graph


class Evaluator:
    """Specialises and scores subnets of one supernet on one data set; resampled inputs are kept."""

    def __init__(self, supernet: Supernet, data: Dataset) -> None:
        keep_freed_memory()
        self.supernet, self.data = supernet, data
        self._calibration = ImageSet(data.train.first(CALIBRATION_IMAGES), supernet.space.sizes)
        self._images: dict[tuple[str, int], ImageSet] = {}
        self._codes: dict[tuple[str, int], NDArray[np.int8]] = {}
        self._special: dict[Subnet, Specialised] = {}
        self._scores: dict[tuple[Subnet, str], float] = {}

    def _part(self, part: str) -> Split:
        if part in self.data.apart:
            return self.data.apart[part]
        split: Split = getattr(self.data, part)
        return split

    def calibration(self, resolution: int) -> Tensor:
        """Training inputs (N, C, H, W) that set statistics and ranges."""
        return self._calibration.floats_at(resolution)

    def float_network(self, subnet: Subnet) -> PlainNetwork:
        """The subnet's own network, batch norm recalibrated on training images."""
        network: PlainNetwork = extract(self.supernet, subnet)
        with one_thread_each():
            recalibrate(network, self.calibration(subnet.resolution))
        return network

    def specialise(self, subnet: Subnet) -> Specialised:
        """The subnet's float network and its int8 graph."""
        network: PlainNetwork = extract(self.supernet, subnet)
        with one_thread_each():
            graph = recalibrate_and_quantize(network, self.calibration(subnet.resolution), self.supernet)
        return Specialised(subnet, network, graph)

    def codes(self, part: str, resolution: int) -> NDArray[np.int8]:
        """Input codes (N, H, W, C) of a part of the data: "validation", "test", or the name of one that is apart."""
        key = (part, resolution)
        if key not in self._codes:
            self._codes[key] = to_codes(resample(self._part(part).inputs, self.supernet.space.input_size(resolution)))
        return self._codes[key]

    def float_accuracy(self, network: PlainNetwork, part: str) -> float:
        """Float accuracy (0..1) on a part of the data."""
        _, height, width, _ = network.graph.shapes[network.graph.inputs[0]]
        key = (part, resolution_of((height, width)))
        if key not in self._images:
            self._images[key] = ImageSet(self._part(part), ((height, width),))
        return accuracy(network, self._images[key])

    def int8_accuracy(self, graph: Int8Graph, part: str) -> float:
        """Int8 accuracy (0..1) on a part of the data, exact."""
        _, height, width, _ = graph.structure.shapes[graph.structure.inputs[0]]
        return int8_accuracy(graph, self.codes(part, resolution_of((height, width))), self._part(part).labels)

    def specialise_and_score(
        self, subnets: Sequence[Subnet], part: str, ready: Callable[[Specialised], None] = lambda net: None
    ) -> list[tuple[Specialised, float]]:
        """Each subnet specialised, with its int8 accuracy on a part of the data; what was asked before is remembered.

        Subnets are specialised side by side; whenever one is ready, its images join what the cores have to do, and
        `ready` is told of it in this thread meanwhile.
        """
        fresh = [subnet for subnet in dict.fromkeys(subnets) if (subnet, part) not in self._scores]
        labels = self._part(part).labels
        with one_thread_each() as workers, ThreadPoolExecutor(workers) as pool:
            coming = {pool.submit(self._specialised, subnet): subnet for subnet in fresh}
            answers = {}
            for done in as_completed(coming):
                subnet = coming[done]
                self._special[subnet] = done.result()
                codes = self.codes(part, subnet.resolution)
                answers[subnet] = answers_in(pool, self._special[subnet].graph, codes, labels)
                ready(self._special[subnet])
            for subnet, parts in answers.items():
                self._scores[subnet, part] = sum(int(found.result().sum()) for found in parts) / len(labels)
        for subnet in dict.fromkeys(subnets):
            if subnet not in fresh:
                ready(self._special[subnet])
        return [(self._special[subnet], self._scores[subnet, part]) for subnet in subnets]

    def _specialised(self, subnet: Subnet) -> Specialised:
        return self._special[subnet] if subnet in self._special else self.specialise(subnet)

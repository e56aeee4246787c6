"""A search space: every choice there is for a task, its exact size, sampling and membership."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np

from ofa_mcu.errors import UsageError
from ofa_mcu.space.subnet import BlockChoice, Subnet

__all__ = ["SearchSpace", "StageSpace", "scaled_channels"]

CHANNEL_MULTIPLE = 4  # what the word-wise kernels like


def scaled_channels(channels: int, width: float) -> int:
    """Channels at a width multiplier, rounded to the channel multiple (never below it)."""
    return max(CHANNEL_MULTIPLE, round(channels * width / CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE)


@dataclass(frozen=True)
class StageSpace:
    """A run of inverted-residual blocks; `channels` at width 1, `stride` of the first block."""

    channels: int
    stride: int
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    expands: tuple[int, ...]

    @property
    def choices_per_block(self) -> int:
        """Number of (kernel, expand) pairs."""
        return len(self.kernels) * len(self.expands)


@dataclass(frozen=True)
class SearchSpace:
    """Stem convolution, stages of inverted residuals, 1x1 head, global mean, classifier.

    Sizes are in channels at width 1; resolutions in pixels (square inputs).
    """

    name: str
    resolutions: tuple[int, ...]
    widths: tuple[float, ...]
    input_channels: int
    stem_channels: int
    stem_kernel: int
    stem_stride: int
    stages: tuple[StageSpace, ...]
    head_channels: int
    classes: int

    @cached_property
    def size(self) -> int:
        """Exact number of subnets."""
        per_stage: list[int] = [sum(s.choices_per_block**d for d in s.depths) for s in self.stages]
        return len(self.resolutions) * len(self.widths) * prod(per_stage)

    @cached_property
    def largest(self) -> Subnet:
        """The subnet with the largest value of every choice."""
        return self._corner(max)

    @cached_property
    def smallest(self) -> Subnet:
        """The subnet with the smallest value of every choice."""
        return self._corner(min)

    def _corner(self, pick: Any) -> Subnet:
        stages = tuple((BlockChoice(pick(s.kernels), pick(s.expands)),) * pick(s.depths) for s in self.stages)
        return Subnet(pick(self.resolutions), pick(self.widths), stages)

    def validate(self, subnet: Subnet) -> None:
        """Raise UsageError, naming the choice that is not in this space."""
        where = f"subnet {subnet} is not in space {self.name}:"
        if subnet.resolution not in self.resolutions:
            raise UsageError(f"{where} resolution {subnet.resolution} is none of {self.resolutions}")
        if subnet.width not in self.widths:
            raise UsageError(f"{where} width {subnet.width:g} is none of {self.widths}")
        if len(subnet.stages) != len(self.stages):
            raise UsageError(f"{where} it has {len(subnet.stages)} stages where the space has {len(self.stages)}")
        for index, (blocks, stage) in enumerate(zip(subnet.stages, self.stages, strict=True)):
            if len(blocks) not in stage.depths:
                raise UsageError(f"{where} depth {len(blocks)} of stage {index} is none of {stage.depths}")
            for block in blocks:
                if block.kernel not in stage.kernels or block.expand not in stage.expands:
                    raise UsageError(f"{where} block {block} of stage {index} is no choice there")

    def sample(self, rng: np.random.Generator) -> Subnet:
        """A subnet whose every choice is drawn uniformly and independently."""
        return self.sample_balanced(rng, 1)[0]

    def sample_balanced(self, rng: np.random.Generator, count: int) -> list[Subnet]:
        """`count` subnets in which each value of each choice appears equally often (within one).

        Fair sampling gives every weight the same number of updates (FairNAS, Chu et al. 2021).
        """

        def draw(options: tuple[Any, ...]) -> list[Any]:
            repeats = -(-count // len(options))
            pool = [option for _ in range(repeats) for option in rng.permutation(np.arange(len(options)))]
            return [options[i] for i in pool[:count]]

        resolutions, widths = draw(self.resolutions), draw(self.widths)
        stages = []
        for stage in self.stages:
            depths = draw(stage.depths)
            slots = [(draw(stage.kernels), draw(stage.expands)) for _ in range(max(stage.depths))]
            stages.append([tuple(BlockChoice(k[i], e[i]) for k, e in slots[: depths[i]]) for i in range(count)])
        return [Subnet(resolutions[i], widths[i], tuple(stage[i] for stage in stages)) for i in range(count)]

    def __iter__(self) -> Iterator[Subnet]:
        """Every subnet once, in a fixed order."""
        per_stage = []
        for stage in self.stages:
            blocks = [BlockChoice(k, e) for k, e in product(stage.kernels, stage.expands)]
            per_stage.append([choice for depth in stage.depths for choice in product(blocks, repeat=depth)])
        for resolution, width in product(self.resolutions, self.widths):
            for stages in product(*per_stage):
                yield Subnet(resolution, width, stages)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready object; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SearchSpace:
        """The space written by `to_json`."""
        fields = dict(value)
        fields["resolutions"] = tuple(value["resolutions"])
        fields["widths"] = tuple(value["widths"])
        fields["stages"] = tuple(
            StageSpace(s["channels"], s["stride"], tuple(s["depths"]), tuple(s["kernels"]), tuple(s["expands"]))
            for s in value["stages"]
        )
        return cls(**fields)

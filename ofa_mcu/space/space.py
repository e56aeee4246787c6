"""A search space: every choice there is for a task, its exact size, sampling and membership."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import Enum
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np

from ofa_mcu.errors import UsageError
from ofa_mcu.space.subnet import BlockChoice, Subnet

__all__ = ["BlockKind", "SearchSpace", "StageSpace", "scaled_channels"]


class BlockKind(Enum):
    """What a block is made of."""

    INVERTED = "inverted"
    SEPARABLE = "separable"


CHANNEL_MULTIPLE = 4  # what the word-wise kernels like


def scaled_channels(channels: int, width: float) -> int:
    """Channels at a width multiplier, rounded to the channel multiple (never below it)."""
    return max(CHANNEL_MULTIPLE, round(channels * width / CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE)


@dataclass(frozen=True)
class StageSpace:
    """A run of blocks; `channels` at width 1, `stride` of the first block.

    An inverted residual widens by its expand ratio, convolves each channel, and projects to the stage's channels
    (Sandler et al. 2018). A separable block convolves each channel and mixes them, both with ReLU6, without a sum
    (DS-CNN, Zhang et al. 2017); its expand ratio is 1.
    """

    channels: int
    stride: int
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    expands: tuple[int, ...] = (1,)
    kind: BlockKind = BlockKind.INVERTED

    def __post_init__(self) -> None:
        if self.kind is BlockKind.SEPARABLE and self.expands != (1,):
            raise ValueError("a separable stage has the one expand ratio 1")

    @property
    def choices_per_block(self) -> int:
        """Number of (kernel, expand) pairs."""
        return len(self.kernels) * len(self.expands)


@dataclass(frozen=True)
class SearchSpace:
    """Stem convolution, stages of blocks, 1x1 head (none with 0 channels), global mean, classifier.

    Sizes are in channels at width 1. A resolution is the height of the input: pixels, or steps in time. The width is
    the same (a square) unless `input_width` fixes it, as the cepstra of a frame do. A `sequence` is one row, its
    resolution the number of steps, and every window one row high, as TensorFlow lays out its Conv1D.
    The stem's kernel and stride are (height, width); one number is a square, or (1, number) for a sequence.
    """

    name: str
    resolutions: tuple[int, ...]
    widths: tuple[float, ...]
    input_channels: int
    stem_channels: int
    stem_kernel: int | tuple[int, int]
    stem_stride: int | tuple[int, int]
    stages: tuple[StageSpace, ...]
    head_channels: int
    classes: int
    input_width: int | None = None
    sequence: bool = False

    def __post_init__(self) -> None:
        if self.sequence and self.input_width is not None:
            raise ValueError("the width of a sequence is its resolution")

    def input_size(self, resolution: int) -> tuple[int, int]:
        """Height and width of the input at a resolution."""
        return 1 if self.sequence else resolution, self.input_width or resolution

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The input's size at every resolution."""
        return tuple(map(self.input_size, self.resolutions))

    def window(self, extent: int | tuple[int, int]) -> tuple[int, int]:
        """(height, width) of a kernel or stride given as the stem's."""
        if not isinstance(extent, int):
            return extent
        return 1 if self.sequence else extent, extent

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
        """A JSON-ready object, without what has its default; `from_json` is its inverse."""
        return {**_written(self), "stages": [_written(stage) for stage in self.stages]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SearchSpace:
        """The space written by `to_json`.

        Raises:
            TypeError, ValueError, KeyError: it was not.
        """
        plain = {name: _tuples(field) for name, field in value.items() if name != "stages"}
        stages = tuple(StageSpace(**_read_stage(stage)) for stage in value["stages"])
        return cls(**plain, stages=stages)


def _written(value: SearchSpace | StageSpace) -> dict[str, Any]:
    """Fields that differ from their default, tuples as they are."""
    found = {field.name: getattr(value, field.name) for field in fields(value)}
    shown = {field.name: found[field.name] for field in fields(value) if found[field.name] != field.default}
    return {name: item.value if isinstance(item, Enum) else item for name, item in shown.items()}


def _read_stage(value: dict[str, Any]) -> dict[str, Any]:
    known = {name: _tuples(field) for name, field in value.items()}
    return known | ({"kind": BlockKind(value["kind"])} if "kind" in value else {})


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

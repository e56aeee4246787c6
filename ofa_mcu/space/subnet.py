"""One network of a search space, as a value: hashable, with a canonical text form and JSON both ways."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ofa_mcu.errors import UsageError

__all__ = ["BlockChoice", "Subnet"]

_BLOCK = re.compile(r"k(\d+)e(\d+)")


@dataclass(frozen=True, order=True)
class BlockChoice:
    """Kernel size and expand ratio of one inverted-residual block."""

    kernel: int
    expand: int

    def __str__(self) -> str:
        return f"k{self.kernel}e{self.expand}"


@dataclass(frozen=True, order=True)
class Subnet:
    """Input resolution in pixels, width multiplier, and the blocks of every stage; depth is their number.

    The text form `r28-w0.75-k3e4.k5e2-k3e3` reads: resolution 28, width 0.75, a stage of two blocks, a stage of one.
    """

    resolution: int
    width: float
    stages: tuple[tuple[BlockChoice, ...], ...]

    def __str__(self) -> str:
        stages = "-".join(".".join(map(str, blocks)) for blocks in self.stages)
        width = repr(float(self.width)).removesuffix(".0")
        return f"r{self.resolution}-w{width}-{stages}"

    @classmethod
    def parse(cls, text: str) -> Subnet:
        """The subnet whose text form is `text`.

        Raises:
            UsageError: `text` is not of that form.
        """
        head = re.fullmatch(r"r(\d+)-w(\d+(?:\.\d+)?)-(k.+)", text.strip())
        if head is None:
            raise UsageError(f"'{text}' is no subnet; one is written like r28-w0.75-k3e4.k5e2-k3e3")
        stages = []
        for stage in head[3].split("-"):
            matches = [_BLOCK.fullmatch(block) for block in stage.split(".")]
            if any(match is None for match in matches):
                raise UsageError(f"stage '{stage}' of subnet '{text}' is off; blocks are written like k3e4.k5e2")
            stages.append(tuple(BlockChoice(int(m[1]), int(m[2])) for m in matches if m is not None))
        return cls(int(head[1]), float(head[2]), tuple(stages))

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready object; `from_json` is its inverse."""
        return {
            "resolution": self.resolution,
            "width": self.width,
            "stages": [[[block.kernel, block.expand] for block in blocks] for blocks in self.stages],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Subnet:
        """The subnet written by `to_json`."""
        stages = tuple(tuple(BlockChoice(k, e) for k, e in blocks) for blocks in value["stages"])
        return cls(int(value["resolution"]), float(value["width"]), stages)

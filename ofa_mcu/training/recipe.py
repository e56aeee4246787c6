"""What a training run is told, as a value that its folder keeps."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from ofa_mcu.errors import UsageError

__all__ = ["METHODS", "Recipe"]

METHODS = ("sandwich", "progressive", "plain")


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of one run; `docs/training.md` says where each value comes from.

    `method` is the sandwich rule, OFA's progressive shrinking, or one plain network. `warmup_share` bounds the max-net
    warm-up (share of all steps) and `warmup_least` is its least length; between them the early-bird test ends it;
    without `warmup` there is none. `students` random subnets a step join the largest and the smallest; without
    `distillation` they learn from the labels. `stop_tau`: the supernet is finished once the ranking of its subnets
    has settled at this Kendall tau (None: never).
    Learning rate: linear rise over `rise_share` of the steps, cosine down to `floor_share` of the peak.
    """

    epochs: int = 24
    batch: int = 128
    peak_rate: float = 0.1
    rise_share: float = 0.05
    floor_share: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 3e-5
    clip_norm: float = 5.0
    students: int = 3
    warmup_least: float = 0.08
    warmup_share: float = 0.20
    seed: int = 0
    method: str = "sandwich"
    warmup: bool = True
    distillation: bool = True
    stop_tau: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"there is no method '{self.method}' of training; known: {', '.join(METHODS)}")
        for name in ("peak_rate", "weight_decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise UsageError(f"a {name.replace('_', ' ')} of {value:g} trains nothing; give a number from 0 up")
        if self.method == "progressive" and not self.warmup:
            raise UsageError("progressive shrinking begins with the largest network: leave --no-warmup out")
        if self.stop_tau is not None and not 0 < self.stop_tau <= 1:
            raise UsageError(f"a Kendall tau of {self.stop_tau:g} to stop at is not within 0 and 1; 0.9 is usual")

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of `step` (from 0) of `steps`."""
        rise = max(1, round(self.rise_share * steps))
        if step < rise:
            return self.peak_rate * (step + 1) / rise
        position = (step - rise) / max(1, steps - rise)
        floor = self.floor_share * self.peak_rate
        return floor + (self.peak_rate - floor) * 0.5 * (1 + math.cos(math.pi * position))

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Recipe:
        """The recipe written by `to_json`."""
        return cls(**value)

"""Loss spikes: told from noise, and undone by going back to the last good state.

Steps go on counting: the batches that led to the spike are skipped rather than repeated (PaLM, Chowdhery et al.
2022, section 5.1), and the learning rate is halved for the rest of the run. All of it follows from the losses, so a
resumed run rolls back where the undisturbed one does.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from typing import TYPE_CHECKING, Any

import torch

from ofa_mcu.errors import OfaMcuError

if TYPE_CHECKING:
    from ofa_mcu.training.learner import Learner

__all__ = ["SpikeGuard"]

_RECENT = 4  # losses whose mean is compared, so that one odd batch is no spike
_SMOOTHING = 0.02
_LEAST = 20  # losses before the mean says anything
_FACTOR, _OFFSET = 2.0, 1.0  # a spike: mean of the recent losses above factor * mean + offset (nats)
_MOST = 5


class SpikeGuard:
    """Keeps two snapshots, the older of which was good for at least `interval` steps, and judges every loss."""

    def __init__(self, interval: int) -> None:
        self._interval = max(2 * _RECENT, interval)  # a spike is told before its beginning is thought good
        self._good: dict[str, Any] | None = None
        self._fresh: dict[str, Any] | None = None
        self.rate_factor = 1.0
        self.rollbacks: list[int] = []
        self.forget()

    def forget(self) -> None:
        """Start the statistics of the loss anew: it is no longer the same loss."""
        self._mean, self._count = 0.0, 0
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def before_step(self, step: int, learner: Learner, optimizer: torch.optim.Optimizer) -> None:
        """Take a snapshot when one is due."""
        if step % self._interval and self._fresh is not None:
            return
        snapshot = copy.deepcopy(
            {
                "module": dict(learner.module.state_dict()),
                "optimizer": optimizer.state_dict(),
                "learner": learner.state(),
                "mean": self._mean,
                "count": self._count,
            }
        )
        self._good, self._fresh = self._fresh or snapshot, snapshot

    def spike(self, loss: float, gradient_norm: float) -> bool:
        """Judge the step just computed, whose gradients are not yet applied."""
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            return True
        self._recent.append(loss)
        level = sum(self._recent) / len(self._recent)
        if self._count >= _LEAST and len(self._recent) == _RECENT and level > _FACTOR * self._mean + _OFFSET:
            return True
        self._count += 1
        self._mean += max(_SMOOTHING, 1 / self._count) * (loss - self._mean)
        return False

    def roll_back(self, step: int, learner: Learner, optimizer: torch.optim.Optimizer) -> str:
        """Put the good state back; what to tell the user.

        Raises:
            OfaMcuError: it happens for the sixth time.
        """
        if len(self.rollbacks) >= _MOST:
            raise OfaMcuError(
                f"the loss broke out at step {step} for the {_MOST + 1}th time although the learning rate was halved "
                f"{_MOST} times: train with a lower --rate, or look at the data"
            )
        assert self._good is not None
        good = copy.deepcopy(self._good)  # it may be needed again
        learner.module.load_state_dict(good["module"])
        optimizer.load_state_dict(good["optimizer"])
        learner.restore(good["learner"])
        self._mean, self._count, self._fresh = good["mean"], good["count"], self._good
        self._recent.clear()
        self.rollbacks.append(step)
        self.rate_factor /= 2
        return f"loss spike at step {step}: back to the last good state, learning rate times {self.rate_factor:g}"

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "good": self._good,
            "fresh": self._fresh,
            "mean": self._mean,
            "count": self._count,
            "recent": list(self._recent),
            "rate_factor": self.rate_factor,
            "rollbacks": self.rollbacks,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""
        self._good, self._fresh = state["good"], state["fresh"]
        self._mean, self._count = state["mean"], state["count"]
        self._recent = deque(state["recent"], maxlen=_RECENT)
        self.rate_factor, self.rollbacks = state["rate_factor"], list(state["rollbacks"])

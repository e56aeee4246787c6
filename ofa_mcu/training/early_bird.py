"""Early-bird test: has the ranking of channels settled? (You et al. 2020, applied to OFA's L1 channel order.)

At every tick, for each block's hidden channels and each expand ratio below the largest, the mask of the top-k
channels by importance is drawn; for the channels a separable block gives, one for each width below the largest.
The mean Hamming distance between two ticks' masks, divided by that of random masks of equal density 2p(1-p), is 0
for equal rankings and 1 for unrelated ones.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ofa_mcu.space.lowering import block_prefix
from ofa_mcu.space.space import BlockKind, scaled_channels
from ofa_mcu.supernet.network import Supernet
from ofa_mcu.supernet.sorting import importance

__all__ = ["THRESHOLD", "EarlyBird", "normalised_distance", "ranking_masks"]

_KEEP = 5
THRESHOLD = 0.2


def ranking_masks(supernet: Supernet) -> list[Tensor]:
    """One boolean mask (channels,) per block and elastic number of channels below the largest."""
    norms, space = importance(supernet), supernet.space
    masks = []
    for s, stage in enumerate(space.stages):
        for b in range(max(stage.depths)):
            if stage.kind is BlockKind.SEPARABLE:
                scores = norms[f"{block_prefix(s, b)}.pointwise"].cpu()
                counts = [scaled_channels(stage.channels, width) for width in sorted(space.widths)[:-1]]
            else:
                scores = norms[f"{block_prefix(s, b)}.expand"].cpu()
                counts = [round(len(scores) * e / max(stage.expands)) for e in sorted(stage.expands)[:-1]]
            for keep in dict.fromkeys(count for count in counts if count < len(scores)):
                mask = torch.zeros(len(scores), dtype=torch.bool)
                mask[torch.sort(scores, descending=True, stable=True).indices[:keep]] = True
                masks.append(mask)
    return masks


def normalised_distance(first: list[Tensor], second: list[Tensor]) -> float:
    """Mean normalised Hamming distance of two lists of masks."""
    total = 0.0
    for a, b in zip(first, second, strict=True):
        density = float(a.float().mean())
        total += float((a != b).float().mean()) / (2 * density * (1 - density))
    return total / len(first) if first else 0.0


@dataclass
class EarlyBird:
    """Keeps the newest masks and tells when they agree; `state` makes it resumable."""

    history: deque[list[Tensor]] = field(default_factory=lambda: deque(maxlen=_KEEP))
    distance: float = 1.0

    def settled(self, supernet: Supernet) -> bool:
        """Record the present ranking; true when the newest is within the threshold of the four before it."""
        masks = ranking_masks(supernet)
        if self.history:
            self.distance = max(normalised_distance(masks, older) for older in list(self.history)[-(_KEEP - 1) :])
        self.history.append(masks)
        return len(self.history) == _KEEP and self.distance <= THRESHOLD

    def forget(self) -> None:
        """Start anew: the channels have been put in another order."""
        self.history.clear()
        self.distance = 1.0

    def state(self) -> dict[str, object]:
        """What a checkpoint keeps."""
        return {"history": list(self.history), "distance": self.distance}

    def restore(self, state: dict[str, object]) -> None:
        """Undo `state`."""
        self.history = deque(state["history"], maxlen=_KEEP)  # type: ignore[call-overload]
        self.distance = float(state["distance"])  # type: ignore[arg-type]

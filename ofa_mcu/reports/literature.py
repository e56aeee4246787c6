"""What others published about the cost of architecture search, in GPU hours, and what must be said along with it.

Figures of the Once-for-All paper (Cai et al. 2020): a search and a training part; what is fixed is paid once, the rest
for every target.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["CAVEATS", "PRESETS", "Preset", "literature"]


@dataclass(frozen=True)
class Preset:
    """GPU hours of a method: `fixed` once, `per_target` for every target."""

    name: str
    fixed: float
    per_target: float

    def hours(self, targets: int) -> float:
        """GPU hours for so many targets."""
        return self.fixed + self.per_target * targets


ONCE_FOR_ALL = Preset("Once-for-All", 1240, 0)
PRESETS = (
    ONCE_FOR_ALL,
    Preset("Once-for-All, fine-tuned", 1240, 25),
    Preset("MobileNetV2", 0, 150),
    Preset("MobileNetV3", 0, 180),
    Preset("ProxylessNAS", 0, 500),
    Preset("FBNet", 0, 576),
    Preset("DARTS", 0, 346),
    Preset("MnasNet", 0, 40_000),
    Preset("NASNet-A", 0, 48_000),
)
KG_PER_GPU_HOUR = 0.2836 * 0.45359237
"""188.15 W of a V100, PUE 1.58, 0.954 lb per kWh (Strubell et al. 2019): 0.2836 lb."""

CAVEATS = (
    "GPU hours are those of networks for ImageNet on V100s, as the authors published them; not of networks for "
    "microcontrollers, and not measured here.",
    "The 1/1300 often quoted holds at 40 targets and against MnasNet only; against ProxylessNAS it is 16, against "
    "FBNet 19.",
    "1.5 to 2.6 times is the speed-up of inference in that paper, no saving of carbon.",
    "Carbon uses Strubell et al.'s 0.4327 kg/kWh and PUE 1.58. Their 626,000 lb are of a Transformer with architecture "
    "search, an estimate that later work found far too high.",
    "For one target a supernet loses to training one small network.",
)


def literature(counts: tuple[int, ...] = (1, 40, 1000)) -> list[dict[str, Any]]:
    """GPU hours and kg CO2e of every preset, and the least number of targets at which Once-for-All costs less."""
    rows = []
    for preset in PRESETS:
        own = preset.fixed > 0
        rows.append(
            {
                "method": preset.name,
                "gpu_hours": {str(n): preset.hours(n) for n in counts},
                "kg": {str(n): round(preset.hours(n) * KG_PER_GPU_HOUR, 1) for n in counts},
                "once_for_all_pays_from": None if own else int(ONCE_FOR_ALL.fixed // preset.per_target) + 1,
            }
        )
    return rows

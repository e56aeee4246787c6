"""Sound files and folders for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

__all__ = ["tone", "write_folder"]


def tone(
    hertz: float, seconds: float = 1.0, rate: int = 16_000, level: float = 0.3, seed: int = 0
) -> NDArray[np.float64]:
    """A tone with a little noise (S,), full scale 1."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    return np.asarray(level * np.sin(2 * np.pi * hertz * time + rng.uniform(0, 6)) + rng.normal(0, 0.003, len(time)))


def write_folder(
    root: Path, classes: dict[str, float], count: int, *, rate: int = 16_000, seconds: float = 1.0, kind: str = "wav"
) -> None:
    """`count` tones in each folder, named after its class, at the class's frequency; two clips from each speaker."""
    for number, (label, hertz) in enumerate(classes.items()):
        (root / label).mkdir(parents=True)
        for i in range(count):
            sound = tone(hertz * (1 + 0.02 * (i % 5)), seconds, rate, seed=1000 * number + i)
            speaker = f"{i // 2 * 2654435761 % 2**32:08x}"
            soundfile.write(root / label / f"{speaker}_nohash_{i % 2}.{kind}", sound, rate, subtype="PCM_16")

"""Labelled clips of one length, who spoke them, and which part of the data they belong to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.tasks.audio.sounds import Sound

__all__ = ["PARTS", "Recordings", "noise_parts", "official_part", "speaker_of"]

PARTS = ("train", "validation", "test")
_SPEAKER = re.compile(r"([0-9a-f]{8})_nohash_\d+\.\w+")
_OFFICIAL_RANGE = 2**27
_GAP = 16_000
_SHORTEST_SHARED = 12 * 16_000


@dataclass(frozen=True, eq=False)
class Recordings:
    """Clips int16 (N, S), the word in each, its part (an index into PARTS) (N,), and recordings of noise.

    Words become labels later: a word that is no label of its own counts as unknown.
    """

    clips: NDArray[np.int16]
    words: tuple[str, ...]
    parts: NDArray[np.int64]
    noises: tuple[Sound, ...]

    def __len__(self) -> int:
        return len(self.words)


def speaker_of(name: str) -> str | None:
    """The speaker in a file name as Speech Commands has it (`00b01445_nohash_0.wav`, a word may go before), or None."""
    match = _SPEAKER.search(name)
    return match[1] if match else None


def official_part(name: str) -> int:
    """The part by Speech Commands' rule: a hash of the speaker, 10 % validation and 10 % test.

    Where the file name has no speaker, all of it before `_nohash_` is hashed.
    """
    kept = speaker_of(name) or re.sub(r"_nohash_.*$", "", name.rsplit("/", 1)[-1])
    share = int(hashlib.sha1(kept.encode()).hexdigest(), 16) % _OFFICIAL_RANGE * 100.0 / (_OFFICIAL_RANGE - 1)
    return 1 if share < 10 else 2 if share < 20 else 0


def noise_parts(noises: Sequence[Sound]) -> tuple[list[Sound], list[Sound], list[Sound]]:
    """Stretches of recordings for training, validation and test, a second apart: 70, 15 and 15 % of each recording.

    Recordings below twelve seconds are for training alone.
    """
    found: tuple[list[Sound], list[Sound], list[Sound]] = ([], [], [])
    for noise in noises:
        if len(noise) < _SHORTEST_SHARED:
            found[0].append(noise)
            continue
        first, second = len(noise) * 70 // 100, len(noise) * 85 // 100
        found[0].append(noise[: first - _GAP])
        found[1].append(noise[first : second - _GAP // 2])
        found[2].append(noise[second + _GAP // 2 :])
    return found

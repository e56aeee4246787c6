"""Training clips that are heard anew in every epoch: waveforms are augmented, then pass the front-end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.tasks.audio.augmentation import AudioAugmentation, augmented, cuts, synthetic_noise
from ofa_mcu.tasks.audio.frontend import features
from ofa_mcu.tasks.audio.sounds import Sound
from ofa_mcu.tasks.task import Split

__all__ = ["AugmentedClips"]

_CHUNK = 256
_CLIPS_PER_EPOCH = 8_000
_SILENCE_LEVELS = (-50.0, 6.0)  # decibels


@dataclass(frozen=True)
class _Chunk:
    key: tuple[int, int]  # seed and variant
    inputs: NDArray[np.uint8]


class AugmentedClips:
    """Clips int16 (N, S) with labels (N,), then `silences` examples of the label `silence`, cut from noise.

    Clips are worked on in chunks. A chunk's examples are a function of the seed, the chunk and its variant; where there
    are many clips, only a share of the chunks gets its next variant in an epoch, so that features take seconds.
    """

    def __init__(
        self,
        clips: NDArray[np.int16],
        labels: NDArray[np.int64],
        *,
        noises: Sequence[Sound] = (),
        silences: int = 0,
        silence: int = 0,
        how: AudioAugmentation | None = None,
        class_weights: NDArray[np.float32] | None = None,
    ) -> None:
        self._clips, self._how = clips, how or AudioAugmentation()
        seconds = max(10.0, 2 * clips.shape[1] / 16_000)
        self._noises = [*(noise for noise in noises if len(noise) >= clips.shape[1]), *synthetic_noise(seconds)]
        self._silences = silences
        self.labels: NDArray[np.int64] = np.concatenate([labels, np.full(silences, silence, np.int64)])
        self.class_weights = class_weights
        self._starts = range(0, len(clips), _CHUNK)
        self.epochs_per_variant = max(1, -(-len(self.labels) // _CLIPS_PER_EPOCH))
        self._kept: dict[int, _Chunk] = {}

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def inputs(self) -> NDArray[np.uint8]:
        """Features of all examples, as they are."""
        if not self._silences:
            return features(self._clips)
        still = cuts(self._noises, self._silences, self._clips.shape[1], np.random.default_rng(0))
        return np.concatenate([features(self._clips), features(still)])

    def first(self, count: int) -> Split:
        """The first examples as they are; features are made of no more."""
        inputs = features(self._clips[:count]) if count <= len(self._clips) else self.inputs[:count]
        return Split(inputs, self.labels[:count])

    def epoch(self, seed: int, epoch: int) -> Split:
        """The examples of an epoch, by seed and epoch alone."""
        parts = [self._chunk(seed, number, epoch) for number in range(len(self._starts) + bool(self._silences))]
        return Split(np.concatenate(parts), self.labels, self.class_weights)

    def _chunk(self, seed: int, number: int, epoch: int) -> NDArray[np.uint8]:
        variant = (epoch + number) // self.epochs_per_variant
        kept = self._kept.get(number)
        if kept is None or kept.key != (seed, variant):
            rng = np.random.default_rng((seed, 2, number, variant))
            kept = _Chunk((seed, variant), features(self._changed(number, rng)))
            if self.epochs_per_variant > 1:
                self._kept[number] = kept
        return kept.inputs

    def _changed(self, number: int, rng: np.random.Generator) -> NDArray[np.int16]:
        if number < len(self._starts):
            clips = self._clips[self._starts[number] : self._starts[number] + _CHUNK]
            return augmented(clips, self._noises, rng, self._how)
        noise = cuts(self._noises, self._silences, self._clips.shape[1], rng).astype(np.float32)
        noise *= (10 ** (rng.uniform(*_SILENCE_LEVELS, self._silences) / 20)).astype(np.float32)[:, None]
        return np.clip(np.rint(noise), -32768, 32767).astype(np.int16)

"""Augmentation does what it says, measured on its results."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from ofa_mcu.tasks.audio.augmentation import AudioAugmentation, augmented, cuts, synthetic_noise
from ofa_mcu.tasks.audio.frontend import features
from ofa_mcu.tasks.audio.training_part import AugmentedClips
from tests.tasks.audio.files import tone

STILL = AudioAugmentation(shift=0.0, speed=0.0, noisy=0.0, gain=(0.0, 0.0))


def clips(count: int = 12, length: int = 16_000) -> NDArray[np.int16]:
    return np.random.default_rng(5).integers(-8000, 8000, (count, length)).astype(np.int16)


def change(
    how: AudioAugmentation, sounds: NDArray[np.int16], noises: list[NDArray[np.int16]] | None = None
) -> NDArray[np.int16]:
    return augmented(sounds, noises or [], np.random.default_rng(1), how)


def test_without_changes_clips_stay_as_they_are() -> None:
    assert np.array_equal(change(STILL, clips()), clips())


def test_shifts_move_by_at_most_their_reach_and_bring_silence() -> None:
    found = change(AudioAugmentation(shift=0.1, speed=0.0, noisy=0.0, gain=(0.0, 0.0)), clips(60))
    moves = []
    for before, after in zip(clips(60), found, strict=True):
        moves += [
            s
            for s in range(-1600, 1601)
            if np.array_equal(after[max(-s, 0) : 16_000 - max(s, 0)], before[max(s, 0) : 16_000 + min(s, 0)])
        ]
        s = moves[-1]
        assert not (after[16_000 - s :] if s > 0 else after[: -s or 0]).any()
    assert len(moves) == 60 and max(moves) > 800 and min(moves) < -800


def test_the_ratio_of_signal_to_noise_is_as_drawn() -> None:
    how = AudioAugmentation(shift=0.0, speed=0.0, noisy=1.0, snr=(10.0, 10.0), gain=(0.0, 0.0))
    sound = clips()
    added = change(how, sound, [clips(1, 40_000)[0]]).astype(float) - sound
    ratio = 20 * np.log10(np.sqrt((sound.astype(float) ** 2).mean(axis=1)) / np.sqrt((added**2).mean(axis=1)))
    assert np.abs(ratio - 10).max() < 0.05


def test_gain_lies_in_its_range_and_clips() -> None:
    sound = clips()
    found = change(AudioAugmentation(shift=0.0, speed=0.0, noisy=0.0, gain=(-12.0, -6.0)), sound)
    gains = 20 * np.log10(found.astype(float).std(axis=1) / sound.astype(float).std(axis=1))
    assert -12.1 < gains.min() < gains.max() < -5.9
    loud = change(AudioAugmentation(shift=0.0, speed=0.0, noisy=0.0, gain=(20.0, 20.0)), sound)
    assert loud.max() == 32767 and loud.min() == -32768


def test_speed_moves_the_pitch_of_about_half_of_the_clips() -> None:
    sound = np.stack([np.rint(tone(1000, seed=i) * 32767) for i in range(80)]).astype(np.int16)
    found = change(AudioAugmentation(shift=0.0, speed=0.1, noisy=0.0, gain=(0.0, 0.0)), sound)
    window = np.hanning(8000)
    peaks = np.abs(np.fft.rfft(found[:, 4000:12_000] * window, axis=1)).argmax(axis=1) * 2.0
    moved = np.abs(peaks - 1000) > 3
    assert 0.3 < moved.mean() < 0.6
    assert peaks.min() > 895 and peaks.max() < 1105 and peaks.min() < 950 and peaks.max() > 1050


def test_silence_stays_finite() -> None:
    found = change(AudioAugmentation(), np.zeros((4, 16_000), np.int16), synthetic_noise())
    assert not found.any()


def test_cuts_come_from_every_recording() -> None:
    noises = [np.full(20_000, 1, np.int16), np.full(16_000, 2, np.int16), np.full(40_000, 3, np.int16)]
    found = cuts(noises, 500, 16_000, np.random.default_rng(0))
    assert set(found.ravel().tolist()) >= {1, 3} and (found == found[:, :1]).all()
    assert 0.7 < (found[:, 0] == 3).mean() < 0.95, "in proportion to where a cut can begin"


def part(**options: object) -> AugmentedClips:
    labels = np.arange(600) % 3
    return AugmentedClips(clips(600, 1120), labels, noises=synthetic_noise(2.0), **options)  # type: ignore[arg-type]


def test_an_epoch_follows_from_seed_and_number_alone() -> None:
    first, again = part(silences=20, silence=3), part(silences=20, silence=3)
    first.epoch(0, 0), first.epoch(7, 1)
    assert np.array_equal(first.epoch(7, 2).inputs, again.epoch(7, 2).inputs)
    assert not np.array_equal(first.epoch(7, 2).inputs, first.epoch(7, 3).inputs)
    assert not np.array_equal(first.epoch(7, 2).inputs, first.epoch(8, 2).inputs)
    assert first.labels.tolist() == [*(np.arange(600) % 3), *[3] * 20] and len(first) == 620
    assert first.inputs.shape == first.epoch(7, 2).inputs.shape == (620, 3, 10, 1)


def test_clean_inputs_are_the_clips() -> None:
    assert np.array_equal(part().inputs, features(clips(600, 1120)))


def test_many_clips_change_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ofa_mcu.tasks.audio.training_part._CLIPS_PER_EPOCH", 210)
    lazy, resumed = part(silences=20, silence=3), part(silences=20, silence=3)
    assert lazy.epochs_per_variant == 3
    epochs = [lazy.epoch(1, i).inputs for i in range(6)]
    assert np.array_equal(resumed.epoch(1, 5).inputs, epochs[5])
    bounds = [(0, 256), (256, 512), (512, 600), (600, 620)]
    for before, after in pairwise(epochs):
        changed = [not np.array_equal(before[a:b], after[a:b]) for a, b in bounds]
        assert 1 <= sum(changed) <= 2
    for a, b in bounds:
        assert not np.array_equal(epochs[0][a:b], epochs[3][a:b]), "every chunk is new after three epochs"

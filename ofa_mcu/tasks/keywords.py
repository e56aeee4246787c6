"""Spoken keywords: one-second clips of 16 kHz sound as 49 columns of 10 mel cepstra (Speech Commands, Warden 2018)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.tasks.audio.frontend import features
from ofa_mcu.tasks.audio.recordings import PARTS, Recordings, noise_parts
from ofa_mcu.tasks.audio.speech_commands import (
    has_noise,
    is_packed,
    read_folders,
    read_packed,
    word_folders,
)
from ofa_mcu.tasks.audio.tables import COEFFICIENTS, COLUMNS
from ofa_mcu.tasks.audio.training_part import AugmentedClips
from ofa_mcu.tasks.files import folder_of
from ofa_mcu.tasks.options import TaskKind
from ofa_mcu.tasks.task import Dataset, Split, Task

__all__ = ["KEYWORDS", "SILENCE", "UNKNOWN", "KeywordOptions"]

UNKNOWN, SILENCE = "unknown", "silence"
_PACKED_WORDS = ("down", "eight", "five", "go", "left", "one", "right", "up", "zero")
_USUAL = "kws_gsc1_en"
_COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
_GET = (
    "download Speech Commands (2.4 GB; https://storage.googleapis.com/download.tensorflow.org/data/"
    "speech_commands_v0.02.tar.gz), unpack it, and name its folder with --data-dir"
)


@dataclass(frozen=True)
class KeywordOptions:
    """`words`: which words get a label of their own, like yes+no+stop; without it the ten commands of MLPerf Tiny, or
    every word where these are not all there. `unknown`, `silence`: whether other words and noise are classes.
    """

    words: str | None = None
    unknown: bool = True
    silence: bool = True


def _make(name: str, options: KeywordOptions, data_dir: Path | None) -> Task:
    try:
        data_dir = folder_of("keywords", data_dir, _USUAL)
    except UsageError:
        if data_dir is not None:
            raise
    if data_dir is None:
        words = _chosen(options, _PACKED_WORDS, None)
        noisy, others = True, True
    else:
        found = (*_PACKED_WORDS, UNKNOWN) if is_packed(data_dir) else tuple(word_folders(data_dir))
        words = _chosen(options, found, data_dir)
        noisy, others = has_noise(data_dir), len(set(found) - set(words)) > 0
    labels = (
        *words,
        *([UNKNOWN] if options.unknown and others else []),
        *([SILENCE] if options.silence and noisy else []),
    )
    if len(labels) < 2:
        raise UsageError(f"task '{name}' has one class only, {labels[0]}; name more words or keep unknown=yes")
    return Task(
        name=name,
        labels=labels,
        shape=(COLUMNS, COEFFICIENTS, 1),
        load=lambda folder: _load(words, labels, folder),
        licence="CC BY 4.0 (Speech Commands, Pete Warden and Google)",
    )


def _chosen(options: KeywordOptions, found: tuple[str, ...], folder: Path | None) -> tuple[str, ...]:
    """The words that get a label, in the order given, or that of MLPerf Tiny, or of the alphabet."""
    if options.words is not None:
        words = tuple(word for word in options.words.split("+") if word)
        if UNKNOWN in words or SILENCE in words:
            raise UsageError(f"words={options.words}: {UNKNOWN} and {SILENCE} are classes of their own; leave them out")
        missing = [word for word in words if word not in found]
        if missing or not words or len(set(words)) < len(words):
            listed = ", ".join(found) or "none"
            raise UsageError(
                f"words={options.words}: {folder or 'the data'} has the words {listed}; name some, each once"
            )
        return words
    plain = tuple(sorted(word for word in found if word not in (UNKNOWN, SILENCE)))
    words = _COMMANDS if set(_COMMANDS) <= set(found) else plain
    if not words:
        raise OfaMcuError(f"{folder} has no folder of .wav or .flac files named after a word; {_GET}")
    return words


def _load(words: tuple[str, ...], labels: tuple[str, ...], folder: Path | None) -> Dataset:
    try:
        folder = folder_of("keywords", folder, _USUAL)
    except UsageError as error:
        raise UsageError(f"{error}; {_GET}") from error
    share = 1.0 if UNKNOWN in labels else 0.0
    recordings = read_packed(folder) if is_packed(folder) else read_folders(folder, words, share)
    return dataset_of(recordings, labels, folder)


def dataset_of(recordings: Recordings, labels: tuple[str, ...], folder: Path) -> Dataset:
    """Train, validation and test of recordings; words without a label are `unknown`, or left out.

    Validation and test hold words only, so that easy silence raises no accuracy; silence is tested apart.
    """
    number = {label: index for index, label in enumerate(labels)}
    other = number.get(UNKNOWN, -1)
    targets = np.array([number.get(word, other) for word in recordings.words], np.int64)
    of = [np.flatnonzero((targets >= 0) & (recordings.parts == part)) for part in range(3)]
    for part, indices in zip(PARTS, of, strict=True):
        if not len(indices):
            raise OfaMcuError(f"{folder} has no {part} clips; each word needs files of about ten speakers or more")
    noises = noise_parts(recordings.noises)
    silence = number.get(SILENCE)
    words = len(labels) - (silence is not None)
    order = np.random.default_rng(0).permutation(of[0])
    train = AugmentedClips(
        recordings.clips[order],
        targets[order],
        noises=noises[0],
        silences=round(len(order) / words) if silence is not None else 0,
        silence=silence or 0,
    )
    validation, test = (Split(features(recordings.clips[indices]), targets[indices]) for indices in of[1:])
    data = Dataset(train, validation, test)
    if silence is None:
        return data
    held = {f"{SILENCE} ({part})": _silence(noises[index], silence) for index, part in ((1, "validation"), (2, "test"))}
    return replace(data, apart={name: split for name, split in held.items() if len(split)})


def _silence(noises: list[np.ndarray[tuple[int], np.dtype[np.int16]]], label: int) -> Split:
    """Every second of the noises, one second each, half a second apart."""
    clips = [noise[start : start + 16_000] for noise in noises for start in range(0, len(noise) - 15_999, 8_000)]
    stacked = np.stack(clips) if clips else np.empty((0, 16_000), np.int16)
    return Split(features(stacked), np.full(len(clips), label, np.int64))


KEYWORDS = TaskKind("keywords", KeywordOptions, _make)

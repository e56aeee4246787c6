"""Any folder of class folders of sound files (WAV, FLAC; any rate, any length), heard as mel cepstra."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.tasks.audio.frontend import features
from ofa_mcu.tasks.audio.recordings import PARTS
from ofa_mcu.tasks.audio.sounds import SUFFIXES, WHAT, Sound, UnusableSound, fitted, read_sound
from ofa_mcu.tasks.audio.speech_commands import read_noises
from ofa_mcu.tasks.audio.splitting import split_files
from ofa_mcu.tasks.audio.tables import COEFFICIENTS, HOP, SAMPLE_RATE, WINDOW
from ofa_mcu.tasks.audio.training_part import AugmentedClips
from ofa_mcu.tasks.files import folder_of
from ofa_mcu.tasks.folders import (
    SMALLEST_CLASS,
    ClassFiles,
    Skipped,
    class_weights,
    named_below,
    printable,
    scan,
    tell_once,
)
from ofa_mcu.tasks.options import TaskKind
from ofa_mcu.tasks.task import Dataset, Split, Task

__all__ = ["AUDIO_FOLDER", "AudioFolderOptions"]

_LENGTHS = (0.1, 10.0)
_SHUFFLE_SEED = 11


@dataclass(frozen=True)
class AudioFolderOptions:
    """How sounds become inputs.

    `length`: seconds of a clip; shorter sounds get silence on both sides, longer ones keep their loudest stretch.
    `balance`: whether rare classes weigh more in the loss.
    """

    length: float = 1.0
    balance: bool = True


def _make(name: str, options: AudioFolderOptions, data_dir: Path | None) -> Task:
    root = folder_of(name, data_dir)
    if not _LENGTHS[0] <= options.length <= _LENGTHS[1]:
        low, high = _LENGTHS
        raise UsageError(f"option length of task '{name}' is {options.length:g}; give {low:g} to {high:g} seconds")
    samples = round(options.length * SAMPLE_RATE)
    labels = tuple(scan(root, SUFFIXES, WHAT).files)
    return Task(
        name=name,
        labels=labels,
        shape=((samples - WINDOW) // HOP + 1, COEFFICIENTS, 1),
        load=lambda folder: _load(folder or root, labels, samples, options.balance),
        licence="that of the sounds in the folder",
    )


def _load(root: Path, labels: tuple[str, ...], samples: int, balance: bool) -> Dataset:
    found = scan(root, SUFFIXES, WHAT)
    if tuple(found.files) != labels:
        raise OfaMcuError(
            f"{printable(root)} has the classes {', '.join(map(printable, found.files))}, and the task has "
            f"{', '.join(map(printable, labels))}; name the folder that the task was made for"
        )
    clips, usable = _read(root, found, samples)
    given = None if found.parts is None else {named_below(path, root): part for path, part in found.parts.items()}
    parts, by = split_files(usable, given)
    targets = np.array([labels.index(label) for label, files in usable.items() for _ in files], np.int64)
    where = np.array([parts[name] for files in usable.values() for name in files], np.int64)
    train, *held = (np.flatnonzero(where == part) for part in range(3))
    for index, label in enumerate(labels):
        if index not in targets[train]:
            raise OfaMcuError(f"class {printable(label)} in {printable(root)} has no sounds to train on; add some")
    train = np.random.default_rng(_SHUFFLE_SEED).permutation(train)
    counts = ", ".join(f"{len(indices)} {part}" for part, indices in zip(PARTS, (train, *held), strict=True))
    tell_once(f"{printable(root)}: {len(clips)} clips of {len(labels)} classes, split by {by}: {counts}")
    validation, test = (Split(features(clips[indices]), targets[indices]) for indices in held)
    heard = AugmentedClips(
        clips[train],
        targets[train],
        noises=[noise for noise in read_noises(root) if len(noise) >= samples],
        class_weights=class_weights(targets[train], len(labels)) if balance else None,
    )
    return Dataset(heard, validation, test)


def _read(root: Path, found: ClassFiles, samples: int) -> tuple[NDArray[np.int16], dict[str, list[str]]]:
    """Clips (N, S) of all readable files, class by class, and their names by class in the same order."""
    clips: list[Sound] = []
    usable: dict[str, list[str]] = {}
    skipped = Skipped(WHAT)
    for label, files in found.files.items():
        names = usable.setdefault(label, [])
        for path in files:
            try:
                clips.append(fitted(read_sound(path), samples, centred=True))
                names.append(named_below(path, root))
            except UnusableSound as error:
                skipped.add(named_below(path, root), str(error))
    skipped.tell(sum(map(len, found.files.values())), root)
    for label, names in usable.items():
        if len(names) < SMALLEST_CLASS:
            raise OfaMcuError(
                f"class {printable(label)} in {printable(root)} has {len(names)} readable {WHAT} and {SMALLEST_CLASS} "
                "are needed, one for each of training, validation and test; add some or take the folder away"
            )
    return np.stack(clips), usable


AUDIO_FOLDER = TaskKind("audio-folder", AudioFolderOptions, _make)

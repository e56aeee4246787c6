"""Any folder of class folders of sound files (WAV, FLAC; any rate, any length), heard as mel cepstra."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.tasks.audio.frontend import features
from ofa_mcu.tasks.audio.recordings import PARTS
from ofa_mcu.tasks.audio.sounds import SUFFIXES, SkippedFiles, Sound, UnusableSound, file_name, fitted, read_sound
from ofa_mcu.tasks.audio.speech_commands import read_noises
from ofa_mcu.tasks.audio.splitting import SMALLEST_CLASS, split_files
from ofa_mcu.tasks.audio.tables import COEFFICIENTS, HOP, SAMPLE_RATE, WINDOW
from ofa_mcu.tasks.audio.training_part import AugmentedClips
from ofa_mcu.tasks.options import TaskKind
from ofa_mcu.tasks.task import Dataset, Split, Task

__all__ = ["AUDIO_FOLDER", "AudioFolderOptions"]

_LENGTHS = (0.1, 10.0)
_NEED = (
    "put the sound files (.wav, .flac) of each class into a folder of its own, all in one folder, and name that with "
    "--data-dir"
)


@dataclass(frozen=True)
class AudioFolderOptions:
    """`length`: seconds of a clip; shorter sounds get silence on both sides, longer ones keep their loudest stretch."""

    length: float = 1.0


def _make(name: str, options: AudioFolderOptions, data_dir: Path | None) -> Task:
    if data_dir is None or not data_dir.is_dir():
        raise UsageError(f"task 'audio-folder' needs its data ({data_dir or 'no folder'} given): {_NEED}")
    if not _LENGTHS[0] <= options.length <= _LENGTHS[1]:
        raise UsageError(f"length={options.length:g} of task 'audio-folder' is not between 0.1 and 10 seconds")
    samples = round(options.length * SAMPLE_RATE)
    labels = tuple(_classes(data_dir))
    return Task(
        name=name,
        labels=labels,
        shape=((samples - WINDOW) // HOP + 1, COEFFICIENTS, 1),
        load=lambda folder: _load(folder or data_dir, labels, samples),
        licence="that of the data in the folder",
    )


def _classes(root: Path) -> dict[str, list[Path]]:
    """Sound files of every class that has enough of them; the rest is named on stderr.

    Raises:
        OfaMcuError: fewer than two classes remain.
    """
    found: dict[str, list[Path]] = {}
    small: list[str] = []
    try:
        folders = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] not in "_.")
        for folder in folders:
            files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
            if len(files) >= SMALLEST_CLASS:
                found[folder.name] = files
            else:
                small.append(f"{folder.name} ({len(files)})")
    except OSError as error:
        raise OfaMcuError(f"{root} cannot be read ({error.strerror}); give yourself the right to read it") from error
    left_out = f"a class needs {SMALLEST_CLASS} sound files, one for each of training, validation and test"
    if len(found) < 2:
        has = f"has too few files in {', '.join(small)}: {left_out}" if small else "has no folders of sound files"
        raise OfaMcuError(f"{root} {has}, and two classes are needed; {_NEED}")
    if small:
        print(f"{root}: classes left out for too few files: {', '.join(small)}; {left_out}", file=sys.stderr)
    return found


def _load(root: Path, labels: tuple[str, ...], samples: int) -> Dataset:
    classes = _classes(root)
    if tuple(classes) != labels:
        raise OfaMcuError(f"{root} has the classes {', '.join(classes)}, and the task has {', '.join(labels)}")
    clips, usable, names = _read(root, classes, samples)
    parts, by = split_files(usable)
    targets = np.array([labels.index(label) for label, files in usable.items() for _ in files], np.int64)
    where = np.array([parts[name] for name in names], np.int64)
    of = [np.flatnonzero(where == part) for part in range(3)]
    counts = ", ".join(f"{len(indices)} {part}" for part, indices in zip(PARTS, of, strict=True))
    print(f"{root}: {len(names)} clips of {len(labels)} classes, split by {by}: {counts}", file=sys.stderr)
    order = np.random.default_rng(0).permutation(of[0])
    amounts = np.bincount(targets[order], minlength=len(labels))
    weights = (len(order) / (len(labels) * amounts)).astype(np.float32)
    noises = [noise for noise in read_noises(root) if len(noise) >= samples]
    train = AugmentedClips(clips[order], targets[order], noises=noises, class_weights=weights)
    validation, test = (Split(features(clips[indices]), targets[indices]) for indices in of[1:])
    return Dataset(train, validation, test)


def _read(
    root: Path, classes: dict[str, list[Path]], samples: int
) -> tuple[NDArray[np.int16], dict[str, list[str]], list[str]]:
    """Clips (N, S) of all readable files, class by class, their names by class, and all names in order."""
    clips: list[Sound] = []
    usable: dict[str, list[str]] = {}
    skipped = SkippedFiles()
    for label, files in classes.items():
        names = usable.setdefault(label, [])
        for path in files:
            try:
                clips.append(fitted(read_sound(path), samples, centred=True))
                names.append(file_name(path, root))
            except UnusableSound as error:
                skipped.add(file_name(path, root), str(error))
    skipped.tell(sum(len(files) for files in classes.values()), root)
    for label, names in usable.items():
        if len(names) < SMALLEST_CLASS:
            raise OfaMcuError(
                f"{root}: class {label} has {len(names)} readable sound files and {SMALLEST_CLASS} are needed, one for "
                "each of training, validation and test; add some or take the folder away"
            )
    return np.stack(clips), usable, [name for names in usable.values() for name in names]


AUDIO_FOLDER = TaskKind("audio-folder", AudioFolderOptions, _make)

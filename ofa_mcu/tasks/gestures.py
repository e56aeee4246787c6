"""Gestures of a hand with an accelerometer (TFLite Micro's magic wand): wing, ring, slope, or none of them."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.tasks.files import folder_of
from ofa_mcu.tasks.options import TaskKind
from ofa_mcu.tasks.scaling import Scaling
from ofa_mcu.tasks.task import Dataset, Task
from ofa_mcu.tasks.windows import Variation, WindowPart, Windows

__all__ = ["GESTURES", "GestureOptions"]

_FILE = "magic_wand.npz"
_STEPS, _AXES = 128, 3  # 5 s at 25 Hz
_NAMES = ("wing", "ring", "slope", "negative")
_SEED = 25

# milli-g from -2048 to 2047, the sensor's range, in steps of 16
_SCALING = Scaling(unit=(1.0,) * _AXES, multiplier=(1,) * _AXES, offset=(2048 + 8,) * _AXES, shift=4)
# Gestures are mostly shorter than a window and recordings of no gesture are as long: without trimming those, held ends
# would give the class away.
_VARIATION = Variation(speed=0.25, move=12, gain=0.15, noise=1.0, drift=1.5, turn=8.0, trim=(3,))


@dataclass(frozen=True)
class GestureOptions:
    """Which persons are tested: those the data set names, or with `fold` the fold of that number out of `folds`."""

    fold: int | None = None
    folds: int = 4


@dataclass(frozen=True, eq=False)
class _Recordings:
    data: NDArray[np.float64]
    length: NDArray[np.int64]
    labels: NDArray[np.int64]
    person: NDArray[np.str_]
    split: NDArray[np.str_]


def _read(path: Path) -> _Recordings:
    try:
        with np.load(path) as file:
            found = _Recordings(
                file["data"].astype(np.float64),
                file["length"].astype(np.int64),
                file["y"].astype(np.int64),
                file["person"],
                file["split"],
            )
            if tuple(file["label"].tolist()) != _NAMES:
                raise ValueError("it has other classes")
        if found.data.shape != (int(found.length.sum()), _AXES) or int(found.length.min()) < 1:
            raise ValueError(f"readings of shape {found.data.shape}")
        if not len(found.labels) == len(found.length) == len(found.person) == len(found.split):
            raise ValueError("columns of different lengths")
    except FileNotFoundError as error:
        raise OfaMcuError(f"there is no {path}; --data-dir names the folder of {_FILE}") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise OfaMcuError(f"{path} is no file of gestures, or is damaged ({error}); fetch it again") from error
    return found


def folds_of(person: NDArray[np.str_], labels: NDArray[np.int64], count: int) -> list[set[str]]:
    """Persons in `count` groups: those who gesture spread evenly by their examples, and so those who do not.

    Raises:
        UsageError: there are not enough persons of either kind.
    """
    groups: list[set[str]] = [set() for _ in range(count)]
    gesturing = set(person[labels != _NAMES.index("negative")].tolist())
    for everybody in (gesturing, set(person.tolist()) - gesturing):
        if len(everybody) < count:
            raise UsageError(f"task 'gestures' cannot make {count} folds of {len(everybody)} persons; ask for fewer")
        totals = [0] * count
        amount = {name: int((person == name).sum()) for name in everybody}
        for name in sorted(everybody, key=lambda one: (-amount[one], one)):
            lightest = totals.index(min(totals))
            groups[lightest].add(name)
            totals[lightest] += amount[name]
    return groups


def _parts(found: _Recordings, options: GestureOptions) -> dict[str, NDArray[np.int64]]:
    """Numbers of the examples of each part, no person in two of them."""
    if options.fold is None:
        named = {"train": "train", "validation": "val", "test": "test"}
        return {part: np.flatnonzero(found.split == name) for part, name in named.items()}
    groups = folds_of(found.person, found.labels, options.folds)
    test, held = groups[options.fold], groups[(options.fold + 1) % options.folds]
    tested, validated = (np.isin(found.person, list(group)) for group in (test, held))
    masks = {"train": ~tested & ~validated, "validation": validated, "test": tested}
    return {part: np.flatnonzero(mask) for part, mask in masks.items()}


def _load(options: GestureOptions, data_dir: Path | None) -> Dataset:
    found = _read(folder_of("gestures", data_dir, "magic_wand") / _FILE)
    end = np.cumsum(found.length)
    begin = end - found.length
    # in the middle of the window, what is longer cut on both sides
    start = begin - (_STEPS - found.length) // 2
    windows = Windows(found.data, start, begin, end - 1, found.labels, _STEPS)
    parts = _parts(found, options)
    if not all(map(len, parts.values())):
        raise OfaMcuError(f"{_FILE} leaves a part of the data empty; fetch it again")
    order = np.random.default_rng(_SEED).permutation(parts["train"])
    return Dataset(
        WindowPart(windows.chosen(order), _SCALING, _VARIATION),
        windows.chosen(parts["validation"]).split(_SCALING),
        windows.chosen(parts["test"]).split(_SCALING),
        scaling=_SCALING,
    )


def _make(name: str, options: GestureOptions, data_dir: Path | None) -> Task:
    if options.folds < 3 or (options.fold is not None and not 0 <= options.fold < options.folds):
        raise UsageError(
            f"task '{name}': fold {options.fold} of {options.folds} folds cannot be; give 3 folds or more and a number "
            "from 0 to one less"
        )
    return Task(
        name=name,
        labels=_NAMES,
        shape=(1, _STEPS, _AXES),
        load=lambda folder: _load(options, folder or data_dir),
        licence="Apache-2.0 (TensorFlow Lite Micro's magic wand recordings)",
    )


GESTURES = TaskKind("gestures", GestureOptions, _make)

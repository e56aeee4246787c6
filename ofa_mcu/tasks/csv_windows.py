"""Time series of sensors in CSV files, cut into windows: one column holds the label, or the folder's name is it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.tasks.csv_series import CsvWindowsOptions, Recordings, Series, columns_of, read_series, series_files
from ofa_mcu.tasks.files import folder_of
from ofa_mcu.tasks.folders import SMALLEST_CLASS, class_weights, parts_of, printable, tell_once
from ofa_mcu.tasks.options import TaskKind
from ofa_mcu.tasks.scaling import Scaling
from ofa_mcu.tasks.task import Dataset, Task
from ofa_mcu.tasks.windows import Variation, WindowPart, Windows

__all__ = ["CSV_WINDOWS", "scaling_of"]

_LENGTHS = (8, 16_384)
_SHIFT = 24
_HELD = 0.15  # of each of validation and test
_TRIES = 100  # ways to deal groups out
_TAIL = 0.1  # per cent of the readings on either side that may be clipped
_SHUFFLE_SEED = 12


@dataclass(frozen=True, eq=False)
class _Cut:
    """Windows of all files: where each starts and which rows of its label surround it; its class and its group."""

    start: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    labels: list[str]
    groups: list[str]


def _cut(series: Sequence[Series], options: CsvWindowsOptions) -> _Cut:
    """Every run of rows of one label and group gives windows, the first at its start."""
    stride = options.stride or max(1, options.window // 2)
    start, first, last, labels, groups = [], [], [], list[str](), list[str]()
    base = 0
    for one in series:
        change = (one.labels[1:] != one.labels[:-1]) | (one.groups[1:] != one.groups[:-1])
        edges = np.concatenate([[0], np.flatnonzero(change) + 1, [len(one.labels)]])
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            for position in range(begin, end - options.window + 1, stride):
                start.append(base + position)
                first.append(base + begin)
                last.append(base + end - 1)
                labels.append(str(one.labels[begin]))
                groups.append(str(one.groups[begin]) if options.group is not None else one.name)
        base += len(one.labels)
    return _Cut(np.array(start, np.int64), np.array(first, np.int64), np.array(last, np.int64), labels, groups)


def _by_group(cut: _Cut, numbers: NDArray[np.int64], classes: int) -> NDArray[np.int64] | None:
    """Part of every window, no group in two parts and every class in all; None if no try at that works out."""
    names, group = np.unique(np.array(cut.groups), return_inverse=True)
    amount = np.bincount(group)
    of_class = [np.unique(group[numbers == number]) for number in range(classes)]
    if min(map(len, of_class)) < SMALLEST_CLASS:
        return None
    if sum(map(len, of_class)) == len(names):  # no group has windows of two classes
        dealt = np.zeros(len(names), np.int64)
        for own in of_class:
            dealt[own] = parts_of([str(names[index]) for index in own])
        stratified: NDArray[np.int64] = dealt[group]
        return stratified
    for turn in range(_TRIES):
        keys = [hashlib.sha1(f"{turn}:{name}".encode("utf-8", "surrogateescape")).digest() for name in names]
        of_group, done = np.zeros(len(names), np.int64), 0
        for index in sorted(range(len(names)), key=keys.__getitem__):
            share = done / len(numbers)
            of_group[index] = 2 if share < _HELD else 1 if share < 2 * _HELD else 0
            done += int(amount[index])
        parts: NDArray[np.int64] = of_group[group]
        if len(np.unique(parts * classes + numbers)) == 3 * classes:
            return parts
    return None


def _by_time(cut: _Cut, numbers: NDArray[np.int64], window: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Part of every window, and the last row it may see: of every class the last stretch tests, that before validates.

    Windows over a border between parts belong to none (-1).
    """
    parts, last = np.full(len(numbers), -1, np.int64), cut.last.copy()
    for number in np.unique(numbers):
        own = np.flatnonzero(numbers == number)
        held = max(1, round(_HELD * len(own)))
        if len(own) < 2 * held + 1:
            continue
        starts = cut.start[own]  # windows are in the order of their rows
        second, third = int(starts[-2 * held]), int(starts[-held])
        for part, (begin, end) in enumerate(((0, second), (second, third), (third, int(cut.last[own].max()) + 1))):
            inside = own[(starts >= begin) & (starts + window <= end)]
            parts[inside] = part
            last[inside] = np.minimum(last[inside], end - 1)
    return parts, last


def scaling_of(readings: NDArray[np.float64]) -> Scaling:
    """Bytes for readings (rows, channels): all but a thousandth on either side lie in the range of a byte.

    The unit of a channel is 1 where every reading is a whole number, else the largest power of ten that leaves 4,096
    steps or more.
    """
    low, high = np.percentile(readings, [_TAIL, 100 - _TAIL], axis=0)
    span = np.where(high > low, high - low, np.maximum(np.abs(high), 1.0))
    whole = (readings == np.floor(readings)).all(axis=0)
    unit = np.where(whole, 1.0, 10.0 ** np.floor(np.log10(span / 4096)))
    multiplier = np.maximum(1, np.floor(255 * 2.0**_SHIFT * unit / span)).astype(np.int64)
    offset = np.round(-np.floor(low / unit) * multiplier + 2.0 ** (_SHIFT - 1)).astype(np.int64)
    return Scaling(tuple(unit.tolist()), tuple(multiplier.tolist()), tuple(offset.tolist()), _SHIFT)


def _classes(cut: _Cut, root: Path, tell: bool) -> tuple[str, ...]:
    """Labels with windows enough; the others are named on stderr.

    Raises:
        OfaMcuError: fewer than two remain.
    """
    counts = dict(zip(*np.unique(np.array(cut.labels, dtype=np.str_), return_counts=True), strict=True))
    small = ", ".join(printable(f"{label} ({count})") for label, count in counts.items() if count < SMALLEST_CLASS)
    kept = tuple(str(label) for label, count in counts.items() if count >= SMALLEST_CLASS)
    need = f"a class needs {SMALLEST_CLASS} windows; a shorter window or stride gives more"
    if len(kept) < 2:
        found = f"too few windows of {small}: {need}" if small else "one class alone" if kept else f"no window: {need}"
        raise OfaMcuError(f"{printable(root)} has {found}, and two classes are needed")
    if small and tell:
        tell_once(f"{printable(root)}: classes left out: {small}; {need}")
    return kept


def _dataset(
    found: Recordings, root: Path, labels: tuple[str, ...], columns: tuple[str, ...], options: CsvWindowsOptions
) -> Dataset:
    """Of the recordings in a folder; a line on stderr says what was left out, another how the rest was split."""
    found.skipped.tell(found.files, root)
    cut = _cut(found.series, options)
    if _classes(cut, root, tell=True) != labels:
        raise OfaMcuError(f"{printable(root)} has other classes than the task; name the folder it was made for")
    number_of = {label: number for number, label in enumerate(labels)}
    usable = np.array([index for index, label in enumerate(cut.labels) if label in number_of], np.int64)
    cut = _Cut(
        cut.start[usable],
        cut.first[usable],
        cut.last[usable],
        [cut.labels[i] for i in usable],
        [cut.groups[i] for i in usable],
    )
    numbers = np.array([number_of[label] for label in cut.labels], np.int64)
    parts, last, how = _by_group(cut, numbers, len(labels)), cut.last, options.group or "file"
    if parts is None:
        (parts, last), how = _by_time(cut, numbers, options.window), "time"
    of = [np.flatnonzero(parts == part) for part in range(3)]
    for number, label in enumerate(labels):
        if any(not (numbers[own] == number).any() for own in of):
            raise OfaMcuError(
                f"class {printable(label)} in {printable(root)} has too few windows to be in training, validation and "
                "test; a shorter window or stride gives more"
            )
    readings = np.concatenate([one.readings for one in found.series])
    seen = np.concatenate([readings[cut.start[i] : cut.start[i] + options.window] for i in of[0]])
    scaling = scaling_of(seen)
    tell_once(
        f"{printable(root)}: {len(numbers)} windows of {options.window} readings of {', '.join(columns)}, split by "
        f"{how}: {len(of[0])} to train, {len(of[1])} validation, {len(of[2])} test"
    )
    windows = Windows(readings, cut.start, cut.first, last, numbers, options.window)
    order = np.random.default_rng(_SHUFFLE_SEED).permutation(of[0])
    variation = Variation(speed=0.05, move=(options.stride or options.window // 2) // 2, gain=0.1, noise=1.0)
    weights = class_weights(numbers[order], len(labels)) if options.balance else None
    held, tested = (windows.chosen(own).split(scaling) for own in of[1:])
    return Dataset(WindowPart(windows.chosen(order), scaling, variation, weights), held, tested, scaling=scaling)


def _make(name: str, options: CsvWindowsOptions, data_dir: Path | None) -> Task:
    if not _LENGTHS[0] <= options.window <= _LENGTHS[1]:
        raise UsageError(
            f"option window of task '{name}' is {options.window}; give {_LENGTHS[0]} to {_LENGTHS[1]} rows"
        )
    if options.stride is not None and options.stride < 1:
        raise UsageError(f"option stride of task '{name}' is {options.stride}; give 1 or more rows")
    root = folder_of(name, data_dir)
    columns = columns_of(series_files(root), options)
    kept = [read_series(root, columns, options)]
    labels = _classes(_cut(kept[0].series, options), root, tell=False)

    def load(folder: Path | None) -> Dataset:
        """The first time from what told the classes, which memory is then free of; later the files are read again."""
        where = folder or root
        recordings = kept.pop() if kept and where == root else read_series(where, columns, options)
        return _dataset(recordings, where, labels, columns, options)

    return Task(
        name=name,
        labels=labels,
        shape=(1, options.window, len(columns)),
        load=load,
        licence="that of the series in the folder",
    )


CSV_WINDOWS = TaskKind("csv-windows", CsvWindowsOptions, _make)

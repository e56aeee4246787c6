"""CSV files of sensor readings: their columns, their rows, and which files cannot be used."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.tasks.folders import Skipped, named_below, printable

__all__ = ["CsvWindowsOptions", "Recordings", "Series", "columns_of", "read_series", "series_files"]

_SUFFIXES = (".csv", ".tsv", ".txt")
_TIMES = frozenset({"t", "time", "timestamp", "index", "ms", "us", "seconds", ""})
_BAD = 0.05  # share of rows that may hold no numbers; they are dropped


@dataclass(frozen=True)
class CsvWindowsOptions:
    """How series become windows.

    `window`: readings in one. `stride`: from the start of one to that of the next, half a window unless given.
    `label`: the column that says what is going on; a file without it is labelled by the name of its folder. `columns`:
    those that are read, joined with a plus; unless given all others that hold numbers, but not time and index.
    `group`: a column whose values stay together in one part (person, machine, run); unless given, a file does. Where
    there are too few of them, the last stretch of every class tests. `balance`: whether rare classes weigh more.
    """

    window: int = 128
    stride: int | None = None
    label: str = "label"
    columns: str | None = None
    group: str | None = None
    balance: bool = True


class _Unusable(Exception):
    """A file that must be left out; the message says why in a few words."""


@dataclass(frozen=True, eq=False)
class Series:
    """Rows of one file: readings (rows, channels), and label and group of every row."""

    name: str
    readings: NDArray[np.float64]
    labels: NDArray[np.str_]
    groups: NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class Recordings:
    """All series of a folder, of how many files, and which of these were left out."""

    series: tuple[Series, ...]
    files: int
    skipped: Skipped


def _table(path: Path) -> tuple[list[str], Iterator[list[str]]]:
    """Names of a file's columns, and the rows below them; its separator is found by looking at it.

    The rows raise csv.Error where there are none to read.

    Raises:
        _Unusable: the file is unreadable or empty, or its first line names no columns.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise _Unusable(f"unreadable: {error.strerror or error}") from error
    head = text[: text.find("\n")] if "\n" in text else text
    separator = max(",;\t", key=head.count)
    rows = (row for row in csv.reader(text.splitlines(), delimiter=separator) if any(cell.strip() for cell in row))
    try:
        names = [name.strip() for name in next(rows, [])]
    except csv.Error as error:
        raise _Unusable("that are no tables") from error
    if not names:
        raise _Unusable("empty")
    if all(_is_number(name) for name in names):
        raise _Unusable("without a line of column names")
    return names, rows


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def columns_of(files: Sequence[Path], options: CsvWindowsOptions) -> tuple[str, ...]:
    """Names of the columns to read, from the first file that has any."""
    for path in files:
        try:
            names, rows = _table(path)
            first = next(rows, [])
        except (_Unusable, csv.Error):
            continue
        if options.columns is not None:
            return tuple(name.strip() for name in options.columns.split("+"))
        apart = {options.label, options.group}
        numbers = [n for n, cell in zip(names, first, strict=False) if n not in apart and _is_number(cell.strip())]
        chosen = tuple(name for name in numbers if name.lower() not in _TIMES)
        if chosen:
            return chosen
    raise OfaMcuError(
        f"no file has columns of numbers; the first line of each of the {len(files)} files names the columns"
    )


def _series(path: Path, root: Path, columns: Sequence[str], options: CsvWindowsOptions) -> Series:
    """One file; rows with a cell that is no number are dropped where they are few.

    Raises:
        _Unusable: a column is missing, there are no readings, or many cells are no numbers.
    """
    names, rows = _table(path)
    missing = [name for name in columns if name not in names]
    if missing:
        raise _Unusable(f"without column {missing[0]}")
    if options.group is not None and options.group not in names:
        raise _Unusable(f"without column {options.group}")
    places = [names.index(name) for name in columns]
    label = names.index(options.label) if options.label in names else None
    group = names.index(options.group) if options.group is not None else None
    if label is None and path.parent == root:
        raise _Unusable(f"without column {options.label}, and in no folder that names the class")
    folder = named_below(path, root).split("/")[0]
    values: list[list[float]] = []
    labels: list[str] = []
    groups: list[str] = []
    bad = 0
    try:
        for row in rows:
            try:
                found = [float(row[place]) for place in places]
                own = folder if label is None else row[label].strip()
                one = "" if group is None else row[group].strip()
            except (ValueError, IndexError):
                bad += 1
                continue
            if not np.isfinite(found).all() or not own:
                bad += 1
                continue
            values.append(found)
            labels.append(own)
            groups.append(one)
    except csv.Error as error:
        raise _Unusable("that are no tables") from error
    if not values:
        raise _Unusable("without a row of readings")
    if bad > _BAD * len(values):
        raise _Unusable("of which more than one row in 20 is no readings")
    return Series(named_below(path, root), np.array(values), np.array(labels), np.array(groups))


def series_files(root: Path) -> list[Path]:
    """Every file below a folder that may be a table, in the order of names.

    Raises:
        OfaMcuError: there is none, or the folder cannot be read.
    """
    try:
        every = sorted(path for path in root.rglob("*") if path.is_file() and path.suffix.lower() in _SUFFIXES)
    except OSError as error:
        raise OfaMcuError(f"{printable(root)} cannot be read ({error.strerror}); make it readable") from error
    if not every:
        raise OfaMcuError(
            f"{printable(root)} has no files ending in {', '.join(_SUFFIXES)}; name the folder of the series with "
            "--data-dir"
        )
    return every


def read_series(root: Path, columns: Sequence[str], options: CsvWindowsOptions) -> Recordings:
    """All series long enough for a window.

    Raises:
        OfaMcuError: none is left.
    """
    files, skipped, found = series_files(root), Skipped("files"), []
    for path in files:
        try:
            series = _series(path, root, columns, options)
            if len(series.readings) < options.window:
                raise _Unusable(f"shorter than a window of {options.window} rows")
            found.append(series)
        except _Unusable as error:
            skipped.add(named_below(path, root), str(error))
    if not found:
        raise OfaMcuError(f"{skipped.summary(len(files), root)}; nothing is left to learn from")
    return Recordings(tuple(found), len(files), skipped)

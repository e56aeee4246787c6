"""Traces of power meters as CSV: what an inference took, measured from outside.

Read are exports of Nordic's Power Profiler (PPK2: `Timestamp(ms),Current(uA)` with `D0-D7` or `D0,D1,...`) and of the
Joulescope (`time,current,voltage,power,charge,energy`, in SI units), and any table whose header names time, current and
perhaps voltage, power and digital channels with their units: `time [s]`, `current_ma`, `Voltage(V)`.

A row of a PPK2 holds from its time to that of the next. A row of the Joulescope's log is a mean over the time since the
row before.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import UsageError

__all__ = ["PowerTrace", "read_trace"]

Floats = NDArray[np.float64]

UNITS = {
    "time": {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "current": {"a": 1.0, "ma": 1e-3, "ua": 1e-6, "na": 1e-9},
    "voltage": {"v": 1.0, "mv": 1e-3},
    "power": {"w": 1.0, "mw": 1e-3, "uw": 1e-6},
}
NAMES = {
    "time": re.compile(r"time(?:stamp)?|t"),
    "current": re.compile(r"current|amps?|i"),
    "voltage": re.compile(r"voltage|volts?|v"),
    "power": re.compile(r"power|p"),
}
EXAMPLES = {"time": "Timestamp(ms)", "current": "Current(uA)", "voltage": "Voltage(V)", "power": "Power(mW)"}
HEADING = re.compile(r"\s*(.*?)\s*(?:[(\[]\s*([^)\]]*?)\s*[)\]]|_([a-zµμ]+))?\s*", re.IGNORECASE)
CHANNEL = re.compile(r"(?:d|gpio?|gpi|digital|logic|in)[ _]?\d+", re.IGNORECASE)
CHANNELS = re.compile(r"d0\s*-\s*d7", re.IGNORECASE)
MOST = {"time": (1e11, "s"), "current": (1e3, "A"), "voltage": (1e3, "V"), "power": (1e6, "W")}
"""What a meter can have seen at the most; times may count from 1970."""
JOULESCOPE = ("time", "current", "voltage")
"""Headings without units that mean SI."""

MAX_HEADER_LINES = 20


@dataclass(frozen=True, eq=False)
class PowerTrace:
    """Samples in order, all arrays (n,): `start` and `width` in seconds, what each sample holds for; `current` in
    amperes, `voltage` in volts (None: no such column), `power` in watts (None: none, and no voltage).

    channels: digital ones by name, whether each was high.
    """

    path: Path
    start: Floats
    width: Floats
    current: Floats
    voltage: Floats | None
    power: Floats | None
    channels: dict[str, NDArray[np.bool_]]

    @property
    def seconds(self) -> float:
        """From the first sample's beginning to the last one's end."""
        return float(self.start[-1] + self.width[-1] - self.start[0])

    @property
    def gaps(self) -> NDArray[np.bool_]:
        """Samples that hold for more than ten times the usual: others are missing after them."""
        return self.width > 10 * np.median(self.width)

    def watts(self, supply_v: float | None) -> Floats:
        """Power of every sample, from the trace's own voltage or, without one, from `supply_v`.

        Raises:
            UsageError: there is neither.
        """
        if self.power is not None:
            return self.power
        if supply_v is None:
            raise UsageError(f"{self.path} has no column of volts; give the supply's voltage with --supply-v")
        return self.current * supply_v

    def channel(self, name: str | None = None) -> tuple[str, NDArray[np.bool_]]:
        """The digital channel of that name, or the only one that changes.

        Raises:
            UsageError: no such channel, or none or several that change.
        """
        known = ", ".join(self.channels) or "none"
        if name is not None:
            found = {key.lower(): key for key in self.channels}.get(name.lower())
            if found is None:
                raise UsageError(f"{self.path} has no digital channel {name}; it has {known}")
            return found, self.channels[found]
        changing = [key for key, high in self.channels.items() if high.any() and not high.all()]
        if len(changing) == 1:
            return changing[0], self.channels[changing[0]]
        if changing:
            raise UsageError(
                f"several digital channels of {self.path} change ({', '.join(changing)}); choose one with --channel"
            )
        raise UsageError(
            f"no digital channel of {self.path} changes (it has {known}); say where the inferences lie: "
            "--window START,END --inferences N"
        )


def read_trace(path: Path) -> PowerTrace:
    """The trace in the file.

    Raises:
        UsageError: the file cannot be read, has no header, no time or current, no unit, no rows, rows out of order,
            rows with more cells than the header, two columns of one quantity, or what no
            meter measures.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            heading, begin = _header(path, [*islice(file, MAX_HEADER_LINES)])
        delimiter = next((mark for mark in ("\t", ";", ",") if mark in heading), ",")
        names = [name.strip().strip('"') for name in heading.split(delimiter)]
        columns = {kind: _column(path, names, kind) for kind in NAMES}
        for kind in ("time", "current"):
            if columns[kind] is None:
                raise UsageError(
                    f"the trace {path} has no column of {kind} ({', '.join(names)}); name one {EXAMPLES[kind]}"
                )
        there = {kind: place for kind, place in columns.items() if place is not None}
        table = _Table(path, begin, delimiter, len(heading.rstrip(f'{delimiter}" ').split(delimiter)))
        numbers = table.numbers([index for index, _ in there.values()])
        values = {kind: scale * numbers[:, at] for at, (kind, (_, scale)) in enumerate(there.items())}
        for kind, column in values.items():
            largest, (most, unit) = float(np.abs(column).max()), MOST[kind]
            if largest > most:
                raise UsageError(
                    f"the trace {path} has a {kind} of {largest:.3g} {unit}, which no meter measures; check "
                    f"its rows and the unit in '{names[there[kind][0]]}'"
                )
        channels: dict[str, NDArray[np.bool_]] = {}
        for index, name in enumerate(names):
            if CHANNEL.fullmatch(name) or CHANNELS.fullmatch(name):
                more = _channels(name, table.words(index))
                twice = next((key for key in more if key in channels), None)
                if twice is not None:
                    raise UsageError(f"{path} has two columns of the digital channel {twice}; export one of them only")
                channels |= more
    except OSError as error:
        raise UsageError(f"the trace {path} cannot be read ({error.strerror}); check its name") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the trace {path} is no text in UTF-8; export it as CSV, in that encoding") from error
    mean_before = _is_joulescope(names) and columns["power"] is not None
    start, width = _spans(path, values["time"], mean_before)
    voltage, power = values.get("voltage"), values.get("power")
    if power is None and voltage is not None:
        power = values["current"] * voltage
    return PowerTrace(path, start, width, values["current"], voltage, power, channels)


def _header(path: Path, lines: list[str]) -> tuple[str, int]:
    """The line with the columns' names, and how many lines lie before the data; remarks are skipped."""
    for number, line in enumerate(lines):
        words = line.removeprefix("#= header=").lstrip("# ").strip()
        if not words or (line.startswith(("#&", "#= ")) and "header=" not in line):
            continue
        if re.fullmatch(r'[\d\s.,;eE+"-]+', words):
            break
        if re.search(r"time|current", words, re.IGNORECASE):
            return words, number + 1
    raise UsageError(f"the trace {path} does not begin with the names of its columns; export it with a header")


def _column(path: Path, names: list[str], kind: str) -> tuple[int, float] | None:
    """Where a column is, and its unit in SI; None where there is none.

    Raises:
        UsageError: there are two, or none has a known unit.
    """
    found: dict[int, float] = {}
    unknown: list[tuple[str, str | None]] = []
    for index, name in enumerate(names):
        parts = HEADING.fullmatch(name)
        if parts is None or not NAMES[kind].fullmatch(parts[1].strip().lower()):
            continue
        told = parts[2] or parts[3]
        unit = (told or "").replace("µ", "u").replace("μ", "u").lower()
        if told is None and _is_joulescope(names):
            found[index] = 1.0
        elif unit in UNITS[kind]:
            found[index] = UNITS[kind][unit]
        else:
            unknown.append((name, told))
    if len(found) > 1:
        both = " and ".join(f"'{names[index]}'" for index in found)
        raise UsageError(f"{path} has {len(found)} columns of {kind}, {both}; export one of them only")
    if unknown and not found:
        name, told = unknown[0]
        what = f"the unit '{told}'" if told else "no unit"
        raise UsageError(f"the column '{name}' of {path} has {what}; write it as {EXAMPLES[kind]}")
    return next(iter(found.items()), None)


def _is_joulescope(names: list[str]) -> bool:
    return tuple(name.lower() for name in names[: len(JOULESCOPE)]) == JOULESCOPE


class _Table:
    """The rows behind the header, which names `cells` columns; rows may have more where those are blank."""

    def __init__(self, path: Path, begin: int, delimiter: str, cells: int) -> None:
        self.path, self.begin, self.delimiter, self.cells = path, begin, delimiter, cells

    def numbers(self, columns: list[int]) -> Floats:
        """Some columns (rows, columns); UsageError naming the first line without a number where one belongs."""
        try:
            values: Floats | None = self._read(columns, np.float64)
        except ValueError:
            values = None
        if values is None or not np.isfinite(values).all():
            raise self._blame(columns)
        if len(values) < 2:
            raise UsageError(f"the trace {self.path} has {len(values)} rows; two are the least")
        return values

    def words(self, column: int) -> NDArray[np.str_]:
        """A column's text, eight characters of it at the most."""
        try:
            values: NDArray[np.str_] = self._read([column], np.dtype("U8"))
        except ValueError:
            raise self._blame([column], text=True) from None
        return values[:, 0]

    def _read(self, columns: list[int], kind: Any) -> Any:
        with warnings.catch_warnings(), self.path.open(encoding="utf-8-sig") as file:
            warnings.filterwarnings("ignore", message=".*contained no data")
            lines = self._lines(file)
            if self.delimiter != "," and kind is np.float64:
                lines = (line.replace(",", ".") for line in lines)
            return np.loadtxt(
                lines, kind, comments="#", delimiter=self.delimiter, usecols=columns, ndmin=2, quotechar='"'
            )

    def _lines(self, file: Iterator[str]) -> Iterator[str]:
        """The rows; UsageError at the first with more cells than the header, as decimal commas make them."""
        for number, line in enumerate(islice(file, self.begin, None), self.begin + 1):
            if line.count(self.delimiter) >= self.cells:
                cells = self._split(line.partition("#")[0])
                if any(cells[self.cells :]):
                    hint = "with decimal points and no other commas in numbers" if self.delimiter == "," else "again"
                    raise UsageError(
                        f"line {number} of {self.path} has {len(cells)} cells and the header {self.cells}; export it "
                        f"{hint}"
                    )
            yield line

    def _split(self, line: str) -> list[str]:
        """Cells of a line, as numpy splits it."""
        try:
            return [cell.strip() for row in csv.reader([line], delimiter=self.delimiter) for cell in row]
        except csv.Error:  # a cell that is longer than any number
            return [cell.strip() for cell in line.split(self.delimiter)]

    def _blame(self, columns: list[int], text: bool = False) -> UsageError:
        """The error for the first line that cannot be read."""
        with self.path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if number <= self.begin or not line.strip() or line.startswith("#"):
                    continue
                cells = self._split(line)
                if len(cells) <= max(columns):
                    return UsageError(f"line {number} of {self.path} has {len(cells)} columns only; export it again")
                mark = "," if self.delimiter == "," else "."
                wrong = [] if text else [at for at in columns if not _is_number(cells[at].replace(",", mark))]
                if wrong:
                    cell = cells[wrong[0]][:40]
                    return UsageError(
                        f"line {number} of {self.path} has '{cell}' where a number belongs; export it again"
                    )
        return UsageError(f"the rows of {self.path} cannot be read; export it again")


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


def _channels(name: str, words: NDArray[np.str_]) -> dict[str, NDArray[np.bool_]]:
    """One channel, or the eight of a PPK2's `D0-D7`, whose first character is D0. What changed within a sample (X) was
    high; what was not sampled (-) was low."""
    if CHANNELS.fullmatch(name):
        letters = np.char.ljust(words, 8).astype("U8").view("U1").reshape(len(words), 8)
        return {f"D{bit}": np.isin(letters[:, bit], ("1", "X")) for bit in range(8)}
    return {name: np.isin(np.char.strip(words), ("1", "X", "1.0", "True", "true"))}


def _spans(path: Path, time: Floats, before: bool) -> tuple[Floats, Floats]:
    """Beginning and length of what each sample holds for; the one without a neighbour is of the usual length."""
    steps = np.diff(time)
    wrong = np.flatnonzero(steps <= 0)
    if wrong.size:
        raise UsageError(
            f"the time of {path} goes from {time[wrong[0]]:.9g} s to {time[wrong[0] + 1]:.9g} s; export it in order"
        )
    usual = float(np.median(steps))
    if before:
        width = np.concatenate([[usual], steps])
        return time - width, width
    return time, np.concatenate([steps, [usual]])

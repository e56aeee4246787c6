"""A measurement against an earlier one of the same board and task: what got worse, what got better, what is allowed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from ofa_mcu import schemas
from ofa_mcu.devices.trial import fault_of
from ofa_mcu.errors import RegressionError, UsageError

__all__ = ["FIGURES", "Allowance", "Compared", "Comparison", "allowances", "check_alike", "compare", "read_baseline"]

_SAME = ("runtime", "counter", "task", "input_shape", "images")
"""Keys of both measurements that must be equal, beside the board."""

_WORDS = {
    "runtime": "the runtime",
    "counter": "the counter",
    "task": "the task",
    "input_shape": "model inputs of shape",
    "images": "test images",
}
_UNITS = {"": 1, "k": 1000, "m": 1000**2}
_MEMORY_UNITS = {"": 1, "k": 1024, "m": 1024**2}
_ROUNDING = 1e-9
_AGAIN = "ofa-mcu bench --emulate (or --port PORT) --json"
_MOST = 10**18
"""No figure of a measurement is larger."""
_CHECKED = ("bytes_compared", "differing_bytes", "stack_used", "stack_reserved")
"""What tells whether a measurement passed."""


@dataclass(frozen=True)
class Allowance:
    """How much worse a figure may be: an amount in the figure's unit, or a share of the baseline (0.01 is 1 %).

    `asked`: the user named the figure, so that it must be there.
    """

    amount: float
    relative: bool = False
    asked: bool = False

    def limit(self, baseline: float) -> float:
        """The amount for a baseline."""
        return self.amount * abs(baseline) if self.relative else self.amount

    def words(self, figure: Figure) -> str:
        """`0.5 % worse is allowed`."""
        if not self.amount:
            return "no loss is allowed"
        if self.relative:
            return f"{100 * self.amount:.4g} % worse is allowed"
        unit = "points" if figure.more_is_better else figure.unit
        return f"{' '.join(f'{figure.scale * self.amount:,.6g} {unit}'.split())} worse is allowed"


@dataclass(frozen=True)
class Figure:
    """One figure of a measurement: its name here, its key in the JSON object of `bench`, and how it is shown.

    A shown value is `scale` times the JSON object's. `default` is the allowance without `--max-regress`; None is no
    bound.
    """

    name: str
    key: str
    unit: str
    default: Allowance | None = None
    more_is_better: bool = False
    scale: float = 1

    def text(self, value: float | None) -> str:
        """The value with its unit."""
        if value is None:
            return "not measured"
        shown = self.scale * value
        number = f"{shown:,}" if isinstance(shown, int) else f"{shown:,.5g}"
        return f"{number} {self.unit}".strip()


FIGURES = (
    Figure("sram", "sram_linked", "B", Allowance(0)),
    Figure("flash", "flash_linked", "B", Allowance(0)),
    Figure("instructions", "instructions", "", Allowance(0.005, relative=True)),
    Figure("milliseconds", "milliseconds", "ms"),
    Figure("stack", "stack_used", "B"),
    Figure("accuracy", "accuracy", "%", Allowance(0), more_is_better=True, scale=100),
)
"""What is compared, in this order."""

_NAMES = ", ".join(figure.name for figure in FIGURES)


@dataclass(frozen=True)
class Compared:
    """One figure of both measurements; None where it was not measured. `allowed` in the unit of the JSON object."""

    figure: Figure
    baseline: float | None
    measured: float | None
    allowance: Allowance | None

    @property
    def allowed(self) -> float | None:
        """How much worse it may be; None without a bound."""
        return None if self.allowance is None or self.baseline is None else self.allowance.limit(self.baseline)

    @property
    def change(self) -> float | None:
        """Measured less baseline."""
        return None if self.baseline is None or self.measured is None else self.measured - self.baseline

    @property
    def verdict(self) -> str:
        """`equal`, `better`, `worse` (as far as allowed), `regressed`, or `absent`."""
        change, allowed = self.change, self.allowed
        if change is None:
            return "absent"
        worse = -change if self.figure.more_is_better else change
        if abs(worse) <= _ROUNDING:
            return "equal"
        if worse < 0:
            return "better"
        return "worse" if allowed is None or worse <= allowed + _ROUNDING else "regressed"

    @property
    def sentence(self) -> str:
        """`instructions went from 100 to 103 (+3 %), 1 % worse is allowed`."""
        figure, change = self.figure, self.change
        if change is None:
            return f"{figure.name} is not in both measurements"
        if self.verdict == "equal":
            return f"{figure.name} stayed at {figure.text(self.measured)}"
        share = "" if not self.baseline or figure.more_is_better else f" ({100 * change / self.baseline:+.3g} %)"
        bound = "no bound" if self.allowance is None else self.allowance.words(figure)
        return f"{figure.name} went from {figure.text(self.baseline)} to {figure.text(self.measured)}{share}, {bound}"

    def to_json(self) -> dict[str, Any]:
        """One row of `comparison.figures`."""
        return {
            "name": self.figure.name,
            "baseline": self.baseline,
            "measured": self.measured,
            "change": self.change,
            "allowed": self.allowed,
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Comparison:
    """All figures against those of the baseline in `path`."""

    path: Path
    board: str
    figures: tuple[Compared, ...]

    @property
    def regressed(self) -> tuple[Compared, ...]:
        """Figures that got worse by more than is allowed."""
        return tuple(row for row in self.figures if row.verdict == "regressed")

    def check(self) -> None:
        """Raise RegressionError where a figure is worse than allowed."""
        if self.regressed:
            raise RegressionError(
                f"{self.board} is worse than {self.path}: {'; '.join(row.sentence for row in self.regressed)}; if that "
                f"is meant, allow it with --max-regress or record a new baseline with {_AGAIN}"
            )

    def to_json(self) -> dict[str, Any]:
        """What `bench --json --baseline` adds as `comparison`."""
        return {
            "baseline": str(self.path),
            "regressed": [row.figure.name for row in self.regressed],
            "figures": [row.to_json() for row in self.figures],
        }


def allowances(text: str | None) -> dict[str, Allowance | None]:
    """Allowances by name of figure: the defaults, and over them those of `sram=0,instructions=1%,accuracy=0.5`.

    Bytes may be written as 1k (1024), instructions as 20k (1000). Accuracy counts in points, with or without the sign.

    Raises:
        UsageError: an unknown figure, one named twice, or no amount.
    """
    chosen = {figure.name: figure.default for figure in FIGURES}
    known = {figure.name: figure for figure in FIGURES}
    named: set[str] = set()
    for part in [] if text is None else text.split(","):
        name, _, amount = (word.strip() for word in part.partition("="))
        if name not in known:
            raise UsageError(f"--max-regress names '{name}', which is not compared; known: {_NAMES}")
        if name in named:
            raise UsageError(f"--max-regress names {name} twice; give it one amount")
        named.add(name)
        chosen[name] = _allowance(known[name], amount)
    return chosen


def _allowance(figure: Figure, text: str) -> Allowance:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:(%)|([km]?)(?:i?b|ms)?)", text.lower())
    if found is None:
        raise UsageError(
            f"--max-regress {figure.name}={text} is no amount; write for example {figure.name}=0 or {figure.name}=1%"
        )
    number = float(found[1])
    if number > _MOST:
        raise UsageError(f"--max-regress {figure.name}={_short(text)} is more than any figure; leave the bound out")
    if figure.more_is_better:
        return Allowance(number / figure.scale, asked=True)
    if found[2]:
        return Allowance(number / 100, relative=True, asked=True)
    return Allowance(number * (_MEMORY_UNITS if figure.unit == "B" else _UNITS)[found[3] or ""], asked=True)


def read_baseline(path: Path, board: str) -> dict[str, Any]:
    """The JSON object that `bench --json` printed earlier for this board.

    Raises:
        UsageError: the file cannot be read, holds something else, or the measurement of another board, or one that
            failed.
    """
    again = f"record it with: {_AGAIN} > {path}"
    try:
        value = json.loads(path.read_bytes())  # UTF-8 or, as PowerShell redirects, UTF-16, with or without a BOM
    except OSError as error:
        raise UsageError(f"the baseline {path} cannot be read ({error.strerror}); {again}") from error
    except ValueError as error:
        raise UsageError(f"the baseline {path} is no JSON ({error}); {again}") from error
    except RecursionError as error:
        raise UsageError(f"the baseline {path} is no JSON (nested too deep); {again}") from error
    if isinstance(value, dict) and "error" in value:
        raise UsageError(f"the baseline {path} holds the error of a bench that failed; {again}")
    if not isinstance(value, dict) or not isinstance(value.get("board"), str) or "accuracy" not in value:
        raise UsageError(f"the baseline {path} is not what bench --json prints; {again}")
    if value.get("schema") != schemas.BENCH:
        raise UsageError(
            f"the baseline {path} has schema {value.get('schema')} and this release writes {schemas.BENCH}; {again}"
        )
    for key in _SAME:
        if key not in value:
            raise UsageError(f"the baseline {path} does not say {_WORDS[key]}; {again}")
    for figure in FIGURES:
        _number(value, figure, path)
    for key in _CHECKED:
        if not _is_figure(value.get(key)):
            raise UsageError(f"the baseline {path} has {_short(value.get(key))} as its {key}; {again}")
    fault = fault_of(value)
    if fault is not None:
        raise UsageError(f"the baseline {path} is of a bench that failed ({fault.partition(';')[0]}); {again}")
    if value["board"] != board:
        raise UsageError(f"the baseline {path} is of board {value['board']}, not of {board}; give that of {board}")
    return value


def check_alike(baseline: Mapping[str, Any], measured: Mapping[str, Any], path: Path) -> None:
    """Raise UsageError where what is known of a measurement differs from the baseline in how that was made."""
    for key in _SAME:
        if key in measured and baseline[key] != measured[key]:
            raise UsageError(
                f"the baseline {path} has {_WORDS[key]} {_shown(baseline[key])} and this measurement "
                f"{_shown(measured[key])}; measure alike, or record a new baseline"
            )


def _number(value: Mapping[str, Any], figure: Figure, path: Path) -> float | None:
    """The figure in a baseline; UsageError where it is neither a number nor null."""
    number = value.get(figure.key)
    if number is None:
        return None
    if not _is_figure(number) or (figure.key == "accuracy" and number > 1):
        raise UsageError(f"the baseline {path} has {_short(number)} as its {figure.key}; record it again")
    return number


def _is_figure(value: object) -> TypeGuard[int | float]:
    """Whether it is a number that a measurement can have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST


def _short(value: object) -> str:
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}..."


def compare(
    baseline: Mapping[str, Any], measured: Mapping[str, Any], allowed: Mapping[str, Allowance | None], path: Path
) -> Comparison:
    """Every figure of `measured` against `baseline` (read from `path`), both as `bench --json` prints them.

    Raises:
        UsageError: the two were not measured alike, or have no bounded figure in common.
    """
    check_alike(baseline, measured, path)
    rows = tuple(
        Compared(figure, _number(baseline, figure, path), measured.get(figure.key), allowed[figure.name])
        for figure in FIGURES
    )
    for row in rows:
        if row.verdict == "absent" and row.allowance is not None and row.allowance.asked:
            lacking = [f"the baseline {path}"] * (row.baseline is None) + ["this measurement"] * (row.measured is None)
            raise UsageError(
                f"--max-regress names {row.figure.name}, which is not in {' nor in '.join(lacking)}; leave it out, or "
                "measure it in both"
            )
    if all(row.verdict == "absent" or row.allowance is None for row in rows):
        raise UsageError(f"the baseline {path} has no figure that this measurement has, too; record it again")
    return Comparison(path, str(measured["board"]), rows)


def _shown(value: object) -> str:
    return _cut("x".join(map(str, value)) if isinstance(value, list) else str(value))

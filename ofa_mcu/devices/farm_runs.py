"""The runs that a farm measures: those in folders, sound ones and others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.profiles import load_profile
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.runs import FLEET, Run

__all__ = ["FarmRun", "FarmRuns", "UnfitRun", "runs_in"]


@dataclass(frozen=True)
class FarmRun:
    """A run and the profile of its board."""

    run: Run
    profile: BoardProfile


@dataclass(frozen=True)
class UnfitRun:
    """A run that cannot be measured, and why; `board` is the folder's name where the run does not tell its board."""

    run: Run
    board: str
    error: OfaMcuError


@dataclass(frozen=True)
class FarmRuns:
    """Runs that can be measured, and those that cannot."""

    fit: tuple[FarmRun, ...]
    unfit: tuple[UnfitRun, ...]


def runs_in(folders: Sequence[Path], say: Callable[[str], None] = lambda text: None) -> FarmRuns:
    """The runs in these folders: each is a run, or holds runs, as `fleet` leaves them.

    Where the last fleet tells which runs are its own, others beside them are left aside. That is said, and so is where
    the fleet did not end.

    Raises:
        UsageError: a folder is neither, or a run is named twice.
        OfaMcuError: what a fleet tells is damaged.
    """
    found: dict[Path, Run] = {}
    for folder in folders:
        inside = [folder] if _is_run(folder) else _inside(folder, say)
        if not inside:
            raise UsageError(f"{folder} neither is a run nor holds any; make some with: ofa-mcu fleet")
        for path in inside:
            if path.resolve() in found:
                raise UsageError(f"{path} is named twice; name it once")
            found[path.resolve()] = Run(path)
    fit, unfit = [], []
    for run in found.values():
        try:
            fit.append(_sound(run))
        except OfaMcuError as error:
            unfit.append(UnfitRun(run, _board(run), error))
    return FarmRuns(tuple(fit), tuple(unfit))


def _inside(folder: Path, say: Callable[[str], None]) -> list[Path]:
    """The runs that a folder holds, or those of them that its fleet is of."""
    there = sorted(path for path in folder.glob("*") if _is_run(path))
    if not (folder / FLEET).is_file():
        return there
    names, complete = _of_fleet(folder / FLEET)
    if not complete:
        say(f"the fleet in {folder} did not end; run it again for its other boards")
    others = [path.name for path in there if path.name not in names]
    if others:
        say(f"left aside, for {folder / FLEET} is not of them: {', '.join(others)}")
    return [folder / name for name in names]


def _of_fleet(path: Path) -> tuple[list[str], bool]:
    """Names of the folders of a fleet's runs, and whether these are all that there were to be."""
    try:
        told = json.loads(path.read_text())
        names = sorted(Path(row["run"]).name for row in told["boards"] if row.get("run") is not None)
        return names, bool(told.get("complete", True))
    except (OSError, ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise OfaMcuError(
            f"{path} is damaged ({error!r}); run ofa-mcu fleet again, or name the runs themselves"
        ) from error


def _is_run(folder: Path) -> bool:
    return (folder / "report.json").is_file()


def _sound(run: Run) -> FarmRun:
    """The run, if it has what a measurement asks of it.

    Raises:
        OfaMcuError: it is damaged, or its board's profile is.
        UsageError: its board is not known, or it is planned for another runtime.
    """
    if run.runtime != "compiled":
        raise UsageError(
            f"{run.folder} is planned for TFLite Micro, and farm measures compiled code: search it for compiled, or "
            f"measure it with: ofa-mcu bench --run {run.folder} --runtime tflm"
        )
    if not (run.subnet and run.task and isinstance(run.report()["pick"].get("model_crc32"), int)):
        raise OfaMcuError(f"{run.folder / 'report.json'} is damaged (no pick.model_crc32); search again")
    run.model()
    return FarmRun(run, load_profile(run.board()))


def _board(run: Run) -> str:
    """What the run says of its board, however little is left of it."""
    try:
        named: Any = run.report().get("board")
    except OfaMcuError:
        named = None
    return named if isinstance(named, str) else run.name

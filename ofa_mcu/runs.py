"""Run folders: what a verb leaves for the next one."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_mcu.errors import BusyError, OfaMcuError, UsageError
from ofa_mcu.files import write_bytes, write_json

__all__ = ["FLEET", "FLEET_PLOT", "REFINED", "REFINING", "RUNS", "Run", "find_run", "new_run", "remove"]

RUNS = Path("runs")
FLEET = "fleet.json"
"""What a fleet tells of its runs, beside them."""
FLEET_PLOT = "fleet.png"
"""The same as a picture."""
_REPORT = "report.json"
_LOCK = ".lock"
REFINING = "refining"
"""Folder of a run in which its pick is being trained further."""
REFINED = ("finetune", "qat")
"""Folders of a run with the trainings that its pick went through."""
_STALE = (
    _REPORT,
    "ledger.json",
    "network.npz",
    "build.json",
    "bench.json",
    "build-tflm.json",
    "bench-tflm.json",
    "crosscheck.json",
    "crosscheck.tflite",
    "crosscheck.log",
)
_FINISHED = {_REPORT, "config.json", "evaluated.json"}
"""What every run has."""
_UNFINISHED = {*_STALE, *_FINISHED, _LOCK, REFINING, *REFINED, "model.tflite", "firmware", "firmware-tflm"}
"""What a search that was killed may leave, beside profiles and parts of files."""


@dataclass(frozen=True)
class Run:
    """A folder that a search filled: `report.json`, `config.json`, `evaluated.json`, `model.tflite`.

    `build` adds `firmware/` and `build.json`, `bench` adds `bench.json`.
    """

    folder: Path

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def model_path(self) -> Path:
        """The int8 network as a TFLite file."""
        return self.folder / "model.tflite"

    @property
    def network_path(self) -> Path:
        """The float network of a pick that was trained further; the supernet no longer gives it."""
        return self.folder / "network.npz"

    @property
    def project_path(self) -> Path:
        """The PlatformIO project."""
        return self.folder / "firmware"

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the run.

        Raises:
            OfaMcuError: it is missing or damaged.
        """
        path = self.folder / name
        try:
            value = json.loads(path.read_text(), parse_constant=_no_number)
        except FileNotFoundError as error:
            step = {"build.json": "build --run", "bench.json": "bench --run"}.get(name, "search --out")
            raise OfaMcuError(f"{path} is missing; run first: ofa-mcu {step} {self.folder}") from error
        except (ValueError, RecursionError, OSError) as error:
            raise OfaMcuError(f"{path} is damaged ({error}); run the verb that wrote it again") from error
        if not isinstance(value, dict):
            raise OfaMcuError(f"{path} is damaged (no JSON object); run the verb that wrote it again")
        return value

    def _text(self, name: str, *keys: str) -> str:
        """A string deep in one of the run's JSON files."""
        value: Any = self.read(name)
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if not isinstance(value, str):
            raise OfaMcuError(f"{self.folder / name} is damaged (no {'.'.join(keys)}); search again")
        return value

    def report(self) -> dict[str, Any]:
        """The search's result."""
        return self.read(_REPORT)

    @property
    def runtime(self) -> str:
        """What the run was planned for: compiled, or tflm."""
        return str(self.report().get("runtime", "compiled"))

    @property
    def subnet(self) -> str:
        """Text form of the recommended subnet."""
        return self._text(_REPORT, "pick", "subnet")

    @property
    def task(self) -> str:
        """Name of the task that was searched."""
        return self._text("config.json", "task")

    def board(self, other: str | None = None) -> str:
        """What names the board for `load_profile`: `other`, else the run's own profile file, else the board's id."""
        board = other or self._text(_REPORT, "board")
        kept = self.profile_path(board)
        return str(kept) if other is None and kept.is_file() else board

    def profile_path(self, board: str) -> Path:
        """Where the run keeps the profile of a board that does not come with the package."""
        return self.folder / f"{board}.toml"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps two verbs out of one run; the lock goes with the process.

        Raises:
            BusyError: another process is at work there.
            OfaMcuError: the folder cannot be written.
        """
        try:
            lock = (self.folder / _LOCK).open("w")
        except OSError as error:
            raise OfaMcuError(f"cannot write to {self.folder} ({error.strerror}); give a folder of your own") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise BusyError(f"another ofa-mcu is working in {self.folder}; wait for it") from error
            yield

    def forget(self) -> None:
        """Remove what an earlier search and the verbs after it left, so that nothing stale lies beside a new result."""
        for name in REFINED:
            remove(self.folder / name)
        for name in _STALE:
            (self.folder / name).unlink(missing_ok=True)

    def write(self, name: str, value: Any) -> None:
        """Write a JSON file of the run atomically."""
        write_json(self.folder / name, value)

    def write_model(self, data: bytes) -> None:
        """Write the TFLite file atomically."""
        write_bytes(self.model_path, data)

    def model(self) -> bytes:
        """Content of the TFLite file."""
        try:
            return self.model_path.read_bytes()
        except OSError as error:
            raise OfaMcuError(f"{self.model_path} cannot be read ({error.strerror}); search again") from error


def _fresh_folder(stem: str) -> Path:
    """Creates `runs/<stem>-<number>` with the first free number; two processes never get the same."""
    number = 1
    while True:
        folder = RUNS / f"{stem}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            number += 1


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")


@contextmanager
def new_run(stem: str, out: Path | None = None) -> Iterator[Run]:
    """The run in `out`, or in a fresh folder `runs/<stem>-<number>`, created and locked now.

    Where the block fails, a folder created here goes away again; with a name given by the user it stays if its pick was
    being trained further, for the same search to go on.

    Raises:
        UsageError: `out` holds something that is no run.
        OfaMcuError: the folder cannot be written.
        BusyError: another process works in it.
    """
    try:
        folder, created = (_fresh_folder(stem), True) if out is None else (out, _created(out))
    except OSError as error:
        raise OfaMcuError(f"cannot create a run's folder ({error}); name one you may write with --out") from error
    if not folder.is_dir():
        raise UsageError(f"{out} is no folder; choose another --out")
    run, found = Run(folder), {path.name for path in folder.iterdir()}
    with run.locked():
        try:
            if not created and not _is_run(found):
                raise UsageError(f"{out} exists and holds no run; choose another --out or empty it")
            yield run
        except BaseException:
            goes_on = out is not None and (folder / REFINING).exists()
            if created and not goes_on:
                shutil.rmtree(folder, ignore_errors=True)
            elif _LOCK not in found and not goes_on:
                (folder / _LOCK).unlink(missing_ok=True)
            raise


def _created(folder: Path) -> bool:
    """Whether there was nothing of that name, and now is a folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def _is_run(names: set[str]) -> bool:
    """Whether a folder with these things inside is a run's, a search's that was killed, or nobody's."""
    known = {name for name in names if name in _UNFINISHED or name.endswith((".part", ".toml"))}
    return not names or names >= _FINISHED or (_LOCK in names and names == known)


def remove(folder: Path) -> None:
    """A folder with all that is in it, or a link to one, gone; it need not be there."""
    if folder.is_symlink():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)


def find_run(folder: Path | None) -> Run:
    """The named run, or the newest finished one under `runs/`.

    Raises:
        UsageError: there is none.
    """
    if folder is not None:
        if not (folder / _REPORT).is_file():
            raise UsageError(f"{folder} holds no run (no {_REPORT}); make one with: ofa-mcu search --board ID")
        return Run(folder)
    reports = sorted(RUNS.glob(f"*/{_REPORT}"), key=lambda p: (p.stat().st_mtime_ns, p.parent.name))
    if not reports:
        raise UsageError(f"there is no run under {RUNS}/; make one with: ofa-mcu search --board ID")
    return Run(reports[-1].parent)

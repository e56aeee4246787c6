"""Run folders: what a verb leaves for the next one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.files import write_bytes, write_json

__all__ = ["RUNS", "Run", "find_run", "new_run"]

RUNS = Path("runs")
_REPORT = "report.json"


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
            value: dict[str, Any] = json.loads(path.read_text())
            return value
        except FileNotFoundError as error:
            step = {"build.json": "build", "bench.json": "bench"}.get(name, "search")
            raise OfaMcuError(f"{path} is missing; run first: ofa-mcu {step} --run {self.folder}") from error
        except ValueError as error:
            raise OfaMcuError(f"{path} is damaged ({error}); run the verb that wrote it again") from error

    def report(self) -> dict[str, Any]:
        """The search's result."""
        return self.read(_REPORT)

    def forget(self) -> None:
        """Remove what an earlier search and the verbs after it left, so that nothing stale lies beside a new result."""
        for name in (_REPORT, "build.json", "bench.json", "crosscheck.json", "crosscheck.tflite", "crosscheck.log"):
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
        except FileNotFoundError as error:
            raise OfaMcuError(f"{self.model_path} is missing; run first: ofa-mcu search") from error


def new_run(stem: str, out: Path | None = None) -> Run:
    """The run in `out`, or a fresh folder `runs/<stem>-<number>`; it is created when something is written."""
    if out is not None:
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is no folder; choose another --out")
        if out.exists() and any(out.iterdir()) and not (out / _REPORT).exists():
            raise UsageError(f"{out} exists and holds no run; choose another --out or empty it")
        return Run(out)
    taken = {path.name for path in RUNS.glob(f"{stem}-*")} if RUNS.is_dir() else set()
    number = 1
    while f"{stem}-{number}" in taken:
        number += 1
    return Run(RUNS / f"{stem}-{number}")


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

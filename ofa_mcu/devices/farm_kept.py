"""What an earlier measurement left of a run, where it is as good as a new one."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any

from ofa_mcu.devices.board_job import BoardJob
from ofa_mcu.devices.project import IMAGE
from ofa_mcu.devices.trial import fault_of
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.results import read_results, results_file
from ofa_mcu.runs import Run

__all__ = ["failed_last", "kept_bench"]

_FIELDS: Mapping[str, type | UnionType] = {
    "board": str,
    "runtime": str,
    "transport": str,
    "model_crc32": int,
    "images": int,
    "accuracy": int | float,
    "bytes_compared": int,
    "differing_bytes": int,
    "stack_used": int,
    "stack_reserved": int,
    "instructions": int | None,
    "milliseconds": int | float | None,
    "sram_linked": int | None,
    "flash_linked": int | None,
    "image_crc32": int | None,
}
"""Of `bench.json`: what is asked here, and what a table shows of it."""
_ABSENT = object()


def kept_bench(job: BoardJob, board: str) -> dict[str, Any] | None:
    """The run's `bench.json`, if it is of this very measurement and passes as a new one has to (`fault_of`).

    None where there is none, it is damaged, or anything of it is otherwise: a model that was changed since, fewer
    images than now (of those that the test set has), or, where the board is to be flashed, another firmware.
    """
    run = Run(job.run)
    try:
        kept, report, crc = run.read("bench.json"), run.report(), zlib.crc32(run.model())
    except OfaMcuError:
        return None
    if not all(isinstance(kept.get(name, _ABSENT), kind) for name, kind in _FIELDS.items()):
        return None
    there, pick = report.get("test_images"), report.get("pick")
    same = (
        kept["board"] == board
        and kept["runtime"] == "compiled"
        and kept["transport"] == ("emulator" if job.emulated else "serial")
        and isinstance(pick, dict)
        and crc == kept["model_crc32"] == pick.get("model_crc32")
        and kept["images"] >= (min(job.images, there) if isinstance(there, int) else job.images)
        and (not job.flash or kept["image_crc32"] == _image_crc32(run.project_path))
    )
    told = kept["instructions"] is not None or kept["milliseconds"] is not None
    return kept if same and told and fault_of(kept) is None else None


def _image_crc32(project: Path) -> int | object:
    """Of the sources in a project's folder, as the firmware that is built of them tells it."""
    try:
        found = re.search(r"OFA_IMAGE_CRC32 0x([0-9A-F]{8})u", (project / IMAGE).read_text())
    except (OSError, ValueError):
        return _ABSENT
    return int(found[1], 16) if found else _ABSENT


def failed_last() -> set[Path]:
    """Folders of the runs of which the file of results has a failure, and no measurement after it.

    Raises:
        OfaMcuError: the file is there, but damaged or of a later release.
    """
    if not results_file().is_file():
        return set()
    measured = {_folder(row): row["at"] for row in read_results("measurements", {"runtime": "compiled"})}
    failed = {_folder(row): row["at"] for row in read_results("failures")}
    return {folder for folder, at in failed.items() if at >= measured.get(folder, "")}


def _folder(row: Mapping[str, Any]) -> Path:
    return Path(row["run"] or "").resolve()

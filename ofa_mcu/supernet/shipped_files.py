"""The supernets that come with the package: one folder per task, with the log and command they came from.

A folder holds `supernet.npz` (half precision), `predictor.json`, `config.json`, `log.jsonl`, `README.md`.
"""

from __future__ import annotations

from pathlib import Path

from ofa_mcu.errors import UsageError

__all__ = ["PREDICTOR_FILE", "SUPERNET_FILE", "supernet_folder"]

SUPERNET_FILE = "supernet.npz"
PREDICTOR_FILE = "predictor.json"


def supernet_folder(task: str, chosen: Path | None = None) -> Path:
    """The folder of a supernet: `chosen` (a folder, or the supernet file in it), else the shipped one of the task.

    Raises:
        UsageError: neither is there.
    """
    if chosen is not None:
        folder = chosen if chosen.is_dir() else chosen.parent
        if not (folder / SUPERNET_FILE).is_file():
            raise UsageError(
                f"{chosen} holds no {SUPERNET_FILE}; train one with: ofa-mcu train --task {task} --out {chosen}"
            )
        return folder
    folder = Path(__file__).parent / "shipped" / task
    if not (folder / SUPERNET_FILE).is_file():
        raise UsageError(f"no supernet for task '{task}' comes with this package; name one with --supernet FOLDER")
    return folder

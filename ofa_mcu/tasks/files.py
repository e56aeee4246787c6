"""Where a task's data lies, and what was made of it the last time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import UsageError

__all__ = ["cache_folder", "cached", "folder_of"]

Arrays = dict[str, NDArray[np.uint8]]

_KEPT = 4  # files per task


def cache_folder(task: str) -> Path:
    """Where files of a task may be kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "ofa-mcu" / task


def folder_of(task: str, data_dir: Path | None, usual: str | None = None) -> Path:
    """The data's folder: the named one, else the one called `usual` under $OFA_MCU_DATA.

    Raises:
        UsageError: there is none.
    """
    base = os.environ.get("OFA_MCU_DATA", "")
    if data_dir is None and usual is not None and base and (Path(base) / usual).is_dir():
        return Path(base) / usual
    if data_dir is None:
        raise UsageError(f"task '{task}' needs its data: name the folder with --data-dir")
    if not data_dir.is_dir():
        raise UsageError(f"--data-dir {data_dir} is no folder; name the one that holds the data of task '{task}'")
    return data_dir


def cached(
    task: str, key: str, make: Callable[[], Arrays], lengths: Mapping[str, int] = MappingProxyType({})
) -> Arrays:
    """What `make` gives, from the file of an earlier run where there is one under this key.

    Decoding takes a hundred times as long as reading. Only the newest few files of a task are kept; where nothing can
    be written, nothing is. A file that cannot be read, whatever is wrong with it, is made anew, and so is one whose
    arrays are not of the `lengths` that some are known to have.
    """
    path = cache_folder(task) / f"{key}.npz"
    with suppress(Exception), np.load(path) as stored:
        found = dict(stored)
        if all(len(found[name]) == length for name, length in lengths.items()):
            return found
    arrays = make()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            try:
                np.savez(file, allow_pickle=False, **arrays)
                Path(file.name).replace(path)
            finally:
                Path(file.name).unlink(missing_ok=True)
        for old in sorted(path.parent.glob("*.npz"), key=lambda p: p.stat().st_mtime)[:-_KEPT]:
            old.unlink(missing_ok=True)
    return arrays

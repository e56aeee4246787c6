"""Files that appear whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from ofa_mcu.errors import UsageError

__all__ = ["check_file", "check_folder", "write_bytes", "write_json", "write_text"]


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically: a reader sees the old content or the new, never a part.

    Errors name `path`, whichever file the system refused.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def check_file(path: Path, option: str) -> None:
    """Raise UsageError where no file can be written there; asked before long work."""
    if path.is_dir():
        raise UsageError(f"{option} {path} is a folder; name a file")
    _check_writable(path.parent, path, option)


def check_folder(path: Path, option: str) -> None:
    """Raise UsageError where no files can be written into such a folder, there already or not."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"{option} {path} is a file; name a folder")
    _check_writable(path, path, option)


def _check_writable(folder: Path, path: Path, option: str) -> None:
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UsageError(f"{option} {path} cannot be written ({error.strerror} in {there}); name another") from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")

"""What a training run leaves in its folder: configuration, checkpoint, log; and the lock on it."""

from __future__ import annotations

import fcntl
import io
import json
import pickle
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ofa_mcu import __version__
from ofa_mcu.errors import OfaMcuError, UsageError
from ofa_mcu.files import write_bytes, write_json, write_text

__all__ = ["CHECKPOINT_FILE", "check_configuration", "locked", "read_checkpoint", "write_checkpoint", "write_log"]

CHECKPOINT_FILE = "checkpoint.pt"


def write_checkpoint(folder: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values atomically."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_bytes(folder / CHECKPOINT_FILE, buffer.getvalue())


def read_checkpoint(path: Path, data: bytes, device: torch.device) -> dict[str, Any]:
    """The content of a checkpoint; `path` is named where it is none.

    Raises:
        OfaMcuError: `data` is damaged, or no checkpoint.
    """
    try:
        saved: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True, map_location=device)
        return saved
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OfaMcuError(f"{path} is no checkpoint, or is damaged ({reason}); use another --out") from error


def write_log(folder: Path, log: list[dict[str, Any]]) -> None:
    """A line an epoch, as JSON."""
    write_text(folder / "log.jsonl", "".join(json.dumps(line) + "\n" for line in log))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps two runs out of one folder; the lock goes with the process."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OfaMcuError(
                f"another training run is writing to {folder}; wait for it or use another --out"
            ) from error
        yield


def check_configuration(folder: Path, configuration: dict[str, Any], machine: dict[str, Any], done: bool) -> None:
    """Write the resolved configuration, or make sure that the folder's run was started with the same one.

    Args:
        folder: of the run.
        configuration: what is trained, and how.
        machine: threads, processes and device. Sums are split by them, so results depend on them.
        done: nothing is left to compute; another machine does no harm.
    """
    path = folder / "config.json"
    if not path.exists():
        versions = {"ofa_mcu": __version__, "torch": torch.__version__, "python": platform.python_version()}
        write_json(path, {**configuration, **machine, "versions": versions})
        return
    try:
        known = dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise OfaMcuError(f"{path} is damaged ({error}); use another --out") from error
    wanted = configuration if done else {**configuration, **machine}
    for key in wanted:
        if known.get(key) == wanted[key]:
            continue
        ours, theirs = wanted[key], known.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            theirs = {name: theirs.get(name) for name in ours if theirs.get(name) != ours[name]}
        raise UsageError(
            f"{folder} holds a run with another {key} ({json.dumps(theirs)}); "
            "use the same options to resume it or another --out"
        )

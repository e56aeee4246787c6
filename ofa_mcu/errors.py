"""The exception tree: every error a user can cause is an `OfaMcuError` with one sentence and an exit code.

`code` is what an error is called in JSON.
"""

from __future__ import annotations

import errno
import os
import shutil

__all__ = [
    "BusyError",
    "DeviceError",
    "InfeasibleError",
    "MismatchError",
    "OfaMcuError",
    "RegressionError",
    "UsageError",
    "refusal",
]


class OfaMcuError(Exception):
    """Something went wrong that a user can mend; the message says what happened, where, and what to do."""

    exit_code = 1
    code = "error"


class BusyError(OfaMcuError):
    """Another process works with the same run; nothing is wrong with the run itself."""


class UsageError(OfaMcuError):
    """The request itself is off: an unknown name, a contradictory option, a missing basis for a figure."""

    exit_code = 2
    code = "usage"


class InfeasibleError(OfaMcuError):
    """Nothing fits the constraints; `details` names the binding one and the nearest fit (JSON-ready)."""

    exit_code = 3
    code = "infeasible"

    def __init__(self, message: str, details: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.details = details or {}


class DeviceError(OfaMcuError):
    """A board or an emulator is missing, silent, garbling or gone."""

    exit_code = 4
    code = "device"


class MismatchError(OfaMcuError):
    """Two computations that must give equal bytes gave different ones."""

    exit_code = 5
    code = "mismatch"


class RegressionError(OfaMcuError):
    """A figure is worse than its baseline."""

    exit_code = 6
    code = "regression"


def refusal(error: OSError) -> str:
    """What the system did not allow, as one sentence."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        # of a copied folder: (source, target, what the system said) for every file
        _, place, why = error.args[0][0]
        full = os.strerror(errno.ENOSPC) in why
    else:
        place, why, full = error.filename, error.strerror or error, error.errno == errno.ENOSPC
    where = f" {place}" if place else ""
    if full:
        return f"no space is left for{where or ' what is to be written'}; make room on that disk"
    return f"the system refused{where}: {why}; check path and rights"

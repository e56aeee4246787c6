"""The exception tree: every error a user can cause is an `OfaMcuError` with one sentence and an exit code.

`code` is what an error is called in JSON.
"""

from __future__ import annotations

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
    where = f" {error.filename}" if error.filename else ""
    return f"the system refused{where}: {error.strerror or error}; check path and rights"

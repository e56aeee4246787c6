"""The exception tree: every error a user can cause is an `OfaMcuError` with one sentence and an exit code."""

from __future__ import annotations

__all__ = [
    "DeviceError",
    "InfeasibleError",
    "MismatchError",
    "OfaMcuError",
    "RegressionError",
    "UsageError",
]


class OfaMcuError(Exception):
    """Something went wrong that a user can mend; the message says what happened, where, and what to do."""

    exit_code = 1


class UsageError(OfaMcuError):
    """The request itself is off: an unknown name, a contradictory option, a missing basis for a figure."""

    exit_code = 2


class InfeasibleError(OfaMcuError):
    """Nothing fits the constraints; `details` names the binding one and the nearest fit (JSON-ready)."""

    exit_code = 3

    def __init__(self, message: str, details: dict[str, object] | None = None) -> None:
        super().__init__(message)
        self.details = details or {}


class DeviceError(OfaMcuError):
    """A board or an emulator is missing, silent, garbling or gone."""

    exit_code = 4


class MismatchError(OfaMcuError):
    """Two computations that must give equal bytes gave different ones."""

    exit_code = 5


class RegressionError(OfaMcuError):
    """A figure is worse than its baseline."""

    exit_code = 6

"""The command line, run in this process."""

from __future__ import annotations

from pathlib import Path

from ofa_mcu.cli import main

__all__ = ["run"]


def run(*arguments: str | Path) -> int:
    """The exit code."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0

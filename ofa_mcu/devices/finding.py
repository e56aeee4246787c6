"""What the doctor says of one thing, and how it asks tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

__all__ = ["Finding", "said", "tool_version"]

TOOL_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Finding:
    """One thing looked for: `version` (or place) where it is there, else `remedy`, a command or a step.

    A thing that is not `required` is missed only by what `purpose` names.
    """

    name: str
    purpose: str
    version: str | None
    remedy: str
    required: bool = True

    @property
    def found(self) -> bool:
        """Whether it is there."""
        return self.version is not None


def tool_version(*command: str) -> str | None:
    """The first thing like a version that a tool prints."""
    found = re.search(r"\d+(?:\.\d+)+", said(*command) or "")
    return found[0] if found else None


def said(*command: str) -> str | None:
    """What a tool prints; None where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None

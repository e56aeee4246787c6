"""Where the files that are no Python lie: in a wheel inside the package, in a checkout beside it."""

from __future__ import annotations

from pathlib import Path

from ofa_mcu.errors import OfaMcuError

__all__ = ["resource"]

PACKAGE = Path(__file__).resolve().parent


def resource(name: str) -> Path:
    """Folder or file `name` ("boards", "firmware"); OfaMcuError where the installation lacks it."""
    for candidate in (PACKAGE / "_data" / name, PACKAGE.parent / name):
        if candidate.exists():
            return candidate
    raise OfaMcuError(f"This installation of ofa_mcu lacks {name!r} (looked in {PACKAGE}); install it again.")

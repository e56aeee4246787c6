"""Whether somebody changed a generated project since it was written: a manifest of its files' SHA-256 inside it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

__all__ = ["MANIFEST", "edited", "free_name", "write_manifest"]

MANIFEST = ".ofa-mcu.json"
SCHEMA = 1
BUILT = frozenset({".pio", "__pycache__"})
"""Folders that PlatformIO and Python fill."""


def write_manifest(folder: Path) -> None:
    """Writes the manifest of the files that lie in `folder` now."""
    text = json.dumps({"schema": SCHEMA, "sha256": digests(folder)}, indent=1) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def edited(folder: Path) -> bool:
    """Whether a file was changed, added or removed since the manifest was written; True where there is none."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return not isinstance(manifest, dict) or manifest.get("sha256") != digests(folder)


def free_name(folder: Path) -> Path:
    """The first `<folder>-edited-<n>` that does not exist, from n = 1."""
    number = 1
    while os.path.lexists(place := folder.with_name(f"{folder.name}-edited-{number}")):
        number += 1
    return place


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path, sorted; without the manifest and what a build leaves."""
    found = {}
    for root, folders, files in os.walk(folder):
        links = [name for name in folders if Path(root, name).is_symlink()]
        folders[:] = [name for name in folders if name not in BUILT]
        for path in (Path(root, name) for name in (*files, *links)):
            name = path.relative_to(folder).as_posix()
            if name != MANIFEST:
                found[name] = digest(path)
    return dict(sorted(found.items()))


def digest(path: Path) -> str:
    """SHA-256 of a file's content; what no generated file has for a link and for a file that cannot be read."""
    if path.is_symlink() or not path.is_file():
        return "no regular file"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unreadable"

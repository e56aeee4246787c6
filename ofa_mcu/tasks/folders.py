"""Folders of class folders: which files belong to which class and part, how classes weigh, and what was left out."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ofa_mcu.errors import OfaMcuError

__all__ = [
    "SMALLEST_CLASS",
    "ClassFiles",
    "Skipped",
    "class_weights",
    "named_below",
    "parts_of",
    "printable",
    "scan",
    "tell_once",
]

SMALLEST_CLASS = 3
"""Examples a class needs to be in all parts."""
_HELD = 0.15  # of each of validation and test
_EVEN = 1.25  # classes whose sizes differ by less weigh alike
_SHOWN = 3
_PART_NAMES = {"train": 0, "training": 0, "val": 1, "valid": 1, "validation": 1, "test": 2, "testing": 2}


def printable(name: object) -> str:
    """A name as it can be printed on any terminal."""
    encoding = sys.stderr.encoding or "utf-8"
    return str(name).encode(encoding, "backslashreplace").decode(encoding)


@cache
def tell_once(text: str) -> None:
    """A line on stderr: one for each process, however often the same data are read."""
    print(text, file=sys.stderr)


def named_below(path: Path, root: Path) -> str:
    """The path below a root with forward slashes: the same on every machine."""
    return os.fspath(path.relative_to(root)).replace(os.sep, "/")


@dataclass
class Skipped:
    """What was left out, by reason; `what` says of what kind it is, in the plural."""

    what: str
    by_reason: dict[str, list[str]] = field(default_factory=dict)

    def add(self, name: str, reason: str) -> None:
        """Remember one."""
        self.by_reason.setdefault(reason, []).append(name)

    @property
    def count(self) -> int:
        """How many were left out."""
        return sum(map(len, self.by_reason.values()))

    def summary(self, of: int, where: Path) -> str:
        """One line: how many of how many were left out, why, and the first names."""
        parts = []
        for reason, names in sorted(self.by_reason.items(), key=lambda item: -len(item[1])):
            shown = ", ".join(map(printable, names[:_SHOWN])) + (", ..." if len(names) > _SHOWN else "")
            parts.append(f"{len(names)} {reason} ({shown})")
        return f"{printable(where)}: skipped {self.count} of {of} {self.what}: {'; '.join(parts)}"

    def tell(self, of: int, where: Path) -> None:
        """The summary on stderr, where there is something to tell."""
        if self.count:
            tell_once(self.summary(of, where))


@dataclass(frozen=True)
class ClassFiles:
    """Files of every class, by label, and the part (0 train, 1 validation, 2 test) that its folder gives a file.

    Parts are None where the folders do not say.
    """

    files: Mapping[str, tuple[Path, ...]]
    parts: Mapping[Path, int] | None


def scan(root: Path, suffixes: Collection[str], what: str) -> ClassFiles:
    """Files of each class: `root/<class>/**`, or `root/train/<class>/**` and beside it val and test.

    A class with fewer than three files, which cannot be in all parts, is left out and named on stderr; so are files of
    other kinds, counted.

    Args:
        root: the folder.
        suffixes: endings of names, in lower case, of the files wanted.
        what: these files in words, in the plural.

    Raises:
        OfaMcuError: the folder cannot be read, or fewer than two classes remain.
    """
    try:
        folders = [path for path in sorted(root.iterdir()) if path.is_dir()]
        given = {path: _PART_NAMES[path.name.lower()] for path in folders if path.name.lower() in _PART_NAMES}
        files: dict[str, list[Path]] = {}
        parts: dict[Path, int] = {}
        skipped = Skipped("files")
        if 0 in given.values() and len(given) > 1:
            for base, part in given.items():
                for label, found in _class_folders(base, suffixes, skipped, root).items():
                    files.setdefault(label, []).extend(found)
                    parts |= dict.fromkeys(found, part)
        else:
            files = _class_folders(root, suffixes, skipped, root)
    except OSError as error:
        raise OfaMcuError(f"{printable(root)} cannot be read ({error.strerror}); make it readable") from error
    small = {label: found for label, found in files.items() if len(found) < SMALLEST_CLASS}
    kept = {label: tuple(found) for label, found in sorted(files.items()) if label not in small}
    need = f"a class needs {SMALLEST_CLASS} {what}, one for each of training, validation and test"
    named = ", ".join(printable(f"{label} ({len(found)})") for label, found in small.items())
    if len(kept) < 2:
        why = f"has too few {what} in {named}: {need}" if small else f"has no folders of {what}"
        raise OfaMcuError(
            f"{printable(root)} {why}; put the {what} ({', '.join(sorted(suffixes))}) of each of two or more classes "
            "into a folder of its own and name the folder of these with --data-dir"
        )
    skipped.tell(skipped.count + sum(map(len, files.values())), root)
    if small:
        tell_once(f"{printable(root)}: classes left out: {named}; {need}")
    return ClassFiles(kept, parts or None)


def _class_folders(base: Path, suffixes: Collection[str], skipped: Skipped, root: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for folder in sorted(base.iterdir()):
        if not folder.is_dir() or folder.name[0] in "._":
            continue
        inside = sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] not in "._")
        found[folder.name] = [path for path in inside if path.suffix.lower() in suffixes]
        for path in inside:
            if path.suffix.lower() not in suffixes:
                skipped.add(named_below(path, root), f"ending in {path.suffix or 'nothing'}")
    return found


def parts_of(names: Sequence[str], given: Sequence[int] | None = None) -> NDArray[np.int64]:
    """Part (0 train, 1 validation, 2 test) of every example of one class: 70, 15 and 15 %, by hashes of the names.

    Parts that are given stay, and those that nothing was given for are taken from the training part: a validation
    part from all that train, a test part as large.
    """
    parts = np.zeros(len(names), np.int64) if given is None else np.array(given, np.int64)
    order = sorted(range(len(names)), key=lambda i: hashlib.sha1(names[i].encode("utf-8", "surrogateescape")).digest())
    for part in (2, 1):
        if not (parts == part).any():
            free = [i for i in order if parts[i] == 0]
            parts[free[: max(1, round(_HELD * len(names)))]] = part
    return parts


def class_weights(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32] | None:
    """Weights that give every class the same share of the loss, of mean 1 over the examples; None if it has it anyway.

    Raises:
        ValueError: a class has no example.
    """
    counts = np.bincount(labels, minlength=classes)
    if not counts.min():
        raise ValueError(f"class {int(counts.argmin())} has no example")
    if counts.max() <= _EVEN * counts.min():
        return None
    return (len(labels) / (classes * counts)).astype(np.float32)

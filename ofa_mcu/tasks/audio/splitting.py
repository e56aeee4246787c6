"""Train, validation and test parts of sound files in class folders: by speaker where all names tell who speaks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from ofa_mcu.tasks.audio.recordings import speaker_of
from ofa_mcu.tasks.folders import parts_of

__all__ = ["split_files"]

_HELD = 0.15  # of each of validation and test


def split_files(
    classes: Mapping[str, Sequence[str]], given: Mapping[str, int] | None = None
) -> tuple[dict[str, int], str]:
    """Part (0 train, 1 validation, 2 test) of every file name, and how they were split: folder, speaker or file.

    About 70, 15 and 15 %, a function of the names alone. Parts that folders give stay. Else, where all names have a
    speaker, no speaker is in two parts, unless some class would then miss a part. Each class needs three files or more.
    """
    names = [name for files in classes.values() for name in files]
    speakers = {name: speaker_of(name) for name in names}
    if given is None and all(speakers.values()):
        parts = _by_speaker(names, {name: str(speaker) for name, speaker in speakers.items()})
        if all({parts[name] for name in files} == {0, 1, 2} for files in classes.values()):
            return parts, "speaker"
    found: dict[str, int] = {}
    for files in classes.values():
        known = None if given is None else [given[name] for name in files]
        found |= dict(zip(files, parts_of(files, known).tolist(), strict=True))
    return found, "file" if given is None else "folder"


def _by_speaker(names: Sequence[str], speakers: Mapping[str, str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[speakers[name]] = counts.get(speakers[name], 0) + 1
    part_of: dict[str, int] = {}
    done = 0
    for speaker in sorted(counts, key=lambda text: hashlib.sha1(text.encode()).digest()):
        share = done / len(names)
        part_of[speaker] = 2 if share < _HELD else 1 if share < 2 * _HELD else 0
        done += counts[speaker]
    return {name: part_of[speakers[name]] for name in names}

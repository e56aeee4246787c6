"""Train, validation and test parts of files in class folders: stratified, by speaker where names tell who speaks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from ofa_mcu.tasks.audio.recordings import speaker_of

__all__ = ["SMALLEST_CLASS", "split_files"]

SMALLEST_CLASS = 3
"""Files a class needs to be in all parts."""
_HELD = 0.15  # of each of validation and test


def split_files(classes: Mapping[str, Sequence[str]]) -> tuple[dict[str, int], str]:
    """Part (0 train, 1 validation, 2 test) of every file name, and how they were split: "speaker" or "file".

    About 70, 15 and 15 %, a function of the names alone. Where all names have a speaker, no speaker is in two parts,
    unless some class would then miss a part. Each class needs three files or more.
    """
    names = [name for files in classes.values() for name in files]
    speakers = {name: speaker_of(name) for name in names}
    if all(speakers.values()):
        parts = _by_speaker(names, {name: str(speaker) for name, speaker in speakers.items()})
        if all({parts[name] for name in files} == {0, 1, 2} for files in classes.values()):
            return parts, "speaker"
    return {name: part for files in classes.values() for name, part in _by_file(files).items()}, "file"


def _order(text: str) -> str:
    return hashlib.sha1(f"ofa-mcu:{text}".encode("utf-8", "surrogateescape")).hexdigest()


def _by_file(files: Sequence[str]) -> dict[str, int]:
    held = max(1, round(_HELD * len(files)))
    ordered = sorted(files, key=_order)
    return {name: 2 if i < held else 1 if i < 2 * held else 0 for i, name in enumerate(ordered)}


def _by_speaker(names: Sequence[str], speakers: Mapping[str, str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[speakers[name]] = counts.get(speakers[name], 0) + 1
    part_of: dict[str, int] = {}
    done = 0
    for speaker in sorted(counts, key=_order):
        share = done / len(names)
        part_of[speaker] = 2 if share < _HELD else 1 if share < 2 * _HELD else 0
        done += counts[speaker]
    return {name: part_of[speakers[name]] for name in names}

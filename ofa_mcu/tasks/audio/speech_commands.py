"""Speech Commands (Warden 2018, arXiv 1804.03209): its folders, and packed subsets of it with an index of their own."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

from ofa_mcu.errors import OfaMcuError
from ofa_mcu.tasks.audio.recordings import Recordings, official_part
from ofa_mcu.tasks.audio.sounds import SUFFIXES, WHAT, Sound, UnusableSound, fitted, read_sound
from ofa_mcu.tasks.folders import Skipped, named_below, printable

__all__ = ["NOISE_FOLDER", "has_noise", "is_packed", "read_folders", "read_noises", "read_packed", "word_folders"]

NOISE_FOLDER = "_background_noise_"
_SAMPLES = 16_000
_PACK = "kws_gsc1_en_{}.tar"
_NOISE_PACK = "kws_noise.tar"
_SPLITS = {"train": 0, "val": 1, "test": 2}


def is_packed(folder: Path) -> bool:
    """Whether the folder holds the packed subset."""
    return (folder / _PACK.format("core")).is_file()


def read_packed(folder: Path, *, extra: bool = True, noise: bool = True) -> Recordings:
    """The packed subset (its `core`, with `extra` the rest, too); noise from kws_noise inside or beside the folder.

    Raises:
        OfaMcuError: an archive is missing, cut short, or not what its index says.
    """
    sounds: list[Sound] = []
    words: list[str] = []
    parts: list[int] = []
    names = ["core", *(["extra"] if extra and (folder / _PACK.format("extra")).is_file() else [])]
    for name in names:
        rows, files = _archive(folder / _PACK.format(name))
        for row in rows:
            try:
                sounds.append(fitted(read_sound(files[row["file"]]), _SAMPLES, centred=False))
                words.append(row["label"])
                parts.append(_SPLITS[row["split"]])
            except (KeyError, UnusableSound) as error:
                where = f"{folder / _PACK.format(name)}: {row.get('file')}"
                raise OfaMcuError(f"{where} is missing or unreadable ({error}); copy it again") from error
    noises = read_noises(folder) if noise else ()
    return Recordings(_stacked(sounds), tuple(words), np.array(parts, np.int64), noises)


def _archive(path: Path) -> tuple[list[dict[str, str]], dict[str, bytes]]:
    """Rows of the archive's index.csv, and all its files."""
    try:
        with tarfile.open(path) as archive:
            files = {}
            for member in archive:
                stream = archive.extractfile(member)
                if stream is not None:
                    files[member.name.removeprefix("./")] = stream.read()
        return list(csv.DictReader(io.StringIO(files["index.csv"].decode()))), files
    except (OSError, tarfile.TarError, KeyError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0].rstrip(":")
        raise OfaMcuError(f"{path} is no archive of sounds with an index.csv ({reason}); copy it again") from error


def read_noises(folder: Path) -> tuple[Sound, ...]:
    """Recordings of background noise: `_background_noise_`, or kws_noise inside the folder or beside it; () if none."""
    noise_folder = folder / NOISE_FOLDER
    if noise_folder.is_dir():
        skipped, found, files = Skipped(WHAT), [], _sound_files(noise_folder)
        for path in files:
            try:
                found.append(read_sound(path))
            except UnusableSound as error:
                skipped.add(named_below(path, folder), str(error))
        skipped.tell(len(files), noise_folder)
        return tuple(noise for noise in found if len(noise) >= 2 * _SAMPLES)
    pack = _noise_pack(folder)
    if pack is None:
        return ()
    rows, files_of = _archive(pack)
    try:
        return tuple(read_sound(files_of[row["file"]]) for row in rows)
    except (KeyError, UnusableSound) as error:
        raise OfaMcuError(f"{pack}: a recording is missing or unreadable ({error}); copy it again") from error


def has_noise(folder: Path) -> bool:
    """Whether there is background noise for the folder."""
    noise_folder = folder / NOISE_FOLDER
    return (noise_folder.is_dir() and bool(_sound_files(noise_folder))) or _noise_pack(folder) is not None


def _noise_pack(folder: Path) -> Path | None:
    places = (folder, folder / "kws_noise", folder.absolute().parent / "kws_noise")
    return next((place / _NOISE_PACK for place in places if (place / _NOISE_PACK).is_file()), None)


def word_folders(root: Path) -> dict[str, list[Path]]:
    """Sound files by word; folders that begin with `_` or `.` are no words."""
    found = {}
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith(("_", ".")):
            files = _sound_files(folder)
            if files:
                found[folder.name] = files
    return found


def read_folders(root: Path, wanted: Collection[str], unknown_share: float = 1.0) -> Recordings:
    """Folders of words, split by validation_list.txt and testing_list.txt or, without them, by the official rule.

    All clips of the `wanted` words are read; of the other words together, in each part, `unknown_share` as many as an
    average wanted word has there, spread evenly over these words and their speakers.

    Raises:
        OfaMcuError: nothing can be read.
    """
    listed = _listed(root)
    chosen: list[tuple[Path, str, int]] = []
    others: list[list[list[Path]]] = [[], [], []]
    for word, files in word_folders(root).items():
        by_part: list[list[Path]] = [[], [], []]
        for path in files:
            by_part[_part_of(named_below(path, root), listed)].append(path)
        if word in wanted:
            chosen += [(path, word, part) for part in range(3) for path in by_part[part]]
        else:
            for part in range(3):
                others[part].append(by_part[part])
    for part, lists in enumerate(others):
        known = sum(1 for item in chosen if item[2] == part)
        room = round(unknown_share * known / max(len(wanted), 1))
        chosen += [(path, path.parent.name, part) for path in _evenly(lists, room)]
    return _read(chosen, root)


def _read(chosen: list[tuple[Path, str, int]], root: Path) -> Recordings:
    sounds: list[Sound] = []
    words: list[str] = []
    parts: list[int] = []
    skipped = Skipped(WHAT)
    for path, word, part in chosen:
        try:
            sounds.append(fitted(read_sound(path), _SAMPLES, centred=False))
        except UnusableSound as error:
            skipped.add(named_below(path, root), str(error))
            continue
        words.append(word)
        parts.append(part)
    skipped.tell(len(chosen), root)
    if not sounds:
        raise OfaMcuError(
            f"{printable(root)} holds no readable sound; --data-dir names the folder that holds the folders of words"
        )
    return Recordings(_stacked(sounds), tuple(words), np.array(parts, np.int64), read_noises(root))


def _listed(root: Path) -> dict[str, int] | None:
    """Parts of the files in the official lists; None where a list is missing."""
    parts: dict[str, int] = {}
    for name, part in (("validation_list.txt", 1), ("testing_list.txt", 2)):
        path = root / name
        if not path.is_file():
            return None
        try:
            parts.update((line.strip(), part) for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
        except (OSError, UnicodeDecodeError) as error:
            raise OfaMcuError(f"{path} cannot be read ({error}); copy it again, or remove both lists") from error
    return parts


def _part_of(name: str, listed: dict[str, int] | None) -> int:
    return official_part(name) if listed is None else listed.get(name, 0)


def _evenly(lists: list[list[Path]], room: int) -> list[Path]:
    """At most `room` paths, in turns from each list, each list in the order of a fixed shuffle."""
    rng = np.random.default_rng(0)
    shuffled = [[paths[i] for i in rng.permutation(len(paths))] for paths in lists]
    rounds = max((len(paths) for paths in shuffled), default=0)
    turns = [paths[i] for i in range(rounds) for paths in shuffled if i < len(paths)]
    return turns[:room]


def _sound_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def _stacked(sounds: list[Sound]) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    return np.stack(sounds).astype(np.int16, copy=False)

"""Finding profiles: the boards that come with the package, and a user's own.

A user's folders are named in `OFA_MCU_BOARDS` (separated like PATH); a profile there wins over one of the same id
that comes with the package.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from ofa_mcu.errors import UsageError
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.profiles.reading import read_profile
from ofa_mcu.resources import resource

__all__ = [
    "BOARDS_VARIABLE",
    "all_profiles",
    "board_ids",
    "load_profile",
    "named_file",
    "profile_path",
    "sound_profiles",
]

BOARDS_VARIABLE = "OFA_MCU_BOARDS"


def board_folders() -> list[Path]:
    """Folders of profiles, the winning ones first; UsageError where a folder of the user's does not exist."""
    own = [Path(name).expanduser() for name in os.environ.get(BOARDS_VARIABLE, "").split(os.pathsep) if name]
    for folder in own:
        if not folder.is_dir():
            raise UsageError(f"{BOARDS_VARIABLE} names {folder}, which is no folder; correct or unset it.")
    return [*own, resource("boards")]


def profile_files() -> dict[str, Path]:
    """Board id -> its file, in the order of the ids."""
    files: dict[str, Path] = {}
    for folder in reversed(board_folders()):
        files |= {path.stem: path for path in folder.glob("*.toml")}
    return dict(sorted(files.items()))


def board_ids() -> tuple[str, ...]:
    """Ids of all boards, sorted; reads no profile."""
    return tuple(profile_files())


def profile_path(id_or_path: str | Path) -> Path | None:
    """The user's file with the board: the one named, or one of that id below OFA_MCU_BOARDS; else None."""
    named = named_file(id_or_path)
    if named is not None:
        return named
    found = profile_files().get(str(id_or_path))
    return None if found is None or found.parent == resource("boards") else found


def named_file(id_or_path: str | Path) -> Path | None:
    """The profile's file where a board is named by it; None for an id."""
    return Path(id_or_path).expanduser() if names_file(id_or_path) else None


def names_file(id_or_path: str | Path) -> bool:
    """Whether a board is named by its file, with a folder in the name or `.toml` behind it, and not by its id."""
    name = str(id_or_path)
    return isinstance(id_or_path, Path) or name.endswith(".toml") or Path(name).name != name


def all_profiles() -> tuple[BoardProfile, ...]:
    """Every board's profile, sorted by id; UsageError naming the file where one is broken."""
    return tuple(read_profile(path) for path in profile_files().values())


def sound_profiles() -> tuple[tuple[BoardProfile, ...], dict[Path, UsageError]]:
    """The profiles that break no rule, sorted by id, and for each of the other files what is wrong with it."""
    sound: list[BoardProfile] = []
    broken: dict[Path, UsageError] = {}
    for path in profile_files().values():
        try:
            sound.append(read_profile(path))
        except UsageError as error:
            broken[path] = error
    return tuple(sound), broken


def load_profile(id_or_path: str | Path) -> BoardProfile:
    """The board of that id, or in that file (a name with a folder in it or ending in `.toml`).

    UsageError for an unknown board, with the nearest ids, and for a profile that breaks a rule.
    """
    name = str(id_or_path)
    named = named_file(id_or_path)
    if named is not None:
        return read_profile(named)
    files = profile_files()
    if name in files:
        return read_profile(files[name])
    near = difflib.get_close_matches(name.lower(), files, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known boards are {', '.join(files)}."
    raise UsageError(f"There is no board {name!r}; {hint}")

"""Where latency tables lie, and whether one holds for a board and for the kernels of this release.

A board's table is `<id>.latency.json` in the first folder of OFA_MCU_BOARDS, else in `runs/boards`. What an emulator
counted is `<id>.instructions.json`, so that nobody finds it in the place of time.
"""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

from ofa_mcu.errors import UsageError
from ofa_mcu.planning.core_model import DATA, core_of
from ofa_mcu.planning.latency import LatencyTable, Unit, read_latency
from ofa_mcu.profiles.catalogue import BOARDS_VARIABLE
from ofa_mcu.profiles.profile import BoardProfile
from ofa_mcu.resources import resource
from ofa_mcu.runs import RUNS

__all__ = ["default_path", "find_latency", "kernels_fingerprint", "latency_for"]


def default_path(board: str, unit_is_time: bool = True) -> Path:
    """Where the table of a board is written if nobody says."""
    return _folders()[0] / _name(board, unit_is_time)


def find_latency(profile: BoardProfile, profile_path: Path | None = None) -> Path | None:
    """The file with the board's table: beside its own profile, in a folder of OFA_MCU_BOARDS, or in runs/boards."""
    beside = [profile_path.parent] if profile_path is not None else []
    found = (folder / _name(profile.id, True) for folder in (*beside, *_folders()))
    return next((path for path in found if path.is_file()), None)


def latency_for(
    profile: BoardProfile,
    named: Path | None = None,
    cycles_per_instruction: float | None = None,
    profile_path: Path | None = None,
) -> LatencyTable | None:
    """The table that estimates of time rest on: the named one, or the board's own where there is one.

    Cycles per instruction that are given win over a table that is merely there.

    Raises:
        UsageError: both were given, or the table is another board's, of other kernels, or no time.
        OfaMcuError: the file is damaged.
    """
    if named is not None and cycles_per_instruction is not None:
        raise UsageError("--latency and --cycles-per-instruction contradict each other; give one of them")
    path = named if named is not None or cycles_per_instruction is not None else find_latency(profile, profile_path)
    if path is None:
        return None
    table = read_latency(path)
    again = (
        f"calibrate again (ofa-mcu boards calibrate --board {profile.id} --port PORT), remove the table, or give "
        "--cycles-per-instruction"
    )
    if table.unit is Unit.INSTRUCTIONS:
        raise UsageError(
            f"{path} counts instructions of an emulator, which are no time; calibrate the board itself "
            f"(ofa-mcu boards calibrate --board {profile.id} --port PORT)"
        )
    if (table.board, table.core) != (profile.id, core_of(profile)):
        raise UsageError(
            f"{path} was measured on {table.board} ({table.core}), not on {profile.id} ({core_of(profile)}); name the "
            "table of that board"
        )
    if table.kernels != kernels_fingerprint(table.core):
        raise UsageError(f"{path} was measured with kernels of another release ({table.version}); {again}")
    return table


@cache
def kernels_fingerprint(core: str) -> str:
    """Of the kernel library, of what writes kernels, and of the core's figures."""
    library, writers = resource("firmware") / "lib" / "ofa_kernels", Path(__file__).parents[1] / "codegen" / "kernels"
    files = [*_files(library, "*.[ch]"), *_files(writers, "*.py"), DATA / f"{core}.json"]
    total = hashlib.sha256()
    for path in files:
        total.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.rglob(pattern))


def _name(board: str, unit_is_time: bool) -> str:
    return f"{board}.{'latency' if unit_is_time else 'instructions'}.json"


def _folders() -> list[Path]:
    own = [Path(name).expanduser() for name in os.environ.get(BOARDS_VARIABLE, "").split(os.pathsep) if name]
    return [*own, RUNS / "boards"]

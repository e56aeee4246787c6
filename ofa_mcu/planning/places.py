"""Which of a board's memories the parts of a firmware take, and which of them overflows."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_mcu.errors import UsageError
from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.cost import DEFAULT_STACK_BYTES, SECTION_ALIGNMENT, Cost
from ofa_mcu.profiles.profile import BoardProfile

__all__ = [
    "ALLOWED",
    "ARENA",
    "FLASH",
    "SRAM",
    "MemoryUse",
    "arena_room",
    "check_there",
    "memory_uses",
    "sram_allowed",
    "sram_limit",
]

SRAM, ARENA, FLASH, ALLOWED = "sram", "arena", "flash", "allowed"
"""Kinds of use: all data, or what is left of it beside an arena of its own region; that arena; code and constants; data
in all memories, where a user allows less than there is."""


@dataclass(frozen=True)
class MemoryUse:
    """Bytes that one memory of a board must hold, and has: what for, and the names of its regions."""

    kind: str
    where: str
    needed: int
    there: int

    @property
    def excess(self) -> int:
        """Bytes too many, 0 where it fits."""
        return max(0, self.needed - self.there)


def memory_uses(cost: Cost, profile: BoardProfile, max_sram: int | None = None) -> tuple[MemoryUse, ...]:
    """What the board's memories must hold of a network, RAM first; then what a user allows, where that is given."""
    flash = MemoryUse(FLASH, profile.flash_region, cost.flash_bytes, profile.flash_bytes)
    allowed = () if max_sram is None else (MemoryUse(ALLOWED, "--max-sram", cost.sram_bytes, max_sram),)
    if profile.arena_region is None:
        return MemoryUse(SRAM, profile.ram_names, cost.sram_bytes, profile.ram_bytes), flash, *allowed
    arena = MemoryUse(ARENA, profile.arena_region, cost.arena_bytes, profile.arena_bytes)
    rest = MemoryUse(SRAM, profile.ram_names, cost.sram_bytes - cost.arena_bytes, profile.ram_bytes)
    return arena, rest, flash, *allowed


def sram_limit(profile: BoardProfile, stack_bytes: int = DEFAULT_STACK_BYTES) -> int:
    """Most bytes of SRAM, in all memories, with which a network fits the board.

    Static data and stack are the same for every network, so that of a board whose arena has a region of its own only
    the arena is at stake; 0 where not even the rest fits.
    """
    if profile.arena_region is None:
        return profile.ram_bytes
    rest = core_model(core_of(profile)).static_bytes + stack_bytes
    return rest + profile.arena_bytes if rest <= profile.ram_bytes else 0


def arena_room(profile: BoardProfile, stack_bytes: int = DEFAULT_STACK_BYTES, max_sram: float | None = None) -> int:
    """Bytes for an arena, of `max_sram` bytes of all memories, or of as many as the board has."""
    limit = sram_limit(profile, stack_bytes) if max_sram is None else int(max_sram)
    rest = core_model(core_of(profile)).static_bytes + stack_bytes
    return max(limit - rest, 0) // SECTION_ALIGNMENT * SECTION_ALIGNMENT


def sram_allowed(profile: BoardProfile, asked: int | None) -> int | None:
    """Bytes of SRAM that may be used where a user asked for no more than so many; None: all there are.

    Raises UsageError where the board has fewer.
    """
    check_there(profile, "--max-sram", asked, profile.sram_bytes)
    return None if asked is None else min(asked, sram_limit(profile))


def check_there(profile: BoardProfile, option: str, asked: int | None, there: int) -> None:
    """Raises UsageError where the option asks for more bytes than the board has."""
    if asked is not None and asked > there:
        raise UsageError(f"{option} {asked} is more than board {profile.id} has ({there} B); give less or leave it out")

"""Which of a board's memories the parts of a firmware take, and which of them overflows."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.planning.cost import DEFAULT_STACK_BYTES, Cost
from ofa_mcu.profiles.profile import BoardProfile

__all__ = ["ARENA", "FLASH", "SRAM", "MemoryUse", "memory_uses", "sram_limit"]

SRAM, ARENA, FLASH = "sram", "arena", "flash"
"""Kinds of use: all data, or what is left of it beside an arena of its own region; that arena; code and constants."""


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


def memory_uses(cost: Cost, profile: BoardProfile) -> tuple[MemoryUse, ...]:
    """What the board's memories must hold of a network, RAM first."""
    flash = MemoryUse(FLASH, profile.flash_region, cost.flash_bytes, profile.flash_bytes)
    if profile.arena_region is None:
        return MemoryUse(SRAM, profile.ram_names, cost.sram_bytes, profile.ram_bytes), flash
    arena = MemoryUse(ARENA, profile.arena_region, cost.arena_bytes, profile.arena_bytes)
    rest = MemoryUse(SRAM, profile.ram_names, cost.sram_bytes - cost.arena_bytes, profile.ram_bytes)
    return arena, rest, flash


def sram_limit(profile: BoardProfile, stack_bytes: int = DEFAULT_STACK_BYTES) -> int:
    """Most bytes of SRAM, in all memories, with which a network fits the board.

    Static data and stack are the same for every network, so that of a board whose arena has a region of its own only
    the arena is at stake; 0 where not even the rest fits.
    """
    if profile.arena_region is None:
        return profile.ram_bytes
    rest = core_model(core_of(profile)).static_bytes + stack_bytes
    return rest + profile.arena_bytes if rest <= profile.ram_bytes else 0

"""Boards as data.

A `BoardProfile` is one `boards/<id>.toml`, validated: memory, core, clock, power, PlatformIO names, emulator twin.
"""

from ofa_mcu.profiles.catalogue import all_profiles, board_ids, load_profile, named_file, profile_path, sound_profiles
from ofa_mcu.profiles.profile import BoardManifest, BoardProfile, Emulator, MemoryRegion, PlatformIO

__all__ = [
    "BoardManifest",
    "BoardProfile",
    "Emulator",
    "MemoryRegion",
    "PlatformIO",
    "all_profiles",
    "board_ids",
    "load_profile",
    "named_file",
    "profile_path",
    "sound_profiles",
]

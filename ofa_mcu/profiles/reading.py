"""From the text of a profile to its value: strict about keys, types and sources, one sentence per mistake."""

from __future__ import annotations

import difflib
import re
import tomllib
import unicodedata
from dataclasses import MISSING, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from ofa_mcu.errors import UsageError
from ofa_mcu.profiles.cores import extension_mistake, machine_mistake
from ofa_mcu.profiles.profile import CACHES, NO_FPU, BoardProfile

__all__ = ["parse_profile", "read_profile"]

T = TypeVar("T")

UNSOURCED = frozenset({"id", "name", "power_basis", "cycles_basis", "figures_basis", "sources"})
"""Keys that need no source of their own."""

INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Unicode categories of control and format characters and of line and paragraph separators."""

PLACED = frozenset(
    {"platform", "board", "framework", "upload_protocol", "monitor_speed", "build_src_filter", "extra_scripts"}
)
"""Settings of a board's environment that the project writes itself, beside those of compiler and linker."""

ARENA_SECTION = "OFA_ARENA_SECTION"
"""What generated C takes for the section of its arena."""

CLOCKS = (1_000_000, 10_000_000_000)
"""Hertz that a microcontroller may run at; what lies outside was written in another unit."""

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}


def read_profile(path: Path) -> BoardProfile:
    """The profile in the file; UsageError where it is missing, is no TOML, or breaks a rule of `parse_profile`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"Cannot read the board profile {path}: {reason}.") from error
    profile = parse_profile(text, str(path))
    if profile.id != path.stem:
        raise UsageError(
            f"{path}: the id {profile.id!r} differs from the file's name; call the file {profile.id}.toml "
            f"or set id = {path.stem!r}."
        )
    return profile


def parse_profile(text: str, where: str) -> BoardProfile:
    """The profile in TOML text; `where` names it in errors.

    UsageError for text that is no TOML, for unknown, missing or ill-typed keys, for a field without an entry in
    `[sources]`, and for figures that contradict each other or the core.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{where} is not valid TOML: {error}.") from error
    for holder in (table, table.get("emulator")):
        if isinstance(holder, dict) and holder.get("fpu") == NO_FPU:
            holder["fpu"] = None
    profile = read_table(BoardProfile, table, where, "")
    check_sources(table, where)
    check_figures(profile, where)
    mistake = core_mistake(profile) or arena_mistake(profile)
    if mistake is not None:
        raise UsageError(f"{where}: {mistake}")
    return profile


def read_table(cls: type[T], table: dict[str, Any], where: str, prefix: str) -> T:
    """An instance of the dataclass from a TOML table with exactly its keys; keys with a default may be absent."""
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known keys are {', '.join(known)}."
            raise UsageError(f"{where}: unknown key {prefix}{key}; {hint}")
    for name, f in known.items():
        if name not in table and f.default is MISSING and f.default_factory is MISSING:
            raise UsageError(f"{where}: the key {prefix}{name} is missing; add it.")
    hints = get_type_hints(cls)
    return cls(**{key: read_value(hints[key], value, where, prefix + key) for key, value in table.items()})


def read_value(hint: Any, value: Any, where: str, key: str) -> Any:
    """The value of one key as the type its dataclass declares."""
    options = [option for option in get_args(hint) if option is not NoneType]
    if NoneType in get_args(hint):
        return None if value is None else read_value(options[0], value, where, key)
    if get_origin(hint) is tuple:
        if not isinstance(value, list):
            raise UsageError(f"{where}: {key} must be a list, not {value!r}.")
        return tuple(read_value(options[0], item, where, f"{key}[{i}]") for i, item in enumerate(value))
    if get_origin(hint) is not None:
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise UsageError(f"{where}: {key} must be a table of strings.")
        for name, item in value.items():
            check_text(name, where, f"a key of {key}")
            check_text(item, where, f"{key}.{name}")
        return value
    if is_dataclass(hint):
        if not isinstance(value, dict):
            raise UsageError(f"{where}: {key} must be a table, not {value!r}.")
        return read_table(hint, value, where, key + ".")  # type: ignore[arg-type]
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        raise UsageError(f"{where}: {key} must be {WORDS[hint]}, not {value!r}.")
    if hint is str and not value.strip():
        raise UsageError(f"{where}: {key} is empty; write what it is, or leave the key out where it may be absent.")
    if hint is str:
        check_text(value, where, key)
    return value


def check_text(value: str, where: str, key: str) -> None:
    """One line of visible text: strings go into files where a line break would begin a setting of its own."""
    hidden = [char for char in value if unicodedata.category(char) in INVISIBLE]
    if hidden:
        raise UsageError(
            f"{where}: {key} holds the control character U+{ord(hidden[0]):04X}; write it as one line of plain text."
        )


def check_sources(table: dict[str, Any], where: str) -> None:
    """Every fact names its source, and no source stands without its fact."""
    sources = table.get("sources")
    if sources is None:
        raise UsageError(f"{where}: the table [sources] is missing; name where each field comes from.")
    for key in table:
        if key not in UNSOURCED and key not in sources:
            raise UsageError(f"{where}: {key} names no source; add {key} = '...' under [sources].")
    for key in sources:
        if key not in table or key in UNSOURCED:
            raise UsageError(f"{where}: [sources] names {key}, which the profile does not give; remove it.")


def check_figures(profile: BoardProfile, where: str) -> None:
    """What the figures of one profile must satisfy together."""

    def require(holds: bool, sentence: str) -> None:
        if not holds:
            raise UsageError(f"{where}: {sentence}")

    require(bool(re.fullmatch(r"[a-z0-9_]+", profile.id)), "id may hold only a-z, 0-9 and underscores.")
    for name in (
        "clock_hz",
        "flash_bytes",
        "ram_bytes",
        "active_power_mw",
        "supply_v",
        "cycles_per_instruction",
        "sleep_ua",
    ):
        value = getattr(profile, name)
        require(value is None or value > 0, f"{name} must be above zero, not {value}.")
    least, most = CLOCKS
    require(
        least <= profile.clock_hz <= most,
        f"clock_hz is {profile.clock_hz}, which no board runs at; write hertz, {least} to {most} "
        "(168 MHz: 168_000_000).",
    )
    regions = {region.name: region for region in profile.regions}
    require(len(regions) == len(profile.regions), "two regions have the same name.")
    for region in profile.regions:
        require(region.bytes > 0, f"region {region.name} must have bytes above zero, not {region.bytes}.")
        require(region.origin >= 0 and region.end <= 2**32, f"region {region.name} lies outside 32-bit addresses.")
    for first, second in pairwise(sorted(profile.regions, key=lambda region: region.origin)):
        require(first.end <= second.origin, f"regions {first.name} and {second.name} overlap.")
    for name in (profile.flash_region, *profile.ram_regions):
        require(name in regions, f"no region is called {name}; the regions are {', '.join(regions)}.")
    require(len(profile.ram_regions) > 0, "ram_regions is empty; name the regions that firmware may use.")
    for name, following in pairwise(profile.ram_regions):
        require(
            regions[name].end == regions[following].origin,
            f"ram_regions {name} and {following} do not lie back to back, so they are no single budget.",
        )
    if profile.arena_region is not None:
        require(
            profile.arena_region in regions,
            f"no region is called {profile.arena_region}; the regions are {', '.join(regions)}.",
        )
        require(
            profile.arena_region not in (profile.flash_region, *profile.ram_regions),
            f"arena_region {profile.arena_region} is the firmware's already; name another, or leave the key out.",
        )
        require(
            profile.platformio is None or any(ARENA_SECTION in flag for flag in profile.platformio.build_flags),
            f"arena_region is {profile.arena_region}, but no flag of platformio.build_flags defines {ARENA_SECTION}; "
            "define it as a section that the framework's linker script places there.",
        )
    total = sum(regions[name].bytes for name in profile.ram_regions)
    require(profile.ram_bytes <= total, f"ram_bytes is {profile.ram_bytes}, but ram_regions hold {total}.")
    flash = regions[profile.flash_region].bytes
    require(
        profile.flash_bytes <= flash, f"flash_bytes is {profile.flash_bytes}, but {profile.flash_region} has {flash}."
    )
    for figure, others in {
        "active_power_mw": ("supply_v", "power_basis"),
        "cycles_per_instruction": ("cycles_basis",),
        "figures_of": ("figures_basis",),
    }.items():
        for other in others:
            require(
                (getattr(profile, figure) is None) == (getattr(profile, other) is None),
                f"{figure} and {other} belong together; give both or neither.",
            )
    require(
        profile.caches is None or profile.caches in CACHES,
        f"caches must be one of {', '.join(CACHES)}, not {profile.caches!r}; leave it out for a core without caches.",
    )
    require(
        profile.marker_pin is None or bool(re.fullmatch(r"\w+", profile.marker_pin)),
        f"marker_pin must be a pin's name or number as in a sketch, D2 or 2, not {profile.marker_pin!r}.",
    )
    for usb in profile.usb:
        require(bool(re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{4}", usb)), f"usb must be like 0483:374b, not {usb!r}.")
    if profile.platformio is not None:
        for name in profile.platformio.options:
            require(
                bool(re.fullmatch(r"[a-z][a-z0-9_.]*", name)) and name not in PLACED and "build_flags" not in name,
                f"platformio.options.{name} is no setting to add; the project writes its own "
                f"{', '.join(sorted(PLACED))}, and flags go into platformio.build_flags.",
            )
    require(
        profile.figures_of is None or profile.emulator is None,
        "figures_of and [emulator] exclude each other: the figures of the twin's core are taken; leave one out.",
    )
    if profile.emulator is not None:
        shift = profile.emulator.icount_shift
        require(0 <= shift <= 10, f"emulator.icount_shift must be 0 to 10, not {shift}.")
        require(profile.emulator.systick_hz > 0, "emulator.systick_hz must be above zero.")
        less = profile.emulator.flash_bytes
        require(
            less is None or 0 < less < profile.flash_bytes,
            f"emulator.flash_bytes is {less} and flash_bytes {profile.flash_bytes}; leave it out where the machine has "
            "as much as the board.",
        )


def core_mistake(profile: BoardProfile) -> str | None:
    """What the board's or the twin's core contradicts, as a sentence; None where all goes together."""
    mistake = extension_mistake(profile.core, profile.fpu, {"dsp": profile.dsp, "mve": profile.mve})
    twin = profile.emulator
    if mistake is not None or twin is None:
        return mistake
    return extension_mistake(twin.core, twin.fpu, {}, "emulator.") or machine_mistake(twin.machine, twin.core)


def arena_mistake(profile: BoardProfile) -> str | None:
    """Where a flag of the linker puts the arena's section outside of its region, as a sentence; else None."""
    if profile.arena_region is None or profile.platformio is None:
        return None
    region = profile.region(profile.arena_region)
    flags = " ".join(profile.platformio.build_flags)
    sections = re.findall(rf"{ARENA_SECTION}=[\"'\\]*([\w.$-]+)", flags)
    for section, origin in re.findall(r"--section-start[=, ]([\w.$-]+)=(?:0[xX])?([0-9a-fA-F]+)", flags):
        if section in sections and not region.origin <= int(origin, 16) < region.end:
            return (
                f"platformio.build_flags place {section}, the arena's section, at {int(origin, 16):#010x}, outside of "
                f"arena_region {region.name}; write --section-start={section}={region.origin:#010x}."
            )
    return None

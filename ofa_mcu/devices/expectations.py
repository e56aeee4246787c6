"""What a firmware says of itself, held against the board's profile: a sentence for everything that differs."""

from __future__ import annotations

from ofa_mcu.devices.session import Hello
from ofa_mcu.planning.core_model import core_model, core_of
from ofa_mcu.profiles import BoardProfile

__all__ = ["CLOCK_SHARE", "optimization", "surprises"]

CLOCK_SHARE = 0.02
"""How far the clock may be from the profile's before it is told."""

IN_C = "_in_c"
"""Ending of kernels that were compiled without the instructions that they are written for (firmware/src/protocol.c)."""

CHANGES_RESULTS = ("-flto", "-ffast-math")
"""Flags that the profile's figures do not hold for."""


def surprises(hello: Hello, profile: BoardProfile, runtime: str, *, emulated: bool) -> tuple[str, ...]:
    """What differs from the profile, a sentence each; what the firmware does not tell is not held against it.

    `runtime` is the one that was asked for. An emulator has neither clock nor caches.
    """
    found: list[str] = []
    if not emulated:
        found += _clock(hello, profile)
        found += _caches(hello, profile)
    found += _flags(hello, profile)
    if hello.runtime is not None and hello.runtime != runtime:
        found.append(f"{hello.board} runs the model by {hello.runtime} and not by {runtime}, the runtime asked for")
    elif hello.runtime == "compiled":
        found += _kernels(hello, profile)
    return tuple(found)


def _clock(hello: Hello, profile: BoardProfile) -> list[str]:
    if hello.core_hz is None or abs(hello.core_hz - profile.clock_hz) <= CLOCK_SHARE * profile.clock_hz:
        return []
    verb = "runs at" if hello.core_hz_basis == "measured" else "is said by its framework to run at"
    return [
        f"{hello.board} {verb} {hello.core_hz / 1e6:.6g} MHz and its profile says {profile.clock_hz / 1e6:.6g} MHz: "
        "estimates of time do not hold for it"
    ]


def _caches(hello: Hello, profile: BoardProfile) -> list[str]:
    if hello.caches is None or profile.caches is None or hello.caches == profile.caches:
        return []
    said, meant = (_spelled(word) for word in (hello.caches, profile.caches))
    return [f"{hello.board} has {said} and its profile says {meant}: estimates of time do not hold for it"]


def _spelled(caches: str) -> str:
    return {
        "I+D": "both caches on",
        "I": "only the instruction cache on",
        "D": "only the data cache on",
        "off": "its caches off",
        "none": "no caches",
    }.get(caches, f"caches '{caches}'")


def _flags(hello: Hello, profile: BoardProfile) -> list[str]:
    if hello.flags is None:
        return []
    own = () if profile.platformio is None else profile.platformio.build_flags
    meant = [*core_model(core_of(profile)).flags.split(), *own]
    said = hello.flags.split(",")
    found = []
    level, wanted = optimization(said), optimization(meant)
    if level != wanted:
        found.append(
            f"the firmware of {hello.board} was compiled with {level} and the figures are for {wanted}: "
            "instructions, time and flash are not those promised"
        )
    for flag in said:
        if flag.startswith(CHANGES_RESULTS) and flag not in meant:
            found.append(f"the firmware of {hello.board} was compiled with {flag}, which the figures are not for")
    return found


def optimization(flags: list[str]) -> str:
    """The flag that decides how much the compiler optimizes: the last of its kind, -O0 without any."""
    return ([flag for flag in flags if flag.startswith("-O")] or ["-O0"])[-1]


def _kernels(hello: Hello, profile: BoardProfile) -> list[str]:
    if hello.kernels is None:
        return []
    meant = core_model(core_of(profile)).flavour.value
    if hello.kernels.endswith(IN_C):
        written = hello.kernels.removesuffix(IN_C)
        return [
            f"the {written} kernels of {hello.board} were compiled without the {written} instructions of its core and "
            "are slower for it; give the compiler the right core"
        ]
    if hello.kernels != meant:
        return [
            f"{hello.board} has {hello.kernels} kernels where its profile's core takes {meant} ones; flash it again"
        ]
    return []

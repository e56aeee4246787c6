"""Builds a project with PlatformIO; what goes wrong comes back as one sentence."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ofa_mcu.devices.pio import run_pio
from ofa_mcu.devices.project import Project
from ofa_mcu.errors import InfeasibleError, OfaMcuError, UsageError
from ofa_mcu.files import write_text

__all__ = ["BEYOND_SHELLS", "Build", "build_failure", "build_project", "check_path"]

OVERFLOW = re.compile(r"region `(\w+)' overflowed by (\d+) bytes")
TOO_LARGE = re.compile(r"The (program|data) size \((\d+) bytes\) is greater than maximum allowed \((\d+) bytes\)")
COMPILER = re.compile(r"^(.+?:\d+(?::\d+)?: (?:fatal )?error: .+)$", re.MULTILINE)
UNDEFINED = re.compile(r"undefined reference to `(\w+)'")
NO_PACKAGE = re.compile(r"(?:UnknownPackageError|Could not find the package with) ?:?\s*(.+)")
LINKER = re.compile(r"^\S*\bld: (.+)$", re.MULTILINE)
PLAIN = re.compile(r"^(?:Error:|\w+Error:)\s*(.+)$", re.MULTILINE)
MEMORY = {"RAM": "RAM", "FLASH": "flash", "ARENA": "arena", "program": "flash", "data": "RAM"}
BEYOND_SHELLS = re.compile(r"""[()&;,%'"$`|<>*?!\\]""")
"""Characters of a path that a build's own commands do not survive."""

OFFLINE_SIGNS = ("HTTPClientError", "InternetConnectionError", "ConnectionError", "Name or service not known")


@dataclass(frozen=True)
class Build:
    """A finished build: the linked image, how long it took, and what PlatformIO printed."""

    elf: Path
    environment: str
    seconds: float
    log: str


def build_project(
    project: Project,
    environment: str | None = None,
    *,
    build_dir: Path | None = None,
    timeout_s: float = 900.0,
    jobs: int | None = None,
) -> Build:
    """Builds one environment, the emulated twin where none is named.

    UsageError where the project has no such environment, InfeasibleError where the image exceeds the board's flash or
    RAM, OfaMcuError for everything else (compiler or registry missing, a mistake in the sources).
    """
    check_path(project.folder)
    environment = environment or project.emulated_environment or project.board_environment
    if environment is None or environment not in (project.emulated_environment, project.board_environment):
        raise UsageError(f"The project {project.folder} has no environment {environment}; see its platformio.ini.")
    begin = time.monotonic()
    arguments = ("-j", str(jobs)) if jobs else ()
    result = run_pio(project, environment, *arguments, build_dir=build_dir, timeout_s=timeout_s)
    log = project.folder / ".pio" / f"{environment}.log"
    write_text(log, result.output)
    if result.code:
        raise build_failure(result.output, project.board, log, project.memories)
    elf = (build_dir or project.folder / ".pio" / "build") / environment / "firmware.elf"
    if not elf.is_file():
        raise OfaMcuError(f"PlatformIO ended well but left no {elf}; look into {log}.")
    return Build(elf, environment, time.monotonic() - begin, result.output)


def check_path(folder: Path) -> None:
    """UsageError where PlatformIO cannot build in the folder for the characters in its path."""
    odd = BEYOND_SHELLS.search(str(folder.resolve()))
    if odd:
        raise UsageError(f"PlatformIO cannot build in {folder}, for the {odd[0]} in its path; name another folder")


def build_failure(output: str, board: str, log: Path, memories: Mapping[str, str] | None = None) -> OfaMcuError:
    """The error for what PlatformIO printed; the first cause that explains the rest wins.

    `memories`: names of the board's regions by the linker's.
    """
    excess = overflows(output)
    if excess:
        regions = {MEMORY[name]: f" ({region})" for name, region in (memories or {}).items()}
        parts = " and ".join(
            f"its {memory}{regions.get(memory, '')} by {count} bytes" for memory, count in excess.items()
        )
        return InfeasibleError(
            f"The image exceeds {board}: {parts}; choose a smaller subnet (--max-sram, --max-flash).",
            {
                "code": "infeasible",
                "constraint": "flash" if max(excess, key=excess.__getitem__) == "flash" else "sram",
                "excess_bytes": dict(excess),
            },
        )
    if "is not on PATH" in output and "gcc" in output:
        return OfaMcuError(
            "The compiler arm-none-eabi-gcc is not on PATH; install it "
            "(apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi)."
        )
    if "fatal error: new: No such file" in output:
        return OfaMcuError(
            "The cross compiler has no headers of the C++ library, which TFLite Micro needs; install them "
            "(apt-get install libstdc++-arm-none-eabi-dev)."
        )
    if any(sign in output for sign in OFFLINE_SIGNS):
        return OfaMcuError(
            f"PlatformIO needs a package for {board} and cannot reach its registry; connect to the network once, or "
            "install the SCons that it wants (ofa-mcu doctor) and build the emulated twin."
        )
    for pattern, sentence in (
        (NO_PACKAGE, "PlatformIO cannot find a package: {}"),
        (COMPILER, "The compiler refused the firmware: {}"),
        (UNDEFINED, "The firmware lacks the function {} (undefined at link time)"),
        (LINKER, "The linker refused the firmware: {}"),
        (PLAIN, "PlatformIO failed: {}"),
    ):
        found = pattern.search(output)
        if found:
            return OfaMcuError(f"{sentence.format(' '.join(found[1].split()).rstrip('.'))}; the whole log is in {log}.")
    return OfaMcuError(
        f"PlatformIO could not build for {board} and does not say why; ofa-mcu doctor looks at the compilers, and the "
        f"whole log is in {log}."
    )


def overflows(output: str) -> dict[str, int]:
    """Bytes by which the image exceeds flash and RAM, from the linker's or PlatformIO's own check."""
    excess = {MEMORY.get(name, name): int(count) for name, count in OVERFLOW.findall(output)}
    for name, size, maximum in TOO_LARGE.findall(output):
        excess.setdefault(MEMORY[name], int(size) - int(maximum))
    return excess

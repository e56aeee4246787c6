"""The doctor: which tools are here, of which version, and what to type for those that are not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ofa_mcu.devices.board_tools import board_findings
from ofa_mcu.devices.emulator import QEMU
from ofa_mcu.devices.finding import Finding, said, tool_version
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.profiles import BoardProfile, sound_profiles

__all__ = ["Finding", "examine"]

PACKAGES = {
    "numpy": "arithmetic",
    "scipy": "training, search and quantization",
    "torch": "training, search and quantization",
    "codecarbon": "the energy of a training",
    "numba": "exact int8 evaluation",
    "moocore": "search",
    "pymoo": "search",
    "matplotlib": "figures",
    "pillow": "reading pictures",
    "soundfile": "reading sounds",
    "tflite-micro": "checking .tflite files",
    "pyserial": "talking to boards and emulators",
    "pyelftools": "sizes of linked images",
    "platformio": "building and flashing",
    "rich": "tables and progress",
    "typer": "the command line",
    "click": "the command line",
}
EXTRAS = {
    "onnx2tf": "ofa-mcu crosscheck (extra onnx)",
    "tensorflow": "ofa-mcu crosscheck (extra onnx)",
    "ai-edge-litert": "the second witness of ofa-mcu validate",
}
COMPILER = "arm-none-eabi-gcc"
DATA_SET = Path("/usr/share/datasets/fashion-mnist")
DATA_FILES = tuple(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


def examine(network: bool = False) -> tuple[Finding, ...]:
    """Looks at everything; imports none of the packages, never fails, and touches no network but where it may.

    With `network` PlatformIO's registry is asked whether it answers.
    """
    profiles, broken = boards()
    wanted = requirements()
    return (
        python(),
        *(package(name, purpose, wanted) for name, purpose in PACKAGES.items()),
        scons(),
        *(package(name, purpose, wanted, required=False) for name, purpose in EXTRAS.items()),
        compiler(),
        newlib(),
        host_compiler(),
        emulator(),
        *((machines(profiles),) if profiles else ()),
        *broken,
        *board_findings(profiles, network),
        data_set(),
    )


def boards() -> tuple[tuple[BoardProfile, ...], tuple[Finding, ...]]:
    """The profiles that are sound, and what is wrong with others or with where they are looked for."""
    try:
        profiles, broken = sound_profiles()
    except OfaMcuError as error:
        return (), (Finding("board profiles", "all boards", None, str(error)),)
    return profiles, tuple(
        Finding("board profiles", f"the board {path.stem}", None, str(error)) for path, error in broken.items()
    )


def python() -> Finding:
    """The interpreter."""
    version = ".".join(str(part) for part in sys.version_info[:3]) if sys.version_info >= (3, 11) else None
    return Finding("python", "everything", version, "install Python 3.11 or newer")


def requirements() -> Mapping[str, str]:
    """The versions that the installed ofa-mcu asks for (`>=2.0,<3`), by package."""
    try:
        told = importlib.metadata.requires("ofa-mcu") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    parts = (re.match(r"([\w.-]+)(?:\[[^\]]*\])?\s*\(?([^;)]*)", line) for line in told)
    return {part[1].lower().replace("_", "-"): part[2].strip() for part in parts if part}


def package(name: str, purpose: str, wanted: Mapping[str, str], required: bool = True) -> Finding:
    """A package of this interpreter, by its metadata; one of another version than is asked for counts as missing."""
    there, versions = installed(name), wanted.get(name, "")
    fits = there is not None and allows(versions, there)
    remedy = f"{sys.executable} -m pip install " + (f"'{name}{versions}'" if versions else name)
    if there is not None and not fits:
        remedy += f" ({there} is installed)"
    if name == "tflite-micro" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
        required, remedy = False, "nothing: there are no wheels for this machine, and ofa-mcu validate says so"
    return Finding(name, purpose, there if fits else None, remedy, required)


def allows(versions: str, version: str) -> bool:
    """Whether a version is among those asked for; yes where that cannot be told."""
    try:
        from packaging.specifiers import InvalidSpecifier, SpecifierSet
    except ImportError:
        return True
    try:
        return SpecifierSet(versions).contains(version, prereleases=True)
    except InvalidSpecifier:
        return True


def installed(name: str) -> str | None:
    """Version of an installed package."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def scons() -> Finding:
    """The SCons that lets PlatformIO build without its registry: it must be the very version PlatformIO asks for."""
    wanted = wanted_scons()
    there = installed("scons")
    fits = there is not None and wanted in (None, there)
    remedy = f"{sys.executable} -m pip install scons" + (f"=={wanted}" if wanted else "")
    return Finding("scons", "building without a network", there if fits else None, remedy)


def wanted_scons() -> str | None:
    """The SCons version (4.11.1) behind PlatformIO's requirement for its tool package (~4.41101.0)."""
    try:
        from platformio.dependencies import get_core_dependencies

        found = re.search(r"(\d+)\.(\d)(\d\d)(\d\d)\.", get_core_dependencies()["tool-scons"])
    except (ImportError, KeyError):
        return None
    return f"{found[2]}.{int(found[3])}.{int(found[4])}" if found else None


def compiler() -> Finding:
    """The cross compiler."""
    return Finding(
        COMPILER, "building", tool_version(COMPILER, "-dumpfullversion"), "apt-get install gcc-arm-none-eabi"
    )


def newlib() -> Finding:
    """The C library's small flavour, which the link names."""
    place = said(COMPILER, "-print-file-name=nano.specs")
    there = os.path.normpath(place) if place and os.path.isabs(place) else None
    return Finding("newlib (nano.specs)", "building", there, "apt-get install libnewlib-arm-none-eabi")


def emulator() -> Finding:
    """QEMU."""
    return Finding(QEMU, "the emulated twins", tool_version(QEMU, "--version"), "apt-get install qemu-system-arm")


def host_compiler() -> Finding:
    """This machine's own C compiler."""
    version = tool_version("gcc", "-dumpfullversion")
    return Finding("gcc", "ofa-mcu validate", version, "apt-get install gcc libc6-dev", required=False)


def machines(profiles: Sequence[BoardProfile]) -> Finding:
    """Every machine that a board's twin names."""
    needed = {profile.emulator.machine for profile in profiles if profile.emulator is not None}
    known = {line.split()[0] for line in (said(QEMU, "-M", "help") or "").splitlines() if line.strip()}
    missing = sorted(needed - known)
    remedy = "install a newer QEMU" + (f", this one lacks {', '.join(missing)}" if missing else "")
    return Finding("QEMU machines", "the emulated twins", None if missing else ", ".join(sorted(needed)), remedy)


def data_set() -> Finding:
    """The data set of the first task: Debian's package or what an earlier training downloaded."""
    complete = (
        folder for folder in (DATA_SET, download_cache()) if all((folder / file).is_file() for file in DATA_FILES)
    )
    place = next(map(str, complete), None)
    remedy = "apt-get install dataset-fashion-mnist, or name a folder with --data-dir; else a training downloads it"
    return Finding("fashion-mnist", "training, search and real inputs", place, remedy)


def download_cache() -> Path:
    """Where `ofa_mcu.tasks` keeps the data set that it downloads; that package imports numpy, which may be missing."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base else Path.home() / ".cache") / "ofa-mcu" / "fashion-mnist"

"""The doctor: which tools are here, of which version, and what to type for those that are not."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ofa_mcu.devices.emulator import QEMU
from ofa_mcu.devices.ports import usb_ports
from ofa_mcu.errors import OfaMcuError
from ofa_mcu.profiles import all_profiles

__all__ = ["Finding", "examine"]

PACKAGES = {
    "numpy": "arithmetic",
    "scipy": "training, search and quantization",
    "torch": "training, search and quantization",
    "codecarbon": "the energy of a training",
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
COMPILER = "arm-none-eabi-gcc"
DATA_SET = Path("/usr/share/datasets/fashion-mnist")
DATA_FILES = tuple(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
UDEV_FOLDERS = (Path("/etc/udev/rules.d"), Path("/usr/lib/udev/rules.d"), Path("/lib/udev/rules.d"))
PROBE_RULES = ("*platformio*", "*stlink*", "*openocd*", "*probe-rs*")
UDEV_RULES = "https://docs.platformio.org/en/latest/core/installation/udev-rules.html"
TOOL_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Finding:
    """One thing looked for: `version` (or place) where it is there, else `remedy`, a command or a step.

    A thing that is not `required` is missed only by what `purpose` names.
    """

    name: str
    purpose: str
    version: str | None
    remedy: str
    required: bool = True

    @property
    def found(self) -> bool:
        """Whether it is there."""
        return self.version is not None


def examine() -> tuple[Finding, ...]:
    """Looks at everything; touches no network, imports none of the packages, never fails."""
    return (
        python(),
        *(package(name, purpose) for name, purpose in PACKAGES.items()),
        scons(),
        compiler(),
        newlib(),
        emulator(),
        machines(),
        serial_permission(),
        probe_rules(),
        ports(),
        data_set(),
    )


def python() -> Finding:
    """The interpreter."""
    version = ".".join(str(part) for part in sys.version_info[:3]) if sys.version_info >= (3, 11) else None
    return Finding("python", "everything", version, "install Python 3.11 or newer")


def package(name: str, purpose: str) -> Finding:
    """A package of this interpreter, by its metadata."""
    return Finding(name, purpose, installed(name), f"{sys.executable} -m pip install {name}")


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


def machines() -> Finding:
    """Every machine that a board's twin names."""
    try:
        needed = {profile.emulator.machine for profile in all_profiles() if profile.emulator is not None}
    except OfaMcuError as error:
        return Finding("QEMU machines", "the emulated twins", None, str(error))
    known = {line.split()[0] for line in (said(QEMU, "-M", "help") or "").splitlines() if line.strip()}
    missing = sorted(needed - known)
    remedy = f"install a newer QEMU, this one lacks {', '.join(missing)}"
    return Finding("QEMU machines", "the emulated twins", None if missing else ", ".join(sorted(needed)), remedy)


def serial_permission() -> Finding:
    """Whether this user may open serial ports."""
    name, remedy = "serial ports", "sudo usermod -aG dialout $USER, then log in again"
    if sys.platform != "linux":
        return Finding(name, "boards", "no group needed", remedy, required=False)
    import grp

    try:
        group = grp.getgrnam("dialout").gr_gid
    except KeyError:
        group = -1
    allowed = "root" if os.geteuid() == 0 else "group dialout" if group in os.getgroups() else None
    return Finding(name, "boards", allowed, remedy, required=False)


def probe_rules() -> Finding:
    """Rules that let a user open debug probes."""
    rules = [path for folder in UDEV_FOLDERS for pattern in PROBE_RULES for path in folder.glob(pattern)]
    found = str(rules[0]) if rules else "root" if hasattr(os, "geteuid") and os.geteuid() == 0 else None
    return Finding("udev rules", "flashing boards", found, f"install them as {UDEV_RULES} says", required=False)


def ports() -> Finding:
    """Boards that are plugged in."""
    names = ", ".join(f"{port.name} ({port.description})" for port in usb_ports())
    return Finding("boards plugged in", "measuring on a board", names or None, "plug one in", required=False)


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


def tool_version(*command: str) -> str | None:
    """The first thing like a version that a tool prints."""
    found = re.search(r"\d+(?:\.\d+)+", said(*command) or "")
    return found[0] if found else None


def said(*command: str) -> str | None:
    """What a tool prints; None where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return None
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None

"""The doctor's look at what boards need: PlatformIO's platforms and uploaders, rights, and what is plugged in."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from ofa_mcu.devices.finding import Finding
from ofa_mcu.devices.pio import CORE_DIR, installed_platform, registry_reachable, usual_core_dir, why_unwritable
from ofa_mcu.devices.ports import Port, usb_ports
from ofa_mcu.devices.usb import probes
from ofa_mcu.profiles import BoardProfile

__all__ = ["board_findings"]

UPLOADERS = {
    "stlink": ("openocd", "tool-openocd"),
    "cmsis-dap": ("openocd", "tool-openocd"),
    "dfu": ("dfu-util", "tool-dfuutil"),
    "jlink": ("JLinkExe", "tool-jlink"),
    "picotool": ("picotool", "tool-picotool"),
    "nrfutil": ("adafruit-nrfutil", "tool-adafruit-nrfutil"),
    "sam-ba": ("bossac", "tool-bossac"),
    "esptool": ("esptool.py", "tool-esptoolpy"),
    "teensy-cli": ("teensy_loader_cli", "tool-teensy"),
}
"""Program, and PlatformIO's package that has it, by upload protocol."""

UDEV_FOLDERS = (Path("/etc/udev/rules.d"), Path("/usr/lib/udev/rules.d"), Path("/lib/udev/rules.d"))
PROBE_RULES = ("*platformio*", "*stlink*", "*openocd*", "*probe-rs*")
UDEV_RULES = "https://docs.platformio.org/en/latest/core/installation/udev-rules.html"


def board_findings(profiles: Sequence[BoardProfile], network: bool) -> Iterator[Finding]:
    """Everything between this machine and a board; all of it optional, for a twin needs none. The registry is asked
    only where `network` allows it."""
    yield core_folder()
    if network:
        yield registry()
    yield from platforms(profiles)
    yield from uploaders(profiles)
    yield serial_permission()
    yield probe_rules()
    yield ports(profiles)
    yield debug_probes()


def core_folder() -> Finding:
    """Where PlatformIO keeps what boards need."""
    folder = usual_core_dir()
    there = next(place for place in (folder, *folder.parents) if place.exists())
    cause = why_unwritable(there)
    remedy = f"set {CORE_DIR} to a folder that you may write to" + (f"; {there} is none ({cause})" if cause else "")
    return Finding("PlatformIO's folder", "flashing boards", None if cause else str(folder), remedy, required=False)


def registry() -> Finding:
    """Whether what is missing there can be fetched."""
    try:
        answers = registry_reachable()
    except ImportError:
        answers = False
    remedy = "connect to the network or set its proxy once for each platform; twins build without"
    return Finding("PlatformIO's registry", "flashing", "answers" if answers else None, remedy, required=False)


def platforms(profiles: Sequence[BoardProfile]) -> Iterator[Finding]:
    """PlatformIO's platforms, each with the boards that want it."""
    wanted: dict[str, list[str]] = {}
    for profile in profiles:
        if profile.platformio is not None:
            wanted.setdefault(profile.platformio.platform, []).append(profile.id)
    for platform, boards in wanted.items():
        place = installed_platform(usual_core_dir(), platform)
        name = platform.rstrip("/").split("/")[-1].removesuffix(".git").removesuffix(".zip")
        remedy = f"pio pkg install -g -p {platform}; the first ofa-mcu flash does it, too"
        purpose = f"flashing {', '.join(boards)}"
        yield Finding(f"platform {name}", purpose, None if place is None else place.name, remedy, required=False)


def uploaders(profiles: Sequence[BoardProfile]) -> Iterator[Finding]:
    """The program behind each upload protocol of the profiles."""
    wanted = {profile.platformio.upload_protocol for profile in profiles if profile.platformio is not None}
    for protocol in sorted(wanted):
        program, package = UPLOADERS.get(protocol, (protocol, f"tool-{protocol}"))
        packages = sorted((usual_core_dir() / "packages").glob(f"{package}*"))
        place = str(packages[0]) if packages else shutil.which(program)
        remedy = "PlatformIO fetches it with the platform, at the first ofa-mcu flash"
        yield Finding(f"uploader {protocol}", "flashing boards", place, remedy, required=False)


def serial_permission() -> Finding:
    """Whether this user may open serial ports: those that are there, else by the group."""
    name, remedy = "serial ports", "sudo usermod -aG dialout $USER, then log in again"
    if sys.platform != "linux":
        return Finding(name, "boards", "no group needed", remedy, required=False)
    import grp

    refused = [port.name for port in usb_ports() if os.path.exists(port.name) and not may_use(port.name)]
    if refused:
        return Finding(name, "boards", None, f"{remedy}: {', '.join(refused)} may not be opened", required=False)
    try:
        group = grp.getgrnam("dialout").gr_gid
    except KeyError:
        group = -1
    allowed = "root" if os.geteuid() == 0 else "group dialout" if group in os.getgroups() else None
    return Finding(name, "boards", allowed, remedy, required=False)


def may_use(port: str) -> bool:
    """Whether this user may read and write it."""
    return os.access(port, os.R_OK | os.W_OK)


def probe_rules() -> Finding:
    """Rules that let a user open debug probes, and whether they work for those that are there."""
    name, purpose = "udev rules", "flashing boards"
    refused = [f"{device.name} at USB {device.place}" for device in probes() if device.may_open is False]
    remedy = f"install them as {UDEV_RULES} says"
    if refused:
        remedy += f", and plug in again what may not be opened: {', '.join(refused)}"
        return Finding(name, purpose, None, remedy, required=False)
    rules = [path for folder in UDEV_FOLDERS for pattern in PROBE_RULES for path in folder.glob(pattern)]
    found = str(rules[0]) if rules else "root" if hasattr(os, "geteuid") and os.geteuid() == 0 else None
    return Finding(name, purpose, found, remedy, required=False)


def ports(profiles: Sequence[BoardProfile]) -> Finding:
    """Serial ports on USB, each with the boards that it may be."""
    names = ", ".join(named(port, profiles) for port in usb_ports())
    return Finding("boards plugged in", "measuring on a board", names or None, "plug one in", required=False)


def named(port: Port, profiles: Sequence[BoardProfile]) -> str:
    """`/dev/ttyACM0 (STM32 STLink, 0483:374b: stm32f746 or stm32f446)`."""
    boards = " or ".join(profile.id for profile in profiles if port.usb in profile.usb)
    return f"{port.name} ({port.description}, {port.usb}{f': {boards}' if boards else ''})"


def debug_probes() -> Finding:
    """Probes and boards in a boot mode."""
    found = ", ".join(f"{device.name} at USB {device.place} ({device.usb})" for device in probes())
    remedy = "plug in the board's debug port, or hold its BOOT button while plugging it in"
    return Finding("probes, boot modes", "flashing boards", found or None, remedy, required=False)

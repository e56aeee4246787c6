"""How a board would be flashed: which of the attached ones it is, by which protocol, through which port."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ofa_mcu.devices.opening import check_name
from ofa_mcu.devices.pio import UPLOAD_FLAGS, installed_platform, pio_command, usual_core_dir
from ofa_mcu.devices.ports import Port, find_port, usb_ports
from ofa_mcu.devices.project import Project
from ofa_mcu.devices.usb import UsbDevice, probes
from ofa_mcu.errors import DeviceError, UsageError
from ofa_mcu.profiles import BoardProfile

__all__ = ["FlashPlan", "plan_flash"]

BY_USB = frozenset({"stlink", "cmsis-dap", "jlink", "blackmagic", "dfu"})
"""Protocols whose uploader finds probe or boot loader on USB by itself and takes no serial port of the board."""

BY_OPENOCD = frozenset({"stlink", "cmsis-dap"})
"""Protocols of OpenOCD, which is told one of several equal probes by its serial number."""

PLAIN = re.compile(r"[\w.:-]+")
"""Serial numbers that may stand in a command; some copies of probes have random bytes there."""


@dataclass(frozen=True)
class FlashPlan:
    """What would be done.

    profile: with the chosen protocol in it. reason: why this protocol. protocol_checked: whether the board's manifest
    (the profile's, or that of PlatformIO's installed platform) was there to name the protocols it can do. port: serial
    port of the board, None where none is there yet. upload_port: what PlatformIO is told, None for nothing. boards:
    ports with the profile's USB ids.
    devices: probes and boot loaders attached, of any kind. notes: what may go wrong, in sentences.
    """

    profile: BoardProfile
    protocol: str
    reason: str
    protocol_checked: bool
    port: str | None
    upload_port: str | None
    upload_flags: str | None
    boards: tuple[Port, ...]
    devices: tuple[UsbDevice, ...]
    notes: tuple[str, ...]

    def check_port(self) -> None:
        """Raises DeviceError where the upload goes through a serial port that is not there."""
        missing = _missing(self.upload_port)
        if missing is not None and self.protocol not in BY_USB:
            raise DeviceError(missing)

    def command(self, folder: Path) -> str:
        """The command that builds and uploads the project in the folder."""
        project = Project(folder.absolute(), self.profile.id, None, self.profile.id)
        where = ("--upload-port", self.upload_port) if self.upload_port else ()
        words = shlex.join(pio_command(project, self.profile.id, "-t", "upload", *where))
        if self.upload_flags is None:
            return words
        flags = self.upload_flags.replace("\n", "\\n")
        return f"{UPLOAD_FLAGS}=$'{flags}' {words}"

    def to_json(self) -> dict[str, Any]:
        """Part of what `flash --json` prints."""
        return {
            "board": self.profile.id,
            "protocol": self.protocol,
            "reason": self.reason,
            "protocol_checked": self.protocol_checked,
            "port": self.port,
            "boards": [{"port": port.name, **_identity(port), "description": port.description} for port in self.boards],
            "devices": [
                {"name": device.name, "kind": device.kind, **_identity(device), "protocols": list(device.protocols)}
                for device in self.devices
            ],
            "notes": list(self.notes),
        }


def plan_flash(profile: BoardProfile, port: str | None = None, protocol: str | None = None) -> FlashPlan:
    """Looks at what is attached; builds nothing, and opens nothing.

    `port` and `protocol` are the user's choice. Else the port is that of the only board with the profile's USB ids,
    and the protocol the profile's, or another that PlatformIO knows for the board where nothing attached speaks the
    profile's and just one speaks another.

    Raises:
        UsageError: PlatformIO does not know the board, or not by that protocol, or no port can have that name.
        DeviceError: several equal boards or probes are attached, and nothing says which one is meant.
    """
    names = profile.platformio
    if names is None:
        raise UsageError(f"PlatformIO does not know the board {profile.id}; only its emulated twin can be run.")
    present, devices = usb_ports(), probes()
    boards = tuple(p for p in present if p.usb in profile.usb)
    if port is not None:
        check_name(port)
    chosen = port or (find_port(profile) if boards else None)
    known = _known_protocols(profile)
    meant = tuple(p for p in boards if p.name == chosen) or boards
    speaks, reason = _protocol(profile, protocol, known, devices, meant)
    usable = tuple(device for device in devices if speaks in device.protocols)
    serial = next((p.serial_number for p in present if p.name == chosen), None)
    flags = _flags(profile, speaks, usable, serial)
    by_port = port is not None or speaks not in BY_USB
    return FlashPlan(
        profile=replace(profile, platformio=replace(names, upload_protocol=speaks)),
        protocol=speaks,
        reason=reason,
        protocol_checked=bool(known),
        port=chosen,
        upload_port=chosen if by_port else None,
        upload_flags=flags,
        boards=boards,
        devices=devices,
        notes=(
            *_unchecked(profile, protocol if not known else None),
            *_notes(profile, speaks, chosen, present, usable),
        ),
    )


def _protocol(
    profile: BoardProfile,
    asked: str | None,
    known: Sequence[str],
    devices: Sequence[UsbDevice],
    boards: Sequence[Port],
) -> tuple[str, str]:
    """The protocol and why it is that one."""
    assert profile.platformio is not None
    usual = profile.platformio.upload_protocol
    if asked is not None:
        if known and asked not in known:
            raise UsageError(f"PlatformIO uploads to {profile.id} by {', '.join(known)}, not by {asked}")
        return asked, "as asked for"
    if usual not in BY_USB and boards:
        return usual, f"the profile's, and the board is at {boards[0].name}"
    for device in devices:
        if usual in device.protocols:
            return usual, f"the profile's, and there is a {device.name} ({device.kind})"
    others = {name: device for device in devices for name in device.protocols if name in known}
    if len({device.usb for device in others.values()}) == 1:
        name, device = next(iter(others.items()))
        return name, f"there is a {device.name} ({device.kind}), and nothing for the profile's {usual}"
    return usual, "the profile's; no probe or boot loader for it is in sight"


def _known_protocols(profile: BoardProfile) -> tuple[str, ...]:
    """What the board's manifest offers: the profile's own, else that of the installed platform; nothing without one."""
    assert profile.platformio is not None
    own = profile.platformio.manifest
    if own is not None:
        return tuple(dict.fromkeys((profile.platformio.upload_protocol, *own.upload_protocols)))
    platform = installed_platform(usual_core_dir(), profile.platformio.platform)
    if platform is None:
        return ()
    try:
        manifest = json.loads((platform / "boards" / f"{profile.platformio.board}.json").read_text(encoding="utf-8"))
        return tuple(str(name) for name in manifest["upload"]["protocols"])
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def _flags(profile: BoardProfile, protocol: str, usable: Sequence[UsbDevice], serial: str | None) -> str | None:
    """What tells the uploader one of several equal probes; DeviceError where nothing does."""
    if len(usable) < 2 or protocol not in BY_USB:
        return None
    plain = serial is not None and PLAIN.fullmatch(serial)
    if protocol in BY_OPENOCD and plain and any(device.serial_number == serial for device in usable):
        return f"-c\nadapter serial {serial}"  # PlatformIO takes one argument a line
    places = ", ".join(f"{device.name} at USB {device.place}" for device in usable)
    way = "choose one with --port, or unplug" if protocol in BY_OPENOCD else "unplug"
    raise DeviceError(f"More than one {profile.id} could be meant by {protocol} ({places}); {way} the others.")


def _unchecked(profile: BoardProfile, asked: str | None) -> list[str]:
    """What is to be said of a protocol that was asked for, and that nothing here knows of; of None nothing."""
    assert profile.platformio is not None
    if asked is None:
        return []
    return [
        f"whether PlatformIO uploads to {profile.id} by {asked} was not checked, for its platform "
        f"{profile.platformio.platform} is not installed"
    ]


def _notes(
    profile: BoardProfile, protocol: str, port: str | None, present: Sequence[Port], usable: Sequence[UsbDevice]
) -> list[str]:
    notes = [
        f"{device.name} at USB {device.place} may not be opened by this user; install PlatformIO's udev rules "
        "(ofa-mcu doctor) and plug it in again"
        for device in usable
        if device.may_open is False
    ]
    named = next((p for p in present if p.name == port), None)
    if named is not None and profile.usb and named.usb not in profile.usb:
        notes.append(
            f"{named.name} is {named.description} ({named.usb}), and a {profile.id} has {' or '.join(profile.usb)}; "
            "check that it is the board you mean"
        )
    missing = _missing(port) if named is None else None
    if missing is not None:
        notes.append(missing)
    if port is None and not usable:
        what = f"none with the USB ids {' or '.join(profile.usb)}" if profile.usb else "its USB ids are unknown"
        notes.append(f"no {profile.id} is in sight ({what}, and nothing for {protocol}); plug it in")
    return notes


def _missing(port: str | None) -> str | None:
    """What to say of a serial port that is not there; None where it is, or where none is named."""
    if port is None or "://" in port or Path(port).exists():
        return None
    return f"{port}: there is no such port; plug the board in, or name another"


def _identity(thing: Port | UsbDevice) -> dict[str, Any]:
    return {"usb": thing.usb, "serial_number": thing.serial_number}

"""The serial ports of this machine, and which of them is a given board's."""

from __future__ import annotations

from dataclasses import dataclass

from serial.tools import list_ports

from ofa_mcu.errors import DeviceError
from ofa_mcu.profiles import BoardProfile

__all__ = ["Port", "find_port", "usb_ports"]


@dataclass(frozen=True)
class Port:
    """A serial port on USB; `usb` is `vid:pid` in lower-case hex, `serial_number` the device's own, None without."""

    name: str
    usb: str
    description: str
    serial_number: str | None = None


def usb_ports() -> tuple[Port, ...]:
    """Every serial port that is a USB device, sorted by name."""
    found = (
        Port(port.device, f"{port.vid:04x}:{port.pid:04x}", port.description or "", port.serial_number or None)
        for port in list_ports.comports()
        if port.vid is not None and port.pid is not None
    )
    return tuple(sorted(found, key=lambda port: port.name))


def find_port(profile: BoardProfile, port: str | None = None) -> str:
    """The name of the board's serial port: `port` where it is given, else the only one with the board's USB ids.

    DeviceError where there is none, or more than one.
    """
    if port is not None:
        return port
    present = usb_ports()
    matching = [p for p in present if p.usb in profile.usb]
    if len(matching) == 1:
        return matching[0].name
    if matching:
        names = ", ".join(p.name for p in matching)
        raise DeviceError(f"More than one {profile.id} is plugged in ({names}); choose one with --port.")
    others = ", ".join(f"{p.name} ({p.description}, {p.usb})" for p in present) or "none"
    raise DeviceError(
        f"No serial port of a {profile.id} was found (USB serial ports here: {others}); plug the board in or name its "
        "port with --port."
    )

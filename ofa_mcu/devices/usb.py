"""Debug probes and boards in a boot mode, which need not have a serial port, by their USB ids."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["UsbDevice", "kind_of", "probes"]

DEVICES = Path("/sys/bus/usb/devices")
NODES = Path("/dev/bus/usb")

PROBE, BOOT = "probe", "boot mode"

KINDS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "0483:3744": ("ST-LINK/V1", PROBE, ("stlink",)),
    "0483:3748": ("ST-LINK/V2", PROBE, ("stlink",)),
    "0483:374a": ("ST-LINK/V2-1", PROBE, ("stlink",)),
    "0483:374b": ("ST-LINK/V2-1", PROBE, ("stlink",)),
    "0483:3752": ("ST-LINK/V2-1", PROBE, ("stlink",)),
    "0483:374e": ("STLINK-V3", PROBE, ("stlink",)),
    "0483:374f": ("STLINK-V3", PROBE, ("stlink",)),
    "0483:3753": ("STLINK-V3", PROBE, ("stlink",)),
    "0483:3754": ("STLINK-V3", PROBE, ("stlink",)),
    "0483:3757": ("STLINK-V3", PROBE, ("stlink",)),
    "0483:df11": ("DFU boot loader of an STM32", BOOT, ("dfu",)),
    "0d28:0204": ("DAPLink", PROBE, ("cmsis-dap", "mbed")),
    "2e8a:000c": ("Raspberry Pi Debug Probe", PROBE, ("cmsis-dap",)),
    "2e8a:0004": ("picoprobe", PROBE, ("cmsis-dap",)),
    "1d50:6018": ("Black Magic Probe", PROBE, ("blackmagic",)),
    "2e8a:0003": ("UF2 boot loader of an RP2040", BOOT, ("picotool",)),
    "2e8a:000f": ("UF2 boot loader of an RP2350", BOOT, ("picotool",)),
    "16c0:0478": ("HalfKay boot loader of a Teensy", BOOT, ("teensy-cli", "teensy-gui")),
}
"""Name, what it is, and PlatformIO's upload protocols, by `vid:pid`: OpenOCD's contrib/60-openocd.rules, PlatformIO's
99-platformio-udev.rules, raspberrypi/usb-pid."""

VENDORS: dict[str, tuple[str, str, tuple[str, ...]]] = {"1366": ("J-Link", PROBE, ("jlink",))}
"""The same for vendors all of whose devices are of one kind."""


@dataclass(frozen=True)
class UsbDevice:
    """One device: `usb` is its `vid:pid`; `place` the bus and port it is plugged into (1-2.3).

    `may_open`: whether this user may open it, None where that is not known.
    """

    usb: str
    name: str
    kind: str
    protocols: tuple[str, ...]
    place: str
    serial_number: str | None
    may_open: bool | None


def kind_of(usb: str) -> tuple[str, str, tuple[str, ...]] | None:
    """Name, kind and upload protocols of a `vid:pid`; None where it is neither probe nor boot loader."""
    return KINDS.get(usb) or VENDORS.get(usb.partition(":")[0])


def probes(devices: Path | None = None, nodes: Path | None = None) -> tuple[UsbDevice, ...]:
    """Every probe and boot loader that is plugged in, as Linux lists them; none are seen on other systems."""
    folder, nodes = devices or DEVICES, nodes or NODES
    found = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        usb = f"{_said(path, 'idVendor')}:{_said(path, 'idProduct')}"
        kind = kind_of(usb)
        if kind is not None:
            found.append(UsbDevice(usb, *kind, path.name, _said(path, "serial") or None, _may_open(path, nodes)))
    return tuple(found)


def _said(path: Path, name: str) -> str:
    """What a device's file in sysfs holds."""
    try:
        return (path / name).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _may_open(path: Path, nodes: Path) -> bool | None:
    bus, number = _said(path, "busnum"), _said(path, "devnum")
    if not bus.isdigit() or not number.isdigit():
        return None
    node = nodes / f"{int(bus):03}" / f"{int(number):03}"
    return os.access(node, os.R_OK | os.W_OK) if node.exists() else None

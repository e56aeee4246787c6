"""Boards that are not there: pyserial's list of ports, and Linux's of USB devices, as they would be with some.

There is no way to plug one in from here.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from ofa_mcu.devices import usb

__all__ = ["plug_in", "plug_in_usb"]


def plug_in(monkeypatch: pytest.MonkeyPatch, **boards: tuple[int, int] | tuple[int, int, str]) -> None:
    """Serial ports by name, with vendor and product id and, where there is one, a serial number."""

    def port(name: str, ids: tuple[int, int] | tuple[int, int, str]) -> ListPortInfo:
        info = ListPortInfo(f"/dev/{name}")
        info.vid, info.pid = ids[:2]
        info.serial_number = ids[2] if len(ids) == 3 else None
        info.description = "STM32 STLink"
        return info

    monkeypatch.setattr(list_ports, "comports", lambda: [port(*board) for board in boards.items()])


def plug_in_usb(monkeypatch: pytest.MonkeyPatch, folder: Path, *devices: str, locked: bool = False) -> None:
    """USB devices as `vid:pid` or `vid:pid:serial`, at the places 1-1, 1-2 and so on; nobody may open `locked` ones."""
    sysfs, nodes = folder / "sys", folder / "nodes"
    (nodes / "001").mkdir(parents=True, exist_ok=True)
    (sysfs / "usb1").mkdir(parents=True, exist_ok=True)
    for number, device in enumerate(devices, 1):
        vendor, product, *serial = device.split(":")
        place = sysfs / f"1-{number}"
        place.mkdir(exist_ok=True)
        files = {"idVendor": vendor, "idProduct": product, "busnum": "1", "devnum": str(number)}
        files |= {"serial": serial[0]} if serial else {}
        for name, text in files.items():
            (place / name).write_text(f"{text}\n")
        (nodes / "001" / f"{number:03}").touch()
    monkeypatch.setattr(usb, "DEVICES", sysfs)
    monkeypatch.setattr(usb, "NODES", nodes)
    if locked:  # root may open anything, so that the rights of the files say nothing here
        monkeypatch.setattr("ofa_mcu.devices.usb.os.access", lambda *_: False)

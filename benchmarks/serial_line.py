"""How much of a serial line's time carries payload, in virtual time: real link, real firmware, a model of the line.

Utilisation is payload bytes times ten bits (8N1) times the time of a bit, over the time from the first bit of the first
request to the arrival of the last answer. `window 1` is one request at a time. Prints a table; asserts nothing.

    python -m benchmarks.serial_line
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ofa_mcu.devices.link import Link
from ofa_mcu.devices.session import Session
from tests.devices import tiny
from tests.devices.virtual_line import BITS, Traffic, VirtualLine
from tests.firmware.test_arduino import firmware_program

BYTES = 96 * 96 * 3
BAUDS = (115_200, 921_600)
TURNAROUNDS_S = (0.001, 0.004, 0.016)
WINDOWS = (1, 2, 4, None)
"""None: the device's own."""
PATIENCE_S = 60.0


class Transfer(NamedTuple):
    """Input to the device, or output from it: utilisation 0..1, and what passed."""

    utilisation: float
    traffic: Traffic


def large_program(folder: Path) -> Path:
    """The firmware with a model of `BYTES` bytes in and out, as a program of this computer."""
    files = tiny.model_files(arena=BYTES)
    files["ofa_model.h"] = files["ofa_model.h"].replace(f"BYTES {tiny.BYTES}", f"BYTES {BYTES}")
    return firmware_program(folder, files)


def transfers(program: Path, baud: int, turnaround_s: float, window: int | None = None) -> tuple[Transfer, Transfer]:
    """An input of `BYTES` bytes there, and as many of output back."""
    line = VirtualLine(program, baud, turnaround_s)
    data = bytes(5) + bytes((i * i) % 251 for i in range(BYTES - 5))
    with Link("virtual", port=line, timeout_s=PATIENCE_S) as link:
        link._sequence = 10_000
        session = Session(link, speeds=())
        if window is not None:
            link.window.open(window)

        def timed(begin: float) -> Transfer:
            return Transfer(BYTES * BITS / baud / (line.now - begin), replace(line.traffic))

        line.traffic, begin = Traffic(), line.now
        session.load(data)
        there = timed(begin)
        session.infer()
        line.traffic, begin = Traffic(), line.now
        assert session.output() == bytes(value ^ 0x55 for value in data)
        return there, timed(begin)


def main() -> None:
    """Prints the table."""
    with tempfile.TemporaryDirectory() as name:
        program = large_program(Path(name))
        print(f"{BYTES:,} bytes each way; bytes of the line per byte of payload; most bytes waiting in the device")
        print("    baud  turn-around  window     input  line/payload  stalls  waiting    output  line/payload")
        for baud in BAUDS:
            for turnaround_s in TURNAROUNDS_S:
                for window in WINDOWS:
                    there, back = transfers(program, baud, turnaround_s, window)
                    print(
                        f"{baud:8,}  {1000 * turnaround_s:8.0f} ms  {window or 'device':>6}  {there.utilisation:8.1%}"
                        f"  {there.traffic.sent / BYTES:12.3f}  {there.traffic.stalls:6}  {there.traffic.backlog:7.0f}"
                        f"  {back.utilisation:8.1%}  {back.traffic.received / BYTES:12.3f}"
                    )


if __name__ == "__main__":
    main()

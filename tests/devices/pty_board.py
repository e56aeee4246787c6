"""A board for the tests: its firmware compiled for this computer, on a pseudo terminal, flashed as often as one likes.

No board is attached here, and what a real one would take nobody could foretell; so time is made up where a test says
so, network by network. Everything else, firmware, generated C, kernels, serial line, is what a board has.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ofa_mcu.devices.flash import Flashed
from ofa_mcu.devices.project import Project
from ofa_mcu.devices.validation_records import kernel_include, kernel_sources

__all__ = ["HOST_STACK", "PtyBoard"]

HOST_STACK = "-DOFA_STACK_BYTES=65536"
"""Frames of this computer are larger than a board's."""

SHIM = Path(__file__).parents[1] / "firmware" / "arduino_shim"
NETWORK = re.compile(r"^/\* Network (\d+), (.+) \*/$", re.MULTILINE)
CHOICE = re.compile(r"switch \(\(uint8_t\)ofa_arena\[(\d+)\]\)")

CLOCK = """\
#include <stdint.h>
extern int8_t ofa_arena[];
void run_networks(void);
unsigned long made_up_micros = 0;
static const unsigned long ticks[] = {%(ticks)s};

void ofa_model_run(void)
{
    uint8_t number = (uint8_t)ofa_arena[%(choice)s];
    run_networks();
    made_up_micros += ticks[number];
}
"""


class PtyBoard:
    """A context manager; `port` is its serial port. `ticks` tells the microseconds of a network by its name, None lets
    this computer's clock tell them. `flashed` counts uploads; `fail_after` of them the board is unplugged."""

    def __init__(self, board: str, folder: Path, ticks: Callable[[str], int] | None = None) -> None:
        self.board, self.folder, self.ticks = board, folder, ticks
        self.flashed = 0
        self.optimize = "-O1"
        self._kernels: list[Path] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        self.port = os.ttyname(self._theirs)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        os.close(self._ours)
        os.close(self._theirs)

    def flash(self, project: Project, *_: Any, **__: Any) -> Flashed:
        """What `flash_board` does on a real board."""
        self.flashed += 1
        program = self._compiled(project.folder / "src", self.folder / f"image{self.flashed}")
        self._stop()
        self._process = subprocess.Popen([str(program)], stdin=self._ours, stdout=self._ours)
        return Flashed(self.board, 0.0, "")

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _compiled(self, source: Path, folder: Path) -> Path:
        folder.mkdir(parents=True)
        model = (source / "model" / "ofa_model.c").read_text()
        include = [f"-I{path}" for path in (SHIM, source, kernel_include())]

        def build(unit: Path, *more: str) -> Path:
            made = folder / f"{unit.name}.o"
            language = ("g++", "-std=gnu++17") if unit.suffix == ".cpp" else ("gcc", "-std=gnu11")
            board = f'-DOFA_BOARD="{self.board}"', HOST_STACK
            subprocess.run([*language, self.optimize, *board, *more, *include, "-c", unit, "-o", made], check=True)
            return made

        if self._kernels is None:
            self._kernels = [build(path).rename(self.folder / f"{path.name}.o") for path in kernel_sources()]
        named = self.ticks is not None
        objects = [
            build(source / "protocol.c"),
            build(source / "hal_arduino.cpp"),
            build(SHIM / "main.cpp", *(["-DMADE_UP_MICROS"] if named else [])),
            build(source / "model" / "ofa_weights.c"),
            build(source / "model" / "ofa_model.c", *(["-Dofa_model_run=run_networks"] if named else [])),
        ]
        if self.ticks is not None:
            choice = CHOICE.search(model)
            assert choice is not None
            known = ", ".join(str(self.ticks(name)) for _, name in NETWORK.findall(model))
            clock = folder / "clock.c"
            clock.write_text(CLOCK % {"ticks": known, "choice": choice[1]})
            objects.append(build(clock))
        subprocess.run(["g++", *objects, *self._kernels, "-o", folder / "firmware"], check=True)
        return folder / "firmware"

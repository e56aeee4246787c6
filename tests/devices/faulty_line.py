"""A serial line that breaks: between the host's terminal and that of a firmware program, bytes are lost, come twice,
late or changed, old lines come again, the device is reset, the cable pulled. One seed, one series of faults.

Both ends have a speed; where they differ, nothing but noise passes.
"""

from __future__ import annotations

import os
import pty
import random
import select
import subprocess
import termios
import threading
import time
import tty
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["KINDS", "FaultyLine"]

KINDS = ("drop", "twice", "flip", "noise", "delay", "replay", "reset", "disconnect")
RARE = ("reset", "disconnect")
"""These come a tenth as often as the others."""
LONGEST_DELAY_S = 0.1
SPEEDS = (9600, 38400, 115200, 230400, 460800, 921600)
REMEMBERED = 40
"""Lines of a direction from which one is taken to come again."""


@dataclass
class Direction:
    """Bytes on their way to `target`, a file descriptor; `due` are those that passed, and when they arrive."""

    target: int
    rng: random.Random
    every: float
    kinds: tuple[str, ...]
    countdown: int = 0
    skip: int = 0
    late_s: float = 0.0
    replay: bool = False
    line: bytearray = field(default_factory=bytearray)
    lines: deque[bytes] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    due: deque[tuple[float, bytes]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.count_down()

    def count_down(self) -> None:
        """Draws how many bytes pass before the next fault."""
        self.countdown = int(self.rng.expovariate(1 / self.every)) if self.kinds and self.every else 1 << 60

    def send(self, data: bytes) -> None:
        """What is through arrives after all that is ahead of it."""
        begin = max(time.monotonic(), self.due[-1][0] if self.due else 0.0)
        self.due.append((begin + self.late_s, data))
        self.late_s = 0.0

    def carry(self, data: bytes, noise: bool) -> str | None:
        """Takes bytes in; the fault that is not of this direction alone, "reset" or "disconnect", ends that."""
        out = bytearray()
        for byte in data:
            if noise:
                out.append(self.rng.randrange(256))
                continue
            if self.skip:
                self.skip -= 1
                continue
            self.countdown -= 1
            if self.countdown < 0:
                self.count_down()
                kind = self.rng.choices(self.kinds, [1 if kind in RARE else 10 for kind in self.kinds])[0]
                match kind:
                    case "drop":
                        self.skip = self.rng.choice((0, 0, 0, 5, 60))
                        continue
                    case "twice":
                        out.append(byte)
                    case "flip":
                        byte ^= 1 << self.rng.randrange(8)
                    case "noise":
                        out += self.rng.randbytes(self.rng.randrange(1, 20))
                    case "delay":
                        self.send(bytes(out))
                        out.clear()
                        self.late_s = self.rng.uniform(0, LONGEST_DELAY_S)
                    case "replay":
                        self.replay = True
                    case _:
                        self.send(bytes(out))
                        return kind
            out.append(byte)
            self.line.append(byte)
            if byte == ord("\n"):
                self.lines.append(bytes(self.line))
                self.line.clear()
                if self.replay:
                    out += self.rng.choice(self.lines)
                    self.replay = False
        self.send(bytes(out))
        return None


class FaultyLine:
    """A running program behind a line; a context manager. `name` is the host's terminal, of this run only."""

    def __init__(self, program: Path) -> None:
        self._program = program
        self._host, self._host_end = terminal()
        self._device, self._device_end = terminal()
        self._lock = threading.Lock()
        self._ended = False
        self.faults = 0
        self._begin(0, 0, (), SPEEDS[-1])
        self._start()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._thread.join()
        self._process.kill()
        self._process.wait()
        self._unplug()
        os.close(self._device)
        os.close(self._device_end)

    @property
    def name(self) -> str:
        """The host's terminal, as of the newest run."""
        return os.ttyname(self._host_end)

    def begin(self, seed: int = 0, every: float = 0, kinds: tuple[str, ...] = KINDS, highest: int = SPEEDS[-1]) -> None:
        """A new run, on a new terminal: faults of these kinds, one in `every` bytes of a direction on the average.

        0 for none. Where both ends have a speed above `highest`, nothing but noise passes either.
        """
        with self._lock:
            self._unplug()
            self._host, self._host_end = terminal()
            self._begin(seed, every, kinds, highest)

    def reset(self) -> None:
        """The device starts anew, and all that was on its way is lost."""
        with self._lock:
            self._reset()

    def _begin(self, seed: int, every: float, kinds: tuple[str, ...], highest: int) -> None:
        self._highest = highest
        self._down = Direction(self._device, random.Random(2 * seed), every, kinds)
        self._up = Direction(self._host, random.Random(2 * seed + 1), every, kinds)

    def _start(self) -> None:
        self._process = subprocess.Popen([str(self._program)], stdin=self._device_end, stdout=self._device_end)

    def _reset(self) -> None:
        self._process.kill()
        self._process.wait()
        termios.tcflush(self._device_end, termios.TCIOFLUSH)
        self._down.due.clear()
        self._up.due.clear()
        self._start()

    def _unplug(self) -> None:
        if self._host >= 0:
            os.close(self._host)
            os.close(self._host_end)
        self._host = self._host_end = self._up.target = -1

    def _pump(self) -> None:
        """Carries bytes both ways until the end."""
        while not self._ended:
            with self._lock:
                pairs = [(self._host, self._down), (self._device, self._up)]
            sources = [source for source, _ in pairs if source >= 0]
            late = [direction.due[0][0] for _, direction in pairs if direction.due]
            wait_s = min([0.05, *(max(due - time.monotonic(), 0) for due in late)])
            try:
                ready, _, _ = select.select(sources, [], [], wait_s)
            except OSError:  # a new run has begun, on another terminal
                continue
            with self._lock:
                for source, direction in pairs:
                    if source in ready:
                        self._carry(source, direction)
                for direction in (self._down, self._up):
                    deliver(direction)

    def _carry(self, source: int, direction: Direction) -> None:
        if direction is not self._down and direction is not self._up:
            return
        data = os.read(source, 4096)
        ours, theirs = speed(self._host), speed(self._device)
        match direction.carry(data, noise=ours != theirs or ours > self._highest):
            case "reset":
                self._reset()
            case "disconnect":
                self._unplug()


def deliver(direction: Direction) -> None:
    """Passes on what is due."""
    while direction.due and direction.due[0][0] <= time.monotonic():
        _, data = direction.due.popleft()
        if direction.target >= 0 and data:
            os.write(direction.target, data)


def terminal() -> tuple[int, int]:
    """A raw pseudo terminal: the master's end, and the other."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    return ours, theirs


def speed(end: int) -> int:
    """What the other end of a pseudo terminal is set to, in baud."""
    code = termios.tcgetattr(end)[5] if end >= 0 else 0
    return next((baud for baud in SPEEDS if getattr(termios, f"B{baud}") == code), 0)

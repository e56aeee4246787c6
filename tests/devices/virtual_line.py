"""A serial line in virtual time: the real `Link` talks to a real firmware program, and a model says how long it takes.

Ten bits a byte (8N1), both directions at once. The device reads as bytes come, obeys a request when its line has ended,
and, as Arduino's `Serial.flush` does, reads nothing more until its answer is sent; what comes meanwhile waits in its
receive buffer. An answer reaches the host's program `turnaround_s` after its last bit: the USB adapter's latency, the
operating system's, the program's own.
"""

from __future__ import annotations

import re
import subprocess
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import serial

from ofa_mcu.devices.framing import parse

__all__ = ["BITS", "Traffic", "VirtualLine"]

BITS = 10
"""Bits on the line for one byte: start, eight, stop."""
POLL_S = 0.02


@dataclass
class Traffic:
    """Bytes towards the device and back, how often the line to the device lay idle before a request (stalls), and the
    most bytes that waited in the device's receive buffer."""

    sent: int = 0
    received: int = 0
    stalls: int = 0
    backlog: float = 0.0


class VirtualLine(serial.SerialBase):
    """What `Link` takes as its port. `now` is the host's time in seconds."""

    def __init__(self, program: Path, baud: int, turnaround_s: float, device_s: float = 0.0001) -> None:
        super().__init__()
        self._process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._byte_s = BITS / baud
        self._turnaround_s = turnaround_s
        self._device_s = device_s
        self._host_free = self._device_free = 0.0
        self._unread = 0.0
        self._coming: deque[tuple[float, bytes]] = deque()
        self.now = 0.0
        self.traffic = Traffic()

    def write(self, data: bytes) -> int:
        """Puts bytes on the line as soon as it is free."""
        for line in re.findall(rb"[^\n]*\n", data):
            begin = max(self.now, self._host_free)
            self.traffic.stalls += self._host_free < self.now
            self._host_free = begin + len(line) * self._byte_s
            self.traffic.sent += len(line)
            self._queue(begin)
            if line != b"\n":
                self._obey(line)
        return len(data)

    def read(self, size: int = 1) -> bytes:
        """The bytes that have come, or those that come next, or nothing after the time of a poll."""
        if not self._coming:
            self.now += POLL_S
            return b""
        arrival, data = self._coming.popleft()
        self.now = max(self.now, arrival)
        if len(data) > size:
            self._coming.appendleft((arrival, data[size:]))
        return data[:size]

    @property
    def in_waiting(self) -> int:
        """Bytes that have come."""
        return len(self._coming[0][1]) if self._coming and self._coming[0][0] <= self.now else 0

    def reset_input_buffer(self) -> None:
        """Forgets what has come."""
        self._coming.clear()

    def close(self) -> None:
        """Ends the program."""
        self._process.kill()
        self._process.communicate()

    def _queue(self, begin: float) -> None:
        """Bytes of a line that began then and wait while the device is not reading."""
        busy = min(self._device_free, self._host_free) - begin
        self._unread = self._unread + busy / self._byte_s if busy > 0 else 0.0
        self.traffic.backlog = max(self.traffic.backlog, self._unread)
        if self._device_free < self._host_free:
            self._unread = 0.0

    def _obey(self, line: bytes) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()
        request = parse(line[:-1])
        assert request is not None
        missing = int(request.words[2]) if request.words[0] == "output" else 1
        self._device_free = max(self._host_free, self._device_free)
        while missing > 0:
            answer = self._process.stdout.readline()
            said = parse(answer[:-1])
            assert said is not None
            missing -= len(said.data) if said.data else missing
            self._device_free += self._device_s + len(answer) * self._byte_s
            self.traffic.received += len(answer)
            self._coming.append((self._device_free + self._turnaround_s, answer))

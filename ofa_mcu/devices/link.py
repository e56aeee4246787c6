"""The serial link to a firmware: requests and their answers, over a serial port or the emulator's socket.

A request is sent again, under the same number, where its answer is missing or garbled; the firmware answers a repeated
request alike. Several may be under way at a time (`Window`). Every wait has an end, and every failure is a
`DeviceError` of one sentence; only a port's name that cannot be one is a `UsageError`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import serial

from ofa_mcu.devices.answers import GARBLED, judge, silence
from ofa_mcu.devices.framing import Line, frame, parse
from ofa_mcu.devices.opening import PORT_ERRORS, open_port, reason
from ofa_mcu.devices.window import Window
from ofa_mcu.errors import DeviceError

__all__ = ["BAUD", "BAUD_HOLD_S", "Link", "Request"]

BAUD = 115200
"""Speed at which a firmware starts."""
BAUD_HOLD_S = 2.0
"""A device is back at that speed after as long without a sound line (OFA_BAUD_HOLD_MS in firmware/src/config.h)."""
BAUD_MARGIN_S = 0.5
MAX_LINE_BYTES = 4096
"""A longer stretch without a line feed is garbage and is dropped."""
REPETITIONS = 4
"""How often a request is sent at most for each of the waits that it has."""


@dataclass(frozen=True)
class Request:
    """Words of a request, and bytes where it has some."""

    words: tuple[str, ...]
    data: bytes | None = None


@dataclass
class Flight:
    """A request under way, and its answer once that is there."""

    sequence: int
    request: Request
    sent: int = 0
    answer: tuple[str, ...] = ()


class Link:
    """An open link; a context manager. `url` is a port (/dev/ttyACM0, COM3) or a pyserial URL (socket://host:port).

    `timeout_s` is the wait for an answer, `attempts` how many such waits in a row are in vain before the link gives up.
    `baud` is the speed at which the firmware starts. `port` is an open port to use instead of that at `url`.
    """

    def __init__(
        self,
        url: str,
        *,
        baud: int = BAUD,
        timeout_s: float = 2.0,
        attempts: int = 4,
        port: serial.SerialBase | None = None,
    ) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.resent = 0
        self.window = Window()
        self.start_baud = self.baud = baud
        self._sequence = int.from_bytes(os.urandom(2), "little")
        self._received = bytearray()
        self._garbage = b""
        self._heard = time.monotonic()
        self._port = open_port(url, baud) if port is None else port

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the port, the device back at the speed of its start if it still listens; never fails."""
        if self.baud != self.start_baud and time.monotonic() - self._heard < BAUD_HOLD_S - BAUD_MARGIN_S:
            with contextlib.suppress(DeviceError):
                self.request("baud", str(self.start_baud), waits=(0.2,))
        with contextlib.suppress(OSError, serial.SerialException):
            self._port.close()

    def request(self, *words: str, data: bytes | None = None, waits: Sequence[float] | None = None) -> tuple[str, ...]:
        """Sends one request, returns the words after `ok`; `waits` and errors as of `exchange`."""
        return self.exchange([Request(words, data)], waits)[0]

    def exchange(self, requests: Sequence[Request], waits: Sequence[float] | None = None) -> list[tuple[str, ...]]:
        """Sends every request, as many at a time as the window lets, until all are answered: their words after `ok`.

        The device may obey them in any order and more than once. `waits` are seconds without any answer, after each of
        which what was not answered is sent again; at the end of the last one the link gives up. DeviceError where the
        device refuses (RefusedError of `answers`), stays silent, answers garbage, or goes away.
        """
        if not requests:
            return []
        waits = (self.timeout_s,) * self.attempts if waits is None else waits
        flights = [Flight(self._number(), request) for request in requests]
        waiting, flying = deque(flights), dict[int, Flight]()
        silent = 0
        with self._connected(requests[0].words[0]):
            deadline = time.monotonic() + waits[0]
            while waiting or flying:
                while waiting and len(flying) < self.window.size:
                    flight = waiting.popleft()
                    flying[flight.sequence] = flight
                    self._launch(flight, REPETITIONS * len(waits))
                command = next(iter(flying.values())).request.words[0]
                line = self._sound(command, deadline)
                if line is None:
                    silent += 1
                    if silent == len(waits):
                        raise silence(self.url, command, sum(waits), self._garbage)
                    self.window.silent()
                    lost = list(flying)
                    self._slow_down(silent)
                elif line.sequence in flying:
                    # answers come in the order in which requests arrived: what was sent before this one was lost
                    lost = list(flying)[: list(flying).index(line.sequence)]
                    flying.pop(line.sequence).answer = judge(self.url, command, line)
                    self.window.answered()
                    silent = 0
                elif line.sequence == 0 and flying:
                    lost = list(flying)[:1]
                else:
                    continue
                if line is None or line.sequence:
                    deadline = time.monotonic() + waits[silent]
                if lost:
                    self.window.lost()
                    waiting.extendleft(flying.pop(sequence) for sequence in reversed(lost))
        return [flight.answer for flight in flights]

    def fetch(self, command: str, size: int) -> bytes:
        """Reads `size` bytes: `<command> <offset> <count>` is answered by line after line `ok <offset> :<bytes>`.

        Only what is missing is asked for again. DeviceError as of `exchange`, and where other bytes come than those.
        """
        sequence = self._number()
        data, there = bytearray(size), bytearray(size)
        silent = sent = 0
        with self._connected(command):
            while (first := there.find(0)) >= 0:
                end = there.find(1, first) if 1 in there[first:] else size
                self._port.write(b"\n" * (sent > 0) + frame(sequence, command, str(first), str(end - first)))
                self.resent += sent > 0
                sent += 1
                if self._take(command, sequence, data, there, end):
                    silent = 0
                else:
                    silent += 1
                    self._slow_down(silent)
                if silent == self.attempts:
                    raise silence(self.url, command, self.timeout_s * self.attempts, self._garbage)
        return bytes(data)

    def greet(self, timeout_s: float = 10.0) -> tuple[str, ...]:
        """The answer to `hello`, tried every half second, for a board may still be starting."""
        every_s = min(0.5, timeout_s)
        try:
            self._port.reset_input_buffer()
            self._port.write(b"\n")
        except PORT_ERRORS as error:
            raise DeviceError(
                f"{self.url}: the device does not take data ({reason(error)}); check cable and power, then try again."
            ) from error
        self._received.clear()
        return self.request("hello", waits=(every_s,) * max(round(timeout_s / every_s), 1))

    def use_baud(self, baud: int) -> None:
        """The host's side of a change of speed; DeviceError where the port does not know that speed."""
        try:
            self._port.baudrate = baud
        except (*PORT_ERRORS, ValueError) as error:
            raise DeviceError(
                f"{self.url}: the port cannot be set to {baud} baud ({reason(error)}); name a speed that it knows."
            ) from error
        self.baud = baud
        self._heard = time.monotonic()

    def _number(self) -> int:
        """The next sequence number."""
        self._sequence = self._sequence % 65535 + 1
        return self._sequence

    def _launch(self, flight: Flight, most: int) -> None:
        """Sends a request that was sent less than `most` times before."""
        words = flight.request.words
        if flight.sent == most:
            raise silence(self.url, words[0], 0, self._garbage)
        # what a broken line left in the device's buffer ends with the line feed sent before a repetition
        self._port.write(b"\n" * (flight.sent > 0) + frame(flight.sequence, *words, data=flight.request.data))
        self.resent += flight.sent > 0
        flight.sent += 1

    def _take(self, command: str, sequence: int, data: bytearray, there: bytearray, end: int) -> bool:
        """Puts what comes into its place, until the byte before `end` has come or nothing does; whether any was new."""
        new = False
        deadline = time.monotonic() + self.timeout_s
        while True:
            line = self._sound(command, deadline)
            if line is None or (line.sequence == 0 and not new):
                return new
            if line.sequence != sequence:
                continue
            match judge(self.url, command, line):
                case (offset,) if offset.isdecimal() and int(offset) + len(line.data) <= len(data) and line.data:
                    place = slice(int(offset), int(offset) + len(line.data))
                case _:
                    raise DeviceError(
                        f"{self.url}: the firmware sent other bytes than {command!r} asked for; "
                        "flash it again, and report it if it stays."
                    )
            if 0 in there[place]:
                new = True
                deadline = time.monotonic() + self.timeout_s
            data[place] = line.data
            there[place] = b"\1" * len(line.data)
            if place.stop >= end:
                return new

    @contextlib.contextmanager
    def _connected(self, command: str) -> Iterator[None]:
        """Around all that uses the port: its failure as a DeviceError. Begins without memory of garbage."""
        self._garbage = b""
        try:
            idle_s = time.monotonic() - self._heard
            if self.baud != self.start_baud and idle_s > BAUD_HOLD_S - BAUD_MARGIN_S:
                time.sleep(max(BAUD_HOLD_S + BAUD_MARGIN_S - idle_s, 0))
                self.use_baud(self.start_baud)
            yield
        except PORT_ERRORS as error:
            raise DeviceError(
                f"{self.url}: the device disconnected during {command!r} ({reason(error)}); "
                "check cable and power, then try again."
            ) from error

    def _slow_down(self, silent: int) -> None:
        """After two waits in vain the device is back at the speed of its start."""
        if silent >= 2 and self.baud != self.start_baud:
            self.use_baud(self.start_baud)

    def _sound(self, command: str, deadline: float) -> Line | None:
        """The next sound line; None at the deadline. Sequence 0 means that the device could not read a request."""
        while (text := self._line(deadline)) is not None:
            line = parse(text)
            if line is None:
                self._garbage = self._garbage or text
                continue
            self._heard = time.monotonic()
            if line.sequence == 0:
                if line.words[:1] != ("err",):
                    continue
                if line.words[1:2] and line.words[1] in GARBLED:
                    self._garbage = self._garbage or text
                else:
                    judge(self.url, command, line)
            return line
        return None

    def _line(self, deadline: float) -> bytes | None:
        """The next line without its end; None at the deadline (monotonic seconds)."""
        while True:
            end = self._received.find(b"\n")
            if end >= 0:
                text = bytes(self._received[:end])
                del self._received[: end + 1]
                if text:
                    return text
                continue
            if len(self._received) > MAX_LINE_BYTES:
                self._garbage = self._garbage or bytes(self._received[:64])
                self._received.clear()
            if time.monotonic() >= deadline:
                self._garbage = self._garbage or bytes(self._received[:64])
                return None
            self._received += self._read()

    def _read(self) -> bytes:
        """What has come, at least one byte unless the port's timeout passes without any."""
        data: bytes = self._port.read(1)
        waiting = self._port.in_waiting if data else 0
        if waiting:
            data += self._port.read(waiting)
        return data

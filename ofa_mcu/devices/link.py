"""The serial link to a firmware: one request, one answer, over a serial port or the emulator's socket.

A request is sent again, under the same number, where its answer is missing or garbled; the firmware answers a repeated
request alike. Every wait has an end, and every failure is a `DeviceError` of one sentence; only a port's name that
cannot be one is a `UsageError`.
"""

from __future__ import annotations

import contextlib
import os
import time
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import serial

from ofa_mcu.devices.framing import Line, frame, parse
from ofa_mcu.devices.tflm_failures import tflm_failure
from ofa_mcu.errors import DeviceError, UsageError

__all__ = ["BAUD", "Link"]

BAUD = 115200
POLL_S = 0.02
"""Longest wait in one read of the port; what a request waits is counted in these."""
WRITE_TIMEOUT_S = 5.0
MAX_LINE_BYTES = 4096
"""A longer stretch without a line feed is garbage and is dropped."""
NETWORKED = frozenset({"rfc2217", "socket"})
"""Kinds of pyserial URL that name a host and a port number."""
GARBLED = frozenset({"crc", "length", "format"})
"""Reasons of an `err` that only say: send it again."""


class Link:
    """An open link; a context manager. `url` is a port (/dev/ttyACM0, COM3) or a pyserial URL (socket://host:port).

    `timeout_s` is the wait for one answer, `attempts` how often a request is sent before the link gives up.
    """

    def __init__(self, url: str, *, baud: int = BAUD, timeout_s: float = 2.0, attempts: int = 4) -> None:
        self.url = url
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.resent = 0
        self._sequence = int.from_bytes(os.urandom(2), "little")
        self._received = bytearray()
        self._garbage = b""
        self._port = open_port(url, baud)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the port; never fails."""
        with contextlib.suppress(OSError, serial.SerialException):
            self._port.close()

    def request(self, *words: str, timeout_s: float | None = None, attempts: int | None = None) -> tuple[str, ...]:
        """Sends `words`, returns the words after `ok`.

        DeviceError where the device refuses, stays silent, answers garbage, or goes away.
        """
        self._sequence = self._sequence % 65535 + 1
        line = frame(self._sequence, *words)
        wait_s = self.timeout_s if timeout_s is None else timeout_s
        tries = self.attempts if attempts is None else attempts
        self._garbage = b""
        try:
            for attempt in range(tries):
                self.resent += attempt > 0
                # what a broken line left in the device's buffer ends with the line feed sent before a repetition
                self._port.write(line if attempt == 0 else b"\n" + line)
                answer = self._answer(words[0], time.monotonic() + wait_s)
                if answer is not None:
                    return answer
        except (OSError, serial.SerialException) as error:
            raise DeviceError(
                f"{self.url}: the device disconnected during {words[0]!r} ({reason(error)}); "
                "check cable and power, then try again."
            ) from error
        raise DeviceError(self._silence(words[0], wait_s * tries))

    def greet(self, timeout_s: float = 10.0) -> tuple[str, ...]:
        """The answer to `hello`, tried every half second, for a board may still be starting."""
        every_s = min(0.5, timeout_s)
        try:
            self._port.reset_input_buffer()
            self._port.write(b"\n")
        except (OSError, serial.SerialException) as error:
            raise DeviceError(
                f"{self.url}: the device does not take data ({reason(error)}); check cable and power, then try again."
            ) from error
        self._received.clear()
        return self.request("hello", timeout_s=every_s, attempts=max(round(timeout_s / every_s), 1))

    def _silence(self, command: str, waited_s: float) -> str:
        """The sentence for a request that found no answer."""
        if self._garbage:
            return (
                f"{self.url}: only garbled data came back for {command!r} (such as {bytes(self._garbage[:24])!r}); "
                "check that the board runs this firmware and that the line is sound."
            )
        return (
            f"{self.url}: the device gave no answer to {command!r} within {waited_s:.3g} s; "
            "check that it runs this firmware (ofa-mcu flash) and press its reset button."
        )

    def _answer(self, command: str, deadline: float) -> tuple[str, ...] | None:
        """The words after `ok`; None where the request must be sent again."""
        while True:
            text = self._line(deadline)
            if text is None:
                return None
            line = parse(text)
            if line is None:
                self._garbage = self._garbage or text
            elif line.sequence == self._sequence:
                return self._judge(command, line)
            elif line.sequence == 0 and line.words[:1] == ("err",):
                if line.words[1:2] and line.words[1] in GARBLED:
                    self._garbage = self._garbage or text
                    return None
                self._judge(command, line)

    def _judge(self, command: str, line: Line) -> tuple[str, ...]:
        """The words after `ok`; DeviceError for `err` and anything else."""
        match line.words:
            case ("ok", *words):
                return tuple(words)
            case ("err", "stack", *address):
                raise DeviceError(
                    f"{self.url}: the firmware ran over its stack during {command!r} (stack pointer "
                    f"0x{' '.join(address)}); build it with a larger stack reserve."
                )
            case ("err", "fault", *address):
                raise DeviceError(
                    f"{self.url}: the firmware crashed during {command!r} at address 0x{' '.join(address)}; "
                    "look the address up in firmware.elf and report it."
                )
            case ("err", "tflm", status):
                raise DeviceError(f"{self.url}: {tflm_failure(status)}")
            case _:
                raise DeviceError(
                    f"{self.url}: the firmware refused {command!r} ({' '.join(line.words) or 'empty answer'}); "
                    "host and firmware do not belong together, flash the board again."
                )

    def _line(self, deadline: float) -> bytes | None:
        """The next line without its end; None at the deadline (monotonic seconds)."""
        while True:
            end = self._received.find(b"\n")
            if end >= 0:
                text = bytes(self._received[:end]).rstrip(b"\r")
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
        """What has come, at least one byte unless POLL_S passes without any."""
        data: bytes = self._port.read(1)
        waiting = self._port.in_waiting if data else 0
        if waiting:
            data += self._port.read(waiting)
        return data


def open_port(url: str, baud: int) -> serial.SerialBase:
    """The opened port; UsageError for a name that cannot be one, DeviceError saying why the port does not open."""
    check_name(url)
    try:
        port = serial.serial_for_url(
            url, baudrate=baud, timeout=POLL_S, write_timeout=WRITE_TIMEOUT_S, do_not_open=True
        )
        if "://" not in url:
            port.exclusive = True
        port.open()
    except (OSError, ValueError, serial.SerialException) as error:
        raise DeviceError(open_failure(url, error)) from error
    return port


def check_name(url: str) -> None:
    """UsageError where no port can have that name."""
    if not url.strip():
        raise UsageError(
            "The name of the port is empty; name one, /dev/ttyACM0 for example (ofa-mcu doctor lists them)."
        )
    scheme = url.partition("://")[0].lower()
    if scheme not in NETWORKED or "://" not in url:
        return
    try:
        parts = urlsplit(url)
        complete = bool(parts.hostname and parts.port)
    except ValueError:
        complete = False
    if not complete:
        raise UsageError(
            f"{url}: the address needs a host and a port number from 1 to 65535; write it like "
            f"{scheme}://127.0.0.1:5000."
        )


def open_failure(url: str, error: Exception) -> str:
    """One sentence for a port that cannot be opened."""
    text = str(error)
    if isinstance(error, PermissionError) or "Permission denied" in text:
        return f"{url}: no permission to open the port; add yourself to the group dialout and log in again."
    if "No such file" in text or "FileNotFoundError" in text:
        return f"{url}: there is no such port; plug the board in, or list the ports with ofa-mcu doctor."
    if "exclusively lock" in text or "Device or resource busy" in text:
        return f"{url}: another program has the port open; close it and try again."
    return f"{url}: cannot open the port ({reason(error)}); check its name and that the device is on."


def reason(error: Exception) -> str:
    """The library's words on one line."""
    return " ".join(str(error).split()) or type(error).__name__

"""Opens a serial port by its name, or says in one sentence why not."""

from __future__ import annotations

from urllib.parse import urlsplit

import serial

from ofa_mcu.errors import DeviceError, UsageError

try:
    from termios import error as _TerminalError
except ImportError:  # Windows has none
    _TerminalError = OSError  # type: ignore[misc,assignment]

__all__ = ["PORT_ERRORS", "open_port", "reason"]

PORT_ERRORS = (OSError, serial.SerialException, _TerminalError)
"""What pyserial raises where a port fails; the last is no OSError, and comes when a board is gone."""

POLL_S = 0.02
"""Longest wait in one read of the port; what a request waits is counted in these."""
WRITE_TIMEOUT_S = 5.0
NETWORKED = frozenset({"rfc2217", "socket"})
"""Kinds of pyserial URL that name a host and a port number."""


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
    except (*PORT_ERRORS, ValueError) as error:
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

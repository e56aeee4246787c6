"""What a firmware's answers mean, and what to say where there is none."""

from __future__ import annotations

from ofa_mcu.devices.framing import Line
from ofa_mcu.devices.tflm_failures import tflm_failure
from ofa_mcu.errors import DeviceError

__all__ = ["GARBLED", "RefusedError", "SilentError", "judge", "silence"]

GARBLED = frozenset({"crc", "length", "format"})
"""Reasons of an `err` that only say: send it again."""


class RefusedError(DeviceError):
    """The firmware answered `err <reason>`."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class SilentError(DeviceError):
    """No answer came; `about` says to what, and for how long."""

    def __init__(self, url: str, about: str) -> None:
        super().__init__(
            f"{url}: the device gave no answer {about}; check that it runs this firmware (ofa-mcu flash) and press its "
            "reset button."
        )
        self.about = about


def judge(url: str, command: str, line: Line) -> tuple[str, ...]:
    """The words after `ok`; DeviceError for a crash, RefusedError for any other `err` and anything else."""
    match line.words:
        case ("ok", *words):
            return tuple(words)
        case ("err", "stack", *address):
            raise DeviceError(
                f"{url}: the firmware ran over its stack during {command!r} (stack pointer 0x{' '.join(address)}); "
                "build it with a larger stack reserve."
            )
        case ("err", "fault", *address):
            raise DeviceError(
                f"{url}: the firmware crashed during {command!r} at address 0x{' '.join(address)}; "
                "look the address up in firmware.elf and report it."
            )
        case ("err", "tflm", status):
            raise DeviceError(f"{url}: {tflm_failure(status)}")
        case ("err", "hello"):
            text = f"the device was reset before {command!r}; check its power and its reset line, then try again."
            raise RefusedError(f"{url}: {text}", "hello")
        case _:
            raise RefusedError(
                f"{url}: the firmware refused {command!r} ({' '.join(line.words) or 'empty answer'}); "
                "host and firmware do not belong together, flash the board again.",
                line.words[1] if len(line.words) > 1 else "",
            )


def silence(url: str, command: str, waited_s: float, garbage: bytes) -> DeviceError:
    """The error for a request that found no answer; `garbage` is what came instead."""
    if garbage:
        return DeviceError(
            f"{url}: only garbled data came back for {command!r} (such as {bytes(garbage[:24])!r}); "
            "check that the board runs this firmware and that the line is sound."
        )
    return SilentError(url, f"to {command!r} within {waited_s:.3g} s")

"""Flashes a board through PlatformIO's upload target; what an uploader says comes back as one sentence."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ofa_mcu.devices.build import OFFLINE_SIGNS, build_failure
from ofa_mcu.devices.pio import missing_platform, registry_reachable, run_pio
from ofa_mcu.devices.ports import usb_ports
from ofa_mcu.devices.project import Project
from ofa_mcu.errors import DeviceError, UsageError
from ofa_mcu.files import write_text
from ofa_mcu.profiles import BoardProfile

__all__ = ["Flashed", "flash_board", "upload_failure"]

UDEV = "give your user access to the probe (PlatformIO's 99-platformio-udev.rules) and plug it in again"
MESSAGES: tuple[tuple[str, str], ...] = (
    (r"LIBUSB_ERROR_ACCESS|Permission denied|insufficient permissions", f"the USB device may not be opened; {UDEV}"),
    (r"JLinkExe: not found", "J-Link's software (JLinkExe) is not installed; install it from SEGGER"),
    (
        r"(?m)unable to connect to the target|init mode failed|UNABLE to connect|Failed to connect to target",
        "the probe does not reach the chip; check the board's power and cable, or hold its reset button",
    ),
    (
        r"Found 0 stlink programmers|Couldn't find any ST-Link|OpenOCD init failed|Error: open failed",
        "no debug probe was found; plug the board's ST-Link USB port in",
    ),
    (
        r"No DFU capable USB device available",
        "no board in DFU mode was found; plug it in, hold BOOT and press reset",
    ),
    (
        r"No available debug probes|No connected debug probes|No target device available|"
        r"unable to find a matching CMSIS-DAP device",
        "no CMSIS-DAP debug probe was found; plug the board in",
    ),
    (
        r"Please specify `upload_port`",
        "no board that shows itself as a drive or a serial port was found; plug it in or name it with --port",
    ),
    (
        r"RP2040 devices in BOOTSEL mode|RPI-RP2",
        "no board in boot mode was found; hold BOOTSEL while plugging it in",
    ),
    (r"could not open port|No device found on", "the board's port cannot be opened; plug it in or name it with --port"),
    (r"(?m)^sh: \d+: (\S+): not found", "the uploader {} is not installed"),
)
COMPILED = re.compile(r"^Configuring upload protocol|^AVAILABLE:|^CURRENT: upload_protocol", re.MULTILINE)
CAUSE = re.compile(r"^.*(?:[Ee]rror|ERROR|[Ff]ailed|not found|[Ff]ailure).*$", re.MULTILINE)


@dataclass(frozen=True)
class Flashed:
    """A board that took the firmware: how long it took, and what PlatformIO printed."""

    environment: str
    seconds: float
    log: str


def flash_board(
    project: Project,
    profile: BoardProfile,
    *,
    port: str | None = None,
    build_dir: Path | None = None,
    timeout_s: float = 900.0,
    say: Callable[[str], None] | None = None,
) -> Flashed:
    """Builds for the board itself and uploads. `say` is told what PlatformIO is about to fetch.

    What a build leaves in `build_dir` (default: inside the project) is used again by the next.

    UsageError where PlatformIO does not know the board, DeviceError (one sentence) where the board cannot be reached
    or PlatformIO cannot fetch what it needs for it, and what `build_project` raises where the build fails.
    """
    names = profile.platformio
    environment = project.board_environment
    if names is None or environment is None:
        raise UsageError(f"PlatformIO does not know the board {profile.id}; only its emulated twin can be run.")
    if missing_platform(project, environment, names.platform):
        if not registry_reachable():
            raise DeviceError(
                f"{presence(profile)}, and PlatformIO's platform {names.platform} is neither installed nor can its "
                f"registry be reached; connect to the network once (pio pkg install -g -p {names.platform})."
            )
        if say is not None:
            say(f"PlatformIO fetches the platform {names.platform} and its tools from its registry (hundreds of MB).")
    begin = time.monotonic()
    where = ("--upload-port", port) if port else ()
    result = run_pio(project, environment, "-t", "upload", *where, build_dir=build_dir, timeout_s=timeout_s)
    log = project.folder / ".pio" / f"{environment}.log"
    write_text(log, result.output)
    if result.code == 0:
        return Flashed(environment, time.monotonic() - begin, result.output)
    if any(sign in result.output for sign in OFFLINE_SIGNS):
        raise DeviceError(
            f"{presence(profile)}, and PlatformIO lacks packages for {names.platform} and cannot reach its registry; "
            "connect to the network once."
        )
    if COMPILED.search(result.output) or "[upload]" in result.output:
        raise DeviceError(f"{upload_failure(result.output, profile.id)}; the whole log is in {log}.")
    raise build_failure(result.output, profile.id, log)


def presence(profile: BoardProfile) -> str:
    """Beginning of a sentence: whether a board of that kind shows itself on USB."""
    present = [port.name for port in usb_ports() if port.usb in profile.usb]
    if present:
        return f"A {profile.id} is plugged in at {', '.join(present)}"
    return f"No {profile.id} is plugged in"


def upload_failure(output: str, board: str) -> str:
    """One sentence, without its full stop, for what the uploader printed."""
    for pattern, sentence in MESSAGES:
        found = re.search(pattern, output)
        if found:
            words = " ".join(found[0].split())
            tool = found[1] if found.groups() else ""
            return f"Flashing {board} failed: {sentence.format(tool)} (the uploader said: {words})"
    causes = [line for line in CAUSE.findall(output) if not line.startswith(("***", "=", "scons:"))]
    words = " ".join(causes[-1].split()) if causes else "the uploader gave no reason"
    return f"Flashing {board} failed: {words}"

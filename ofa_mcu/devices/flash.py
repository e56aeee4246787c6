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
from ofa_mcu.devices.uploaders import upload_failure
from ofa_mcu.errors import DeviceError, UsageError
from ofa_mcu.files import write_text
from ofa_mcu.profiles import BoardProfile

__all__ = ["Flashed", "flash_board", "upload_failure"]

COMPILED = re.compile(r"^Configuring upload protocol|^AVAILABLE:|^CURRENT: upload_protocol", re.MULTILINE)


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
    upload_flags: str | None = None,
    build_dir: Path | None = None,
    timeout_s: float = 900.0,
    say: Callable[[str], None] | None = None,
) -> Flashed:
    """Builds for the board itself and uploads. `say` is told what PlatformIO is about to fetch.

    `upload_flags` go to the uploader, one a line (`plan_flash` knows when it needs some).
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
    result = run_pio(
        project,
        environment,
        "-t",
        "upload",
        *where,
        build_dir=build_dir,
        upload_flags=upload_flags,
        timeout_s=timeout_s,
    )
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
    raise build_failure(result.output, profile.id, log, project.memories)


def presence(profile: BoardProfile) -> str:
    """Beginning of a sentence: whether a board of that kind shows itself on USB."""
    present = [port.name for port in usb_ports() if port.usb in profile.usb]
    if present:
        return f"A {profile.id} is plugged in at {', '.join(present)}"
    return f"No {profile.id} is plugged in"

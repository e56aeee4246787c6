"""Runs PlatformIO as a process: without telemetry, without upgrade checks, with an end."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ofa_mcu.devices.project import Project
from ofa_mcu.errors import OfaMcuError

__all__ = ["PioResult", "core_dir", "missing_platform", "registry_reachable", "run_pio"]

REGISTRY_HOST = "api.registry.platformio.org"
QUIET = {
    "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
    "PLATFORMIO_DISABLE_UPGRADE_CHECK": "true",
    "PLATFORMIO_NO_ANSI": "true",
}
CORE_DIR = "PLATFORMIO_CORE_DIR"
BUILD_DIR = "PLATFORMIO_BUILD_DIR"


@dataclass(frozen=True)
class PioResult:
    """Exit code and everything PlatformIO printed."""

    code: int
    output: str


def core_dir(project: Project, environment: str) -> Path:
    """Where PlatformIO keeps its packages for this environment.

    `PLATFORMIO_CORE_DIR` where the user set it; else a folder inside the project for the emulated twin, which needs
    next to nothing, and PlatformIO's usual folder for a board, where its platform may be installed already.
    """
    own = os.environ.get(CORE_DIR)
    if own:
        return Path(own).expanduser()
    if environment == project.emulated_environment:
        return project.folder / ".pio" / "core"
    return Path.home() / ".platformio"


def run_pio(
    project: Project,
    environment: str,
    *arguments: str,
    build_dir: Path | None = None,
    timeout_s: float = 900.0,
) -> PioResult:
    """`pio run` for one environment; OfaMcuError where PlatformIO is missing or does not end within `timeout_s`."""
    if importlib.util.find_spec("platformio") is None:
        raise OfaMcuError("PlatformIO is not installed in this Python; install it (pip install platformio scons).")
    command = [sys.executable, "-m", "platformio", "run", "-d", str(project.folder), "-e", environment, *arguments]
    settings = os.environ | QUIET | {CORE_DIR: str(core_dir(project, environment))}
    if build_dir is not None:
        settings[BUILD_DIR] = str(build_dir.absolute())
    process = subprocess.Popen(
        command,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise OfaMcuError(
            f"PlatformIO did not finish {environment} in {project.folder} within {timeout_s:g} s; "
            "run `pio run` there to see where it stands."
        ) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return PioResult(process.returncode, output)


def missing_platform(project: Project, environment: str, platform: str) -> bool:
    """Whether PlatformIO would have to fetch the platform of a board before it can build."""
    name = re.split(r"[@/]", platform)[-1] if "://" not in platform else ""
    folder = core_dir(project, environment) / "platforms"
    return not name or not any(folder.glob(f"{name}*"))


def registry_reachable(timeout_s: float = 3.0) -> bool:
    """Whether PlatformIO's registry answers; asked only before something would be fetched from it."""
    try:
        with socket.create_connection((REGISTRY_HOST, 443), timeout=timeout_s):
            return True
    except OSError:
        return False

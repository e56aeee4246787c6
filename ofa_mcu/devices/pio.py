"""Runs PlatformIO as a process: without telemetry, without upgrade checks, with an end."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ofa_mcu.devices.emulator import die_with_parent
from ofa_mcu.devices.project import Project
from ofa_mcu.errors import OfaMcuError, UsageError

__all__ = [
    "PioResult",
    "core_dir",
    "installed_platform",
    "missing_platform",
    "pio_command",
    "registry_reachable",
    "run_pio",
    "usual_core_dir",
]

QUIET = {
    "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
    "PLATFORMIO_DISABLE_UPGRADE_CHECK": "true",
    "PLATFORMIO_NO_ANSI": "true",
}
CORE_DIR = "PLATFORMIO_CORE_DIR"
BUILD_DIR = "PLATFORMIO_BUILD_DIR"
UPLOAD_FLAGS = "PLATFORMIO_UPLOAD_FLAGS"
_GUARDED = """\
exec 3<&0
"$@" 3<&- </dev/null & own=$!
{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 & guard=$!
wait $own; code=$?
kill -KILL $guard
exit $code
"""
"""A shell's script: a command, and what ends its whole process group as soon as nobody holds the other end of stdin."""


@dataclass(frozen=True)
class PioResult:
    """Exit code and everything PlatformIO printed."""

    code: int
    output: str


def core_dir(project: Project, environment: str) -> Path:
    """Where PlatformIO keeps its packages for this environment.

    `PLATFORMIO_CORE_DIR` where the user set it; else a folder inside the project for the emulated twin, which needs
    next to nothing, and PlatformIO's usual folder for a board, where its platform may be installed already. It exists
    afterwards; UsageError where the folder cannot be made or written to.
    """
    twin = environment == project.emulated_environment and not os.environ.get(CORE_DIR)
    folder = project.folder / ".pio" / "core" if twin else usual_core_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(unusable(folder, error.strerror or type(error).__name__)) from error
    cause = why_unwritable(folder)
    if cause is not None:
        raise UsageError(unusable(folder, cause))
    return folder


def why_unwritable(folder: Path) -> str | None:
    """Why nothing can be written into the folder, which leaves no trace; None where it can.

    Rights alone do not tell: they allow root everything, in a file system that takes nothing, too.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".ofa-mcu-", dir=folder):
            return None
    except OSError as error:
        return error.strerror or type(error).__name__


def unusable(folder: Path, cause: str) -> str:
    """The sentence for a folder that PlatformIO could not work in."""
    return (
        f"PlatformIO cannot keep its packages in {folder} ({cause}); "
        f"set {CORE_DIR} to a folder that you may write to, or unset it."
    )


def settings(core: Path, build_dir: Path | None) -> dict[str, str]:
    """The process's environment: the user's, but of PlatformIO's own variables only those that are set here.

    A PLATFORMIO_SRC_DIR or PLATFORMIO_BUILD_FLAGS that is meant for another project would change this one.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLATFORMIO_")}
    chosen = {} if build_dir is None else {BUILD_DIR: str(build_dir.absolute())}
    return kept | QUIET | {CORE_DIR: str(core)} | chosen


def pio_command(project: Project, environment: str, *arguments: str) -> list[str]:
    """The command line of `pio run` for one environment."""
    return [sys.executable, "-m", "platformio", "run", "-d", str(project.folder), "-e", environment, *arguments]


def run_pio(
    project: Project,
    environment: str,
    *arguments: str,
    build_dir: Path | None = None,
    upload_flags: str | None = None,
    timeout_s: float = 900.0,
) -> PioResult:
    """`pio run` for one environment; it dies with this process, and so does all that it started.

    Where setpriv is there, it dies with the thread that called this.

    `upload_flags` go to the uploader, before its other arguments; one a line.

    OfaMcuError where PlatformIO is missing or does not end within `timeout_s`, UsageError as `core_dir` says.
    """
    if importlib.util.find_spec("platformio") is None:
        raise OfaMcuError("PlatformIO is not installed in this Python; install it (pip install platformio scons).")
    command = pio_command(project, environment, *arguments)
    flags = {} if upload_flags is None else {UPLOAD_FLAGS: upload_flags}
    held, holding = os.pipe()
    try:
        process = subprocess.Popen(
            [*die_with_parent(), "/bin/sh", "-c", _GUARDED, "sh", *die_with_parent(), *command],
            env=settings(core_dir(project, environment), build_dir) | flags,
            stdin=held,
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
    finally:
        os.close(held)
        os.close(holding)
    return PioResult(process.returncode, output)


def missing_platform(project: Project, environment: str, platform: str) -> bool:
    """Whether PlatformIO would have to fetch the platform of a board before it can build."""
    return installed_platform(core_dir(project, environment), platform) is None


def installed_platform(core: Path, platform: str) -> Path | None:
    """Where a platform lies under PlatformIO's folder; None where it is not installed.

    A platform that is an address is known by the record that PlatformIO keeps of where a package came from.
    """
    folder = core / "platforms"
    if "://" in platform:
        for record in sorted(folder.glob("*/.piopm")):
            if platform in record.read_text(encoding="utf-8", errors="replace"):
                return record.parent
        return None
    name = re.split("@", platform)[0].rpartition("/")[2]
    return next(iter(sorted(folder.glob(f"{name}*"))), None) if name else None


def usual_core_dir() -> Path:
    """Where PlatformIO keeps what boards need, by the user's settings; it need not exist."""
    own = os.environ.get(CORE_DIR)
    return Path(os.path.expanduser(own)).absolute() if own else Path.home() / ".platformio"


def registry_hosts() -> tuple[str, ...]:
    """Where the installed PlatformIO looks for its packages."""
    import platformio

    return tuple(platformio.__registry_mirror_hosts__)


def registry_reachable(timeout_s: float = 3.0) -> bool:
    """Whether PlatformIO's registry answers; asked only before something would be fetched from it."""
    for host in registry_hosts():
        with suppress(OSError), socket.create_connection((host, 443), timeout=timeout_s):
            return True
    return False

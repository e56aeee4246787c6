"""QEMU as a board: starts a machine with an image and gives the URL of its serial line."""

from __future__ import annotations

import atexit
import contextlib
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ofa_mcu.devices.answers import SilentError
from ofa_mcu.errors import DeviceError
from ofa_mcu.profiles.profile import Emulator

__all__ = ["QEMU", "RunningEmulator", "die_with_parent", "emulator_command"]

QEMU = "qemu-system-arm"
INSTALL = "apt-get install qemu-system-arm"
LISTENING = re.compile(r"connection on: \S*tcp:127\.0\.0\.1:(\d+)")
STOP_S = 3.0
ENDING_S = 0.5


def emulator_command(twin: Emulator, elf: Path, options: Sequence[str] = ()) -> list[str]:
    """QEMU's command line: virtual time counts instructions, the guest starts when the serial line is opened.

    `options` are further ones, such as plugins.
    """
    return [
        QEMU,
        *("-M", twin.machine),
        *("-kernel", str(elf)),
        *("-display", "none"),
        *("-monitor", "none"),
        *("-icount", f"shift={twin.icount_shift}"),
        *("-serial", "tcp:127.0.0.1:0,server=on,wait=on,nodelay=on"),
        *options,
    ]


class RunningEmulator:
    """A QEMU process; a context manager. `url` opens with `Link`.

    It dies with this object, with the interpreter, and (where util-linux's setpriv is there) with the thread that
    started it, however that ends. DeviceError where QEMU is missing or does not start within `timeout_s`, and in place
    of another DeviceError that ends the block where QEMU had ended before, or runs and is silent.
    """

    def __init__(self, twin: Emulator, elf: Path, *, timeout_s: float = 20.0, options: Sequence[str] = ()) -> None:
        if shutil.which(QEMU) is None:
            raise DeviceError(f"{QEMU} is not installed; install it ({INSTALL}).")
        if not elf.is_file():
            raise DeviceError(f"There is no image {elf}; build it first (ofa-mcu build).")
        self.machine = twin.machine
        self._words: list[str] = []
        self._port = 0
        self._listening = threading.Event()
        self._process = subprocess.Popen(
            [*die_with_parent(), *emulator_command(twin, elf, options)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        atexit.register(self.stop)
        self._reader = threading.Thread(target=self._read_words, daemon=True)
        self._reader.start()
        self._wait_for_port(timeout_s)

    @property
    def url(self) -> str:
        """The serial line, for pyserial."""
        return f"socket://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of QEMU."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        code = self._code() if isinstance(error, DeviceError) else None
        self.stop()
        if code is not None:
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
            said = " ".join(word for word in self._words if word)
            raise DeviceError(
                f"QEMU ({self.machine}) {how} in the midst of it{f' ({said})' if said else ''}; try again."
            ) from error
        if isinstance(error, SilentError):
            raise DeviceError(
                f"QEMU ({self.machine}) runs, and its firmware gave no answer {error.about}; check addresses and core "
                "under [emulator] of the profile, or try again if the machine is busy."
            ) from error

    def stop(self) -> None:
        """Ends QEMU and waits for it; may be called again."""
        atexit.unregister(self.stop)
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(STOP_S)
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _code(self) -> int | None:
        """Of a process that has ended, or is just about to: its line closes first."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(ENDING_S)
        return None

    def _read_words(self) -> None:
        """Keeps what QEMU says until it ends; sees the port it listens on."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            found = LISTENING.search(line)
            if found:
                self._port = int(found[1])
                self._listening.set()
            else:
                self._words.append(line.strip())
        self._listening.set()

    def _wait_for_port(self, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        self._listening.wait(timeout_s)
        if self._port:
            return
        self.stop()
        if time.monotonic() >= deadline:
            raise DeviceError(f"QEMU ({self.machine}) did not open its serial line within {timeout_s:g} s; try again.")
        words = " ".join(word for word in self._words if word) or f"exit code {self._process.returncode}"
        raise DeviceError(f"QEMU ({self.machine}) did not start: {words}.")


def die_with_parent() -> list[str]:
    """What to put before a command so that the kernel ends it together with its parent."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL"] if setpriv else []

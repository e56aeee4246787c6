from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from ofa_mcu.devices.emulator import RunningEmulator
from ofa_mcu.devices.link import Link
from ofa_mcu.devices.session import Session
from ofa_mcu.errors import DeviceError
from tests.devices import tiny
from tests.devices.fixtures import Images

pytestmark = pytest.mark.slow

CHILD = """\
import sys, time
from pathlib import Path
from ofa_mcu.devices.emulator import RunningEmulator
from tests.devices import tiny
emulator = RunningEmulator(tiny.TWINS["m3"], Path(sys.argv[1]))
print(emulator.pid, flush=True)
time.sleep(float(sys.argv[2]))
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def gone(pid: int) -> bool:
    """Whether the process ends within five seconds."""
    deadline = time.monotonic() + 5
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_it_ends_with_its_block(image: Images) -> None:
    with pytest.raises(ZeroDivisionError), RunningEmulator(tiny.TWINS["m3"], image("m3")) as emulator:
        assert alive(emulator.pid)
        raise ZeroDivisionError
    assert gone(emulator.pid)
    emulator.stop()


@pytest.mark.parametrize("killed", [False, True])
def test_it_ends_with_the_interpreter(image: Images, killed: bool) -> None:
    command = [sys.executable, "-c", CHILD, str(image("m3")), "60" if killed else "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        if killed:
            child.send_signal(signal.SIGKILL)
        child.wait()
    assert gone(pid)


def test_a_second_link_can_follow_the_first(image: Images) -> None:
    with RunningEmulator(tiny.TWINS["m3"], image("m3")) as emulator:
        for _ in range(2):
            with Link(emulator.url) as link:
                assert Session(link).hello.model == "tiny_model"


def test_its_end_is_noticed(image: Images) -> None:
    with RunningEmulator(tiny.TWINS["m3"], image("m3")) as emulator, Link(emulator.url) as link:
        session = Session(link)
        emulator.stop()
        begin = time.monotonic()
        with pytest.raises(DeviceError, match="disconnected during 'stack'"):
            session.stack()
        assert time.monotonic() - begin < 10


def test_an_image_that_is_no_firmware_stays_silent(image: Images, tmp_path: Path) -> None:
    """QEMU loads any bytes; the core then locks up."""
    (tmp_path / "zeros.elf").write_bytes(bytes(4096))
    with (
        RunningEmulator(tiny.TWINS["m3"], tmp_path / "zeros.elf") as emulator,
        Link(emulator.url) as link,
        pytest.raises(DeviceError, match="gave no answer|disconnected"),
    ):
        Session(link, greet_timeout_s=1)


def test_what_keeps_it_from_starting_is_told(image: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="no image .*missing.elf; build it first"):
        RunningEmulator(tiny.TWINS["m3"], tmp_path / "missing.elf")
    with pytest.raises(DeviceError, match=r"QEMU \(nonesuch\) did not start: .*unsupported machine"):
        RunningEmulator(replace(tiny.TWINS["m3"], machine="nonesuch"), image("m3"))
    elf = image("m3")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="qemu-system-arm is not installed; install it"):
        RunningEmulator(tiny.TWINS["m3"], elf)

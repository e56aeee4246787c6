"""No board is attached here: what the uploaders print then becomes one sentence."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from ofa_mcu.devices import flash
from ofa_mcu.devices.flash import flash_board, upload_failure
from ofa_mcu.devices.ports import find_port, usb_ports
from ofa_mcu.devices.project import write_project
from ofa_mcu.errors import DeviceError, UsageError
from ofa_mcu.profiles import load_profile
from tests.devices import tiny
from tests.devices.attached import plug_in

OPENOCD = """\
Configuring upload protocol...
AVAILABLE: blackmagic, cmsis-dap, jlink, mbed, stlink
CURRENT: upload_protocol = stlink
Uploading .pio/build/stm32f746/firmware.elf
Open On-Chip Debugger 0.12.0
Error: open failed
in procedure 'program'
** OpenOCD init failed **
shutdown command invoked
*** [upload] Error 1
========================= [FAILED] Took 3.14 seconds =========================
"""


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (OPENOCD, "no debug probe was found; plug the board's ST-Link USB port in"),
        ("WARN usb.c: Couldn't find any ST-Link devices", "no debug probe"),
        ("No DFU capable USB device available\n*** [upload] Error 74", "no board in DFU mode"),
        ("No connected debug probes\nE No target device available", "no CMSIS-DAP debug probe"),
        ("Error: Please specify `upload_port` for environment or use global `--upload-port`", "name it with --port"),
        ("sh: 1: JLinkExe: not found\n*** [upload] Error 127", "J-Link's software"),
        ("sh: 1: sometool: not found", "the uploader sometool is not installed"),
        ("libusb_open() failed with LIBUSB_ERROR_ACCESS\nError: open failed", "may not be opened"),
        (
            "Error: init mode failed (unable to connect to the target)\n** OpenOCD init failed **",
            "does not reach the chip",
        ),
        ("Error: unable to find a matching CMSIS-DAP device\n** OpenOCD init failed **", "no CMSIS-DAP debug probe"),
        ("Found 0 stlink programmers", "no debug probe"),
        (
            "dfu-util: Cannot open DFU device 0483:df11 found on devnum 7 (LIBUSB_ERROR_ACCESS)",
            "99-platformio-udev.rules",
        ),
        (
            "No accessible RP2040 devices in BOOTSEL mode were found.\n\nbut:\n\nDevice at bus 1, address 7 "
            "appears to be a RP2040 device in BOOTSEL mode, but picotool was unable to connect",
            "99-platformio-udev.rules",
        ),
        ("No accessible RP-series devices in BOOTSEL mode were found.", "hold BOOTSEL while plugging it in"),
        ("could not open port '/dev/ttyACM0': [Errno 13] Permission denied: '/dev/ttyACM0'", "to the group dialout"),
        ("Error: libusb_claim_interface() failed with LIBUSB_ERROR_BUSY\nError: open failed", "another program holds"),
        ("Warn : UNEXPECTED idcode: 0x2ba01477\nError: expected 1 of 1: 0x1ba01477", "another chip than this board's"),
        ("Error: Cannot identify target as a STM32 family.\nError: auto_probe failed", "plug in the right board"),
        ("2024 ERROR common.c: unknown chip id! 0xe0042000", "another chip"),
        ("A fatal error occurred: This chip is ESP32-C3 not ESP32-S3. Wrong --chip argument?", "another chip"),
        ("A fatal error occurred: Failed to connect to ESP32-S3: No serial data received.", "hold BOOT while plugging"),
        ("Error: stm32x device protected", "protection off"),
        ("Error: target voltage may be too low for reliable debugging", "no power"),
        ("ERROR: There is no debugger connected to the PC.", "no J-Link was found"),
        ("Failed to upgrade target. Error is: Timed out waiting for acknowledgement from device.", "press reset twice"),
        ("cp: cannot create regular file '/media/x': Read-only file system", "the board's drive did not take"),
        ("** Verify Failed **", "other bytes than were sent"),
        ("Warning! Unknown upload protocol telepathy", "choose another --protocol"),
        ("A novel failure of something\n*** [upload] Error 1", "A novel failure of something"),
        ("", "gave no reason"),
    ],
)
def test_what_uploaders_say(output: str, words: str) -> None:
    sentence = upload_failure(output, "stm32f746")
    assert sentence.startswith("Flashing stm32f746 failed: ")
    assert words in sentence and "\n" not in sentence


def test_without_a_network_the_answer_comes_quickly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The platform is not installed in an empty folder, and a name that never resolves is the registry's."""
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path / "core"))
    monkeypatch.setattr("ofa_mcu.devices.pio.registry_hosts", lambda: ("registry.invalid",))
    profile = load_profile("stm32f746")
    project = write_project(tmp_path / "project", profile, tiny.model_files())
    begin = time.monotonic()
    with pytest.raises(DeviceError, match="No stm32f746 is plugged in, and PlatformIO's platform ststm32") as caught:
        flash_board(project, profile)
    assert time.monotonic() - begin < 10
    assert caught.value.exit_code == 4


def test_a_board_that_platformio_does_not_know(tmp_path: Path) -> None:
    profile = load_profile("mps3_an547")
    assert profile.platformio is None
    project = write_project(tmp_path / "project", profile, tiny.model_files())
    with pytest.raises(UsageError, match="PlatformIO does not know the board"):
        flash_board(project, profile)


@pytest.mark.slow
def test_a_failing_upload_ends_in_one_sentence(tmp_path: Path) -> None:
    """The local platform stands for a board's, its upload tool for one that finds no board."""
    twin = tiny.twin_profile("m3")
    assert twin.emulator is not None and twin.platformio is not None
    project = write_project(tmp_path / "project", twin, tiny.model_files())
    ini = project.folder / "platformio.ini"
    upload = "upload_command = printf '[%%s]' $UPLOADERFLAGS && echo No DFU capable USB device available && exit 74"
    ini.write_text(ini.read_text() + upload_environment(upload))
    local = replace(project, board_environment="local", emulated_environment="local")
    profile = replace(twin, platformio=replace(twin.platformio, platform="file://here"))
    (tmp_path / "core").mkdir()
    with pytest.raises(DeviceError, match="no board in DFU mode was found"):
        flash_local(local, profile, "-c\nadapter serial 06")
    log = (project.folder / ".pio" / "local.log").read_text()
    assert "[-c][adapter serial 06]" in log


def upload_environment(upload: str) -> str:
    return (
        "\n[env:local]\nplatform = symlink://${PROJECT_DIR}/platform/ofabaremetal\nboard = tiny_m3_emulated\n"
        f"build_src_filter = +<*> -<hal_arduino.cpp>\nupload_protocol = custom\n{upload}\n"
    )


def flash_local(project, profile, flags: str) -> None:
    """flash_board without the question for the registry, which a local platform does not need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flash, "missing_platform", lambda *_: False)
        flash_board(project, profile, upload_flags=flags)


def test_ports_are_found_by_their_usb_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = load_profile("stm32f746")
    plug_in(monkeypatch, ttyACM3=(0x0483, 0x374B), ttyUSB0=(0x1A86, 0x7523))
    assert [port.usb for port in usb_ports()] == ["0483:374b", "1a86:7523"]
    assert find_port(profile) == "/dev/ttyACM3"
    assert find_port(profile, "/dev/other") == "/dev/other"
    plug_in(monkeypatch, ttyACM3=(0x0483, 0x374B), ttyACM1=(0x0483, 0x374B))
    with pytest.raises(DeviceError, match=r"More than one stm32f746 .*ttyACM1, /dev/ttyACM3.* --port"):
        find_port(profile)
    plug_in(monkeypatch, ttyUSB0=(0x1A86, 0x7523))
    with pytest.raises(DeviceError, match=r"No serial port of a stm32f746 .*ttyUSB0 \(STM32 STLink, 1a86:7523\)"):
        find_port(profile)
